"""The pictures written of one image: mask, overlay and confidence, large ones a band of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.files import atomic_open
from weakseg.models.inference import LabelledPixels
from weakseg.ops.color import overlay
from weakseg.pipeline.artifacts import save_mask

OVERLAY_QUALITY = 90

_BAND_ROWS = 256
"""Blending copies its input in wider types; on bands that takes no memory that matters."""


def write_pictures(places: Mapping[str, Path], image: NDArray[np.uint8], found: LabelledPixels) -> None:
    """Write what `places` names of one image.

    Args:
        places: File by output: `mask` (palette PNG, 0 background, c+1 class c), `overlay` (JPEG), `confidence` (grey
            PNG, 255 times the probability of the chosen label, rounded).
        image: (H, W, 3) uint8 RGB.
        found: Its labels.

    Raises:
        ArtifactError: If a file cannot be written.
    """
    for kind, path in places.items():
        _WRITERS[kind](path, image, found)


def _write_mask(path: Path, image: NDArray[np.uint8], found: LabelledPixels) -> None:
    save_mask(path, found.labels)


def _write_overlay(path: Path, image: NDArray[np.uint8], found: LabelledPixels) -> None:
    painted = np.empty_like(image)
    for rows in _bands(len(image)):
        painted[rows] = overlay(image[rows], found.labels[rows])
    with atomic_open(path) as file:
        Image.fromarray(painted).save(file, "JPEG", quality=OVERLAY_QUALITY)


def _write_confidence(path: Path, image: NDArray[np.uint8], found: LabelledPixels) -> None:
    levels = np.empty(found.labels.shape, np.uint8)
    for rows in _bands(len(levels)):
        levels[rows] = np.rint(255 * found.confidence[rows])
    with atomic_open(path) as file:
        Image.fromarray(levels).save(file, "PNG")


def _bands(height: int) -> Iterator[slice]:
    return (slice(start, start + _BAND_ROWS) for start in range(0, height, _BAND_ROWS))


_WRITERS: dict[str, Callable[[Path, NDArray[np.uint8], LabelledPixels], None]] = {
    "mask": _write_mask,
    "overlay": _write_overlay,
    "confidence": _write_confidence,
}
