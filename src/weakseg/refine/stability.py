"""Which pixels keep their label when the background threshold moves: the others are too doubtful to teach by.

No threshold is right for all images. Where a lower one says cat and a higher one background, the label depends on that
number rather than on the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.refine.soft_labels import SoftMask

HIGHEST = 0.99
"""Seeds reach 1 at their maximum: a threshold of 1 would leave no class at all."""


def neighbouring_thresholds(threshold: float, within: tuple[float, float]) -> tuple[float, float]:
    """Return the thresholds so many times lower and so many higher, the latter at most 0.99 or the threshold itself."""
    lower, higher = within
    return threshold / lower, max(threshold, min(threshold * higher, HIGHEST))


def doubt_unstable(mask: SoftMask, others: Iterable[NDArray[np.uint8]]) -> SoftMask:
    """Take all confidence from the pixels that have another label in one of the other masks.

    Args:
        mask: Labels (H, W) and how sure they are. Not modified.
        others: Masks (H, W) uint8 of the same image at other thresholds. Not modified.

    Returns:
        The same labels; confidence 0 where one of the others differs.

    Raises:
        ShapeError: If the masks differ in size.
    """
    confidence = mask.confidence.copy()
    for other in others:
        if other.shape != mask.labels.shape:
            raise ShapeError(f"expected masks of one size {mask.labels.shape}, got {other.shape}")
        confidence[other != mask.labels] = 0
    return replace(mask, confidence=confidence)
