"""Pictures and colours for the page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.ops.color import class_colours
from weakseg.ops.images import limit_side
from weakseg.types import IGNORE_LABEL

THUMBNAIL_SIDE_PX = 144
"""Longer side of a thumbnail: 72 px on a screen of two pixels per px."""

_JPEG_QUALITY = 92
_THUMBNAIL_QUALITY = 80
_THUMBNAIL_OPACITY = 0.55

UNSEEN_COLOUR = (235, 235, 235)
"""Of pixels that nobody has looked at; the page stripes them."""


def encode_jpeg(image: NDArray[np.uint8], *, quality: int = _JPEG_QUALITY) -> bytes:
    """Encode an image (H, W, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_thumbnail(image: NDArray[np.uint8], labels: NDArray[np.uint8], *, num_classes: int) -> bytes:
    """Draw an image (H, W, 3) uint8 with its mask (H, W) uint8 over it, small, as a JPEG."""
    small = limit_side(image, THUMBNAIL_SIDE_PX)
    height, width = small.shape[:2]
    shrunk = np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))
    palette = np.zeros((256, 3), np.float32)
    palette[1 : num_classes + 1] = class_colours(num_classes)
    palette[IGNORE_LABEL] = UNSEEN_COLOUR
    opacity = np.where(shrunk > 0, np.float32(_THUMBNAIL_OPACITY), np.float32(0))[..., None]
    mixed = small * (1 - opacity) + palette[shrunk] * opacity
    return encode_jpeg(mixed.astype(np.uint8), quality=_THUMBNAIL_QUALITY)
