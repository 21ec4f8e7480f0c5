"""One image cut at every candidate threshold: what the statistics look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.images import require_image
from weakseg.ops.maps import FloatArray, strongest_label
from weakseg.refine.masks import seed_to_mask


@dataclass(frozen=True, eq=False)
class Cuts:
    """An image, and its masks at every candidate threshold.

    Args:
        image: (H, W, 3) uint8 RGB.
        keys: Class indices of the image's own tags.
        strongest: (H, W) float, the largest score of those classes, 0..1.
        thresholds: The T candidates, ascending.
        seed_masks: (T, H, W) uint8, the seed cut at each of them, 0 for background.
        masks: (T, H, W) uint8, what the refinement makes of each; the same as `seed_masks` without one.

    Raises:
        ShapeError: If the arrays do not fit each other, or thresholds do not ascend.
    """

    image: NDArray[np.uint8]
    keys: tuple[int, ...]
    strongest: FloatArray
    thresholds: tuple[float, ...]
    seed_masks: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def __post_init__(self) -> None:
        require_image(self.image)
        size_hw = self.image.shape[:2]
        expected = (len(self.thresholds), *size_hw)
        if self.strongest.shape != size_hw or self.seed_masks.shape != expected or self.masks.shape != expected:
            raise ShapeError(
                f"expected scores {size_hw} and masks {expected}, one per threshold, got {self.strongest.shape}, "
                f"{self.seed_masks.shape} and {self.masks.shape}"
            )
        if list(self.thresholds) != sorted(set(self.thresholds)):
            raise ShapeError(f"expected thresholds that ascend without repeats, got {self.thresholds}")


Statistic = Callable[[Cuts], NDArray[np.float64]]
"""Scores every threshold of an image, (T,), the higher the better; NaN where it is undefined."""


def cut_maps(maps: FloatArray, keys: Sequence[int], thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """Cut maps at every threshold.

    Args:
        maps: (K, H, W) float maps in 0..1. Not modified.
        keys: Their class indices.
        thresholds: T background thresholds.

    Returns:
        (T, H, W) uint8, each as `weakseg.refine.masks.seed_to_mask` has it.
    """
    return np.stack([seed_to_mask(maps, keys, background_threshold=threshold) for threshold in thresholds])


def strongest_score(maps: FloatArray, keys: Sequence[int]) -> FloatArray:
    """Return the largest score of every pixel, (H, W); 0 everywhere without maps."""
    return strongest_label(maps, keys)[0] if len(keys) else np.zeros(maps.shape[1:], maps.dtype)
