"""Specks: parts of a few pixels that masks cut by a CRF or a threshold hold, and that nobody wants as objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.types import IGNORE_LABEL

MIN_SHARE = 1 / 1000
"""By default a part is a speck if it has fewer than this share of the image's pixels ..."""

FEWEST_PX, MOST_PX = 4, 64
"""... or than the first of these, and none from the second on: a cell of a map with the usual stride of 8 pixels."""

_WITH_DIAGONALS = np.ones((3, 3), np.bool_)


def choose_min_area(size_hw: tuple[int, ...]) -> int:
    """Return the fewest pixels that a part of an object needs by default in an image of (height, width) pixels."""
    return int(np.clip(round(size_hw[0] * size_hw[1] * MIN_SHARE), FEWEST_PX, MOST_PX))


class Specks:
    """Leaves specks out of label maps, and counts them.

    Args:
        min_area_px: Parts of fewer pixels are specks; None chooses by the size of the image, 0 finds none.
    """

    def __init__(self, min_area_px: int | None) -> None:
        self.min_area_px = min_area_px
        self._parts = 0
        self._left_out = 0
        self._areas: set[int] = set()

    def min_area(self, size_hw: tuple[int, ...]) -> int:
        """Return the fewest pixels that a part needs in an image of (height, width) pixels."""
        return choose_min_area(size_hw) if self.min_area_px is None else self.min_area_px

    def clear(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give the pixels of specks the label of the nearest pixel that is in none.

        Args:
            labels: (H, W) uint8 label map; 0 and 255 have no specks.

        Returns:
            (H, W) uint8; `labels` itself if there are none.
        """
        min_area_px = self.min_area(labels.shape)
        if min_area_px <= 1:
            return labels
        self._areas.add(min_area_px)
        small = np.zeros(labels.shape, np.bool_)
        for label in np.unique(labels[(labels != 0) & (labels != IGNORE_LABEL)]).tolist():
            parts, count = ndimage.label(labels == label, _WITH_DIAGONALS)
            is_small = np.bincount(parts.ravel(), minlength=count + 1) < min_area_px
            is_small[0] = False
            self._parts += count
            self._left_out += int(is_small.sum())
            small |= is_small[parts]
        if not small.any():
            return labels
        if small.all():
            return np.zeros_like(labels)
        rows, columns = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
        return np.asarray(labels[rows, columns])

    def keeps(self, mask: NDArray[np.bool_]) -> bool:
        """Say whether an object (H, W) bool is no speck, and count it."""
        min_area_px = self.min_area(mask.shape)
        self._areas.add(min_area_px)
        kept = bool(np.count_nonzero(mask) >= min_area_px)
        self._parts += 1
        self._left_out += not kept
        return kept

    def counts(self) -> dict[str, list[int]]:
        """Return what was counted, as plain values for `add`."""
        return {"parts": [self._parts, self._left_out], "areas": sorted(self._areas)}

    def add(self, counts: Mapping[str, Sequence[int]]) -> None:
        """Add what others have counted."""
        parts, left_out = counts["parts"]
        self._parts += parts
        self._left_out += left_out
        self._areas.update(counts["areas"])

    def notes(self) -> list[str]:
        """Say how much was left out, and how to keep it; empty if it was nothing."""
        if not self._left_out:
            return []
        areas = sorted(self._areas)
        limit = f"{areas[0]} pixels" if len(areas) == 1 else f"{areas[0]} to {areas[-1]} pixels, by the image's size"
        return [
            f"{self._left_out} of {self._parts} parts are specks of fewer than {limit}, and left out; "
            "--min-area-px 0 keeps them"
        ]
