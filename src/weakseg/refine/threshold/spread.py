"""Otsu's criterion on the seed's scores: a threshold that splits them into two groups far from each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.maps import FloatArray
from weakseg.refine.threshold.cuts import Cuts

LOWEST = 0.01
"""Scores below this count as this: a rectified map is 0 over wide areas, and a logarithm needs a floor."""


def score_spread(cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by the variance between the scores above and below it, (T,)."""
    return between_variance(cuts.strongest, cuts.thresholds)


def score_log_spread(cuts: Cuts) -> NDArray[np.float64]:
    """Do the same on the logarithm of the scores, no less than `LOWEST`, (T,); seeds are peaks with long feet."""
    floored = np.maximum(cuts.strongest.astype(np.float64), LOWEST)
    return between_variance(np.log(floored), np.log(np.maximum(cuts.thresholds, LOWEST)))


def between_variance(values: FloatArray, thresholds: tuple[float, ...] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the variance between two groups of values (Otsu, IEEE Trans. SMC 9(1), 1979) at every threshold.

    Args:
        values: Any number of floats, at least one. Not modified.
        thresholds: (T,); values above one are in the upper group.

    Returns:
        (T,) share of the lower group times share of the upper one times the squared difference of their means; 0 where
        a group is empty.
    """
    ordered = np.sort(values.ravel().astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    lower = np.searchsorted(ordered, np.asarray(thresholds, np.float64), side="right")
    upper = len(ordered) - lower
    share = lower / len(ordered)
    mean_below = sums[lower] / np.maximum(lower, 1)
    mean_above = (sums[-1] - sums[lower]) / np.maximum(upper, 1)
    # With an empty group one share is 0, whatever its mean was set to.
    spread: NDArray[np.float64] = share * (1 - share) * (mean_above - mean_below) ** 2
    return spread
