"""Pictures and colours for the page."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.ops.images import limit_side
from weakseg.types import IGNORE_LABEL

THUMBNAIL_SIDE_PX = 144
"""Longer side of a thumbnail: 72 px on a screen of two pixels per px."""

_JPEG_QUALITY = 92
_THUMBNAIL_QUALITY = 80
_THUMBNAIL_OPACITY = 0.55

_FIRST_COLOURS = (
    (255, 94, 91), (0, 200, 214), (255, 196, 0), (170, 110, 255), (80, 220, 100), (255, 120, 200),
    (255, 140, 40), (70, 140, 255), (200, 230, 60), (0, 210, 160), (230, 80, 240), (190, 150, 110),
)  # fmt: skip
"""Bright and far apart, so that they stand out on photographs, whose colours are mostly dark and dull."""

_GOLDEN_TURN = 0.61803398875
UNSEEN_COLOUR = (235, 235, 235)
"""Of pixels that nobody has looked at; the page stripes them."""


def class_colours(count: int) -> list[tuple[int, int, int]]:
    """Return a colour for each of `count` classes."""
    colours = list(_FIRST_COLOURS[:count])
    for index in range(len(colours), count):
        value = (0.98, 0.8, 0.9)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_TURN % 1.0, (0.75, 0.9, 0.55)[index % 3], value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


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
