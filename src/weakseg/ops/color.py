"""Colours for looking at results: the VOC label palette, bright ones for screens, overlays of label maps, heat maps."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

_HEAT_STEP = 15
"""Levels between two neighbours in `_HEAT_ANCHORS`; linear interpolation then stays within 3 of 255 of magma."""

# fmt: off
_HEAT_ANCHORS = (
    (0, 0, 4), (9, 7, 32), (26, 16, 66), (49, 17, 101), (74, 16, 121), (98, 25, 128),
    (121, 34, 130), (145, 43, 129), (170, 51, 125), (194, 59, 117), (217, 70, 107), (236, 88, 96),
    (247, 114, 92), (252, 142, 100), (254, 170, 116), (254, 198, 138), (253, 226, 163), (252, 253, 191),
)
"""Every 15th colour of matplotlib's `magma` (CC0, by N. Smith and S. van der Walt), which is perceptually uniform."""
# fmt: on

_FIRST_COLOURS = (
    (255, 94, 91), (0, 200, 214), (255, 196, 0), (170, 110, 255), (80, 220, 100), (255, 120, 200),
    (255, 140, 40), (70, 140, 255), (200, 230, 60), (0, 210, 160), (230, 80, 240), (190, 150, 110),
)  # fmt: skip
"""Bright and far apart, so that they stand out on photographs, whose colours are mostly dark and dull."""

_GOLDEN_TURN = 0.61803398875


@lru_cache(maxsize=1)
def label_palette() -> NDArray[np.uint8]:
    """Return the PASCAL VOC colour of every label.

    The three lowest bits of a label are the highest bits of red, green and blue, the next three bits the next highest,
    and so on (the rule of the VOC development kit's colour map). All 256 colours differ; 255 is (224, 224, 192).

    Returns:
        (256, 3) uint8 RGB, read-only, since one array is shared by all callers.
    """
    labels = np.arange(256, dtype=np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    for group in range(3):  # 8 bits in groups of three; the last group has no blue bit left
        for channel in range(3):
            bit = (labels >> (3 * group + channel)) & 1 if 3 * group + channel < 8 else np.zeros_like(labels)
            palette[:, channel] |= bit << (7 - group)
    palette.setflags(write=False)
    return palette


def class_colours(count: int) -> list[tuple[int, int, int]]:
    """Return a colour for each of `count` classes, for looking at; files of masks have those of `label_palette`.

    The colours of fewer classes are the first of those of more.
    """
    colours = list(_FIRST_COLOURS[:count])
    for index in range(len(colours), count):
        value = (0.98, 0.8, 0.9)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_TURN % 1.0, (0.75, 0.9, 0.55)[index % 3], value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def colourise(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint a label map in VOC colours.

    Args:
        labels: (H, W) uint8 label map, 255 is ignore.

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ShapeError: If `labels` is not (H, W) uint8.
    """
    _require_labels(labels)
    return label_palette()[labels]


def overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8], *, opacity: float = 0.5) -> NDArray[np.uint8]:
    """Lay the colours of a label map over its image.

    Background stays as it is in the image; ignored pixels (255) get the pale grey that VOC draws its void in, which
    no class has.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 label map.
        opacity: Weight of the colours, 0 (image only) to 1 (colours only).

    Returns:
        (H, W, 3) uint8 RGB, a new array.

    Raises:
        ShapeError: If the shapes or dtypes do not fit, or `opacity` is outside 0..1.
    """
    _require_labels(labels)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f"expected an image (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if image.shape[:2] != labels.shape:
        raise ShapeError(f"image {image.shape[:2]} and labels {labels.shape} must have the same height and width")
    if not 0.0 <= opacity <= 1.0:
        raise ShapeError(f"opacity is a share within 0..1, got {opacity}")
    levels = np.arange(256)
    # What every level becomes under every label, by channel: 8 times as fast as mixing pixel by pixel, without floats
    # of the image's size.
    mixtures = (1.0 - opacity) * levels + opacity * label_palette().T[:, :, None].astype(np.float64)
    shades: NDArray[np.uint8] = np.rint(mixtures).astype(np.uint8)
    shades[:, 0] = levels
    mixed = np.empty_like(image)
    for channel in range(3):
        mixed[..., channel] = shades[channel][labels, image[..., channel]]
    return mixed


def heat(scores: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Paint a map of scores from black (0) over purple and orange to pale yellow (1).

    Args:
        scores: (H, W) floating, finite, within 0..1 up to rounding (1e-3).

    Returns:
        (H, W, 3) uint8 RGB, a new array; within 3 of 255 of matplotlib's `magma`.

    Raises:
        ShapeError: If `scores` is not a floating (H, W) array within 0..1.
    """
    if scores.ndim != 2 or not np.issubdtype(scores.dtype, np.floating):
        raise ShapeError(f"expected floating scores (H, W), got {scores.dtype} {scores.shape}")
    if scores.size and not (np.isfinite(scores).all() and scores.min() >= -1e-3 and scores.max() <= 1.0 + 1e-3):
        raise ShapeError(f"expected finite scores within 0..1, got {scores.min():.4g} to {scores.max():.4g}")
    levels: NDArray[np.uint8] = np.rint(np.clip(scores, 0.0, 1.0) * 255.0).astype(np.uint8)
    return _heat_table()[levels]


@lru_cache(maxsize=1)
def _heat_table() -> NDArray[np.uint8]:
    anchors = np.asarray(_HEAT_ANCHORS, np.float64)
    at = np.arange(len(anchors)) * _HEAT_STEP
    table = np.empty((256, 3), np.uint8)
    for channel in range(3):
        table[:, channel] = np.rint(np.interp(np.arange(256), at, anchors[:, channel]))
    return table


def _require_labels(labels: NDArray[np.uint8]) -> None:
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ShapeError(f"expected labels (H, W) uint8, got {labels.shape} {labels.dtype}")
