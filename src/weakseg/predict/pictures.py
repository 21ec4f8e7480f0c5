"""The pictures written of one image: mask, overlay and confidence, large ones a band of rows at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.masks import encode_mask
from weakseg.files import write_bytes
from weakseg.models.inference import LabelledPixels
from weakseg.ops.color import overlay

OVERLAY_QUALITY = 90

_BAND_ROWS = 256
"""Blending copies its input in wider types; on bands that takes no memory that matters."""


def write_pictures(places: Mapping[str, Path], image: NDArray[np.uint8], found: LabelledPixels) -> None:
    """Write what `places` names of one image.

    Args:
        places: File by output, see `encode_picture`.
        image: (H, W, 3) uint8 RGB.
        found: Its labels.

    Raises:
        ArtifactError: If a file cannot be written.
    """
    for kind, path in places.items():
        write_bytes(path, encode_picture(kind, image, found))


def encode_picture(kind: str, image: NDArray[np.uint8], found: LabelledPixels) -> bytes:
    """Return the bytes of one picture of an image.

    Args:
        kind: `mask` (palette PNG, 0 background, c+1 class c), `overlay` (JPEG), or `confidence` (grey PNG, 255 times
            the probability of the chosen label, rounded).
        image: (H, W, 3) uint8 RGB.
        found: Its labels.
    """
    return _ENCODERS[kind](image, found)


def _encode_mask(image: NDArray[np.uint8], found: LabelledPixels) -> bytes:
    return encode_mask(found.labels)


def _encode_overlay(image: NDArray[np.uint8], found: LabelledPixels) -> bytes:
    painted = np.empty_like(image)
    for rows in _bands(len(image)):
        painted[rows] = overlay(image[rows], found.labels[rows])
    buffer = io.BytesIO()
    Image.fromarray(painted).save(buffer, "JPEG", quality=OVERLAY_QUALITY)
    return buffer.getvalue()


def _encode_confidence(image: NDArray[np.uint8], found: LabelledPixels) -> bytes:
    levels = np.empty(found.labels.shape, np.uint8)
    for rows in _bands(len(levels)):
        levels[rows] = np.rint(255 * found.confidence[rows])
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def _bands(height: int) -> Iterator[slice]:
    return (slice(start, start + _BAND_ROWS) for start in range(0, height, _BAND_ROWS))


_ENCODERS: dict[str, Callable[[NDArray[np.uint8], LabelledPixels], bytes]] = {
    "mask": _encode_mask,
    "overlay": _encode_overlay,
    "confidence": _encode_confidence,
}
