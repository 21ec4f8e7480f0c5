"""Cuts for the tests of statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.refine.threshold.cuts import Cuts


def make_cuts(
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.uint8]],
    *,
    seed_masks: Sequence[NDArray[np.uint8]] | None = None,
    strongest: NDArray[np.float32] | None = None,
    keys: tuple[int, ...] = (0,),
) -> Cuts:
    """Return an image cut at as many thresholds as there are masks: 0.1, 0.2, ..."""
    stacked = np.stack(masks)
    return Cuts(
        image=image,
        keys=keys,
        strongest=np.zeros(image.shape[:2], np.float32) if strongest is None else strongest,
        thresholds=tuple(round(0.1 * (place + 1), 1) for place in range(len(masks))),
        seed_masks=stacked if seed_masks is None else np.stack(seed_masks),
        masks=stacked,
    )


def square(size_hw: tuple[int, int], margin: int, *, label: int = 1) -> NDArray[np.uint8]:
    """Return a label map whose inner rectangle, `margin` px from every side, has a label."""
    labels = np.zeros(size_hw, np.uint8)
    labels[margin : size_hw[0] - margin, margin : size_hw[1] - margin] = label
    return labels
