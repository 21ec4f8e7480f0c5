"""Painting the shapes of an annotation tool into a label map, one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.coco_outlines import Outline, draw_labels
from weakseg.errors import DataError


@dataclass(frozen=True, eq=False)
class Shape:
    """One painted region.

    Args:
        label: Its label: 0 background, c+1 class c, 255 not looked at.
        pixels: (H, W) bool.
        layer: Regions of a higher layer lie on top; of one layer, the later.
    """

    label: int
    pixels: NDArray[np.bool_]
    layer: int = 0


def paint(shapes: Sequence[Shape], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint regions onto background -> (H, W) uint8."""
    mask = np.zeros(size_hw, np.uint8)
    for shape in sorted(shapes, key=lambda shape: shape.layer):
        mask[shape.pixels] = shape.label
    return mask


def fill_polygon(corners_xy: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (H, W) bool whose centres lie within a polygon.

    Args:
        corners_xy: (P, 2) in pixels; the pixel in row r and column c covers r..r+1 and c..c+1.
        size_hw: (height, width) of the image.

    Raises:
        DataError: If there are fewer than three corners, or one is far outside any image.
    """
    require_within(corners_xy, size_hw)
    outline = Outline(1, crowd=False, segmentation=[[float(value) for value in corners_xy.ravel()]])
    return np.equal(draw_labels([outline], size_hw=size_hw), 1)


def require_within(corners_xy: NDArray[np.float64], size_hw: tuple[int, int]) -> None:
    """Refuse a shape that lies outside the image as a whole: its corners are meant in another unit or image.

    Args:
        corners_xy: (P, 2) in pixels, at least one.
        size_hw: (height, width) of the image.

    Raises:
        DataError: If no part of it can be in the image.
    """
    for axis, size in enumerate(size_hw[::-1]):
        low, high = float(corners_xy[:, axis].min()), float(corners_xy[:, axis].max())
        if low >= size or high <= 0:
            raise DataError(
                f"a shape lies outside the image of {size_hw[1]} x {size_hw[0]} pixels, at {'xy'[axis]} = {low:g}.."
                f"{high:g}; export it at the size of the image"
            )


def pair_up(values: Sequence[float], *, what: str) -> NDArray[np.float64]:
    """Turn x1 y1 x2 y2 ... into corners (P, 2).

    Raises:
        DataError: If their number is odd or below six.
    """
    if len(values) < len(("x1", "y1", "x2", "y2", "x3", "y3")) or len(values) % 2:
        raise DataError(f"{what}: expected three corners x y or more, got {len(values)} numbers")
    return np.array(values, np.float64).reshape(-1, 2)
