"""The choice among candidate thresholds by the average of a statistic over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

CANDIDATES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Thresholds to choose among: about equal ratios, since seeds are peaks with long feet."""

USUAL = 0.15
"""Taken where no candidate is better than another; the schema's default."""


@dataclass(frozen=True)
class ThresholdChoice:
    """A chosen threshold.

    Args:
        threshold: One of the candidates.
        candidates: All of them, ascending.
        curve: Average of the statistic at each; None where no image defines it.
        images: Number of images.
        is_clear: Whether any two candidates differ, and the best average is above 0; if not, the usual threshold is
            taken.
    """

    threshold: float
    candidates: tuple[float, ...]
    curve: tuple[float | None, ...]
    images: int
    is_clear: bool


def choose_threshold(scores: NDArray[np.float64], candidates: Sequence[float]) -> ThresholdChoice:
    """Choose the candidate with the largest average, the lowest one of equals.

    Args:
        scores: (N, T) one image's statistic per row, NaN where it is undefined. N may be 0.
        candidates: (T,) thresholds, ascending.

    Returns:
        The choice. Where all averages are equal or undefined, as for maps that are 0 everywhere, or none is above 0, as
        where colours tell nothing, the candidate nearest to 0.15.

    Raises:
        ShapeError: If scores and candidates do not fit.
    """
    if scores.ndim != 2 or not candidates or scores.shape[1] != len(candidates):
        raise ShapeError(f"expected scores (images, {len(candidates)}), one column per candidate, got {scores.shape}")
    defined = ~np.isnan(scores)
    counts = defined.sum(axis=0)
    sums = np.where(defined, scores, 0).sum(axis=0)
    means = np.divide(sums, counts, out=np.full(len(candidates), np.nan), where=counts > 0)
    found = means[counts > 0]
    is_clear = bool(found.size) and bool(found.max() > max(found.min(), 0))
    place = int(np.nanargmax(means)) if is_clear else int(np.abs(np.array(candidates) - USUAL).argmin())
    curve = tuple(None if np.isnan(mean) else round(float(mean), 6) for mean in means)
    return ThresholdChoice(float(candidates[place]), tuple(candidates), curve, len(scores), is_clear)
