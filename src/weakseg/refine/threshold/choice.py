"""The choice among candidate thresholds by the average of a statistic over images.

A statistic is a noisy and a biased guide: averages over a hundred images scatter, their curves are flat at the top, and
colours may tell more about an animal's head than about the whole animal. The candidate with the largest average is
therefore only where the search begins. Of all candidates that are about as good, the one nearest to the usual threshold
is taken, much as the one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984) takes the
simplest tree of those about as good as the best. What departs from the usual threshold thus has evidence for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

CANDIDATES = (0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Thresholds to choose among: about equal ratios below, since seeds are peaks with long feet; equal steps above, for
those of textures, whose feet are high."""

USUAL = 0.15
"""The schema's default: taken where nothing tells of another, see `weakseg.refine.threshold.level`."""

TOLERANCE = 0.06
"""A candidate is about as good as the best one if its average is lower by no more than this share; docs/threshold.md
says how this was chosen."""


@dataclass(frozen=True)
class ThresholdChoice:
    """A chosen threshold.

    Args:
        threshold: One of the candidates.
        best: The one with the largest average; the chosen one itself where nothing is clear.
        candidates: All of them, ascending.
        curve: Average of the statistic at each; None where no image defines it.
        images: Number of images.
        usual: The threshold that is left only as far as the evidence asks for.
        is_clear: Whether any two candidates differ, and the best average is above 0; if not, the usual threshold is
            taken.
    """

    threshold: float
    best: float
    candidates: tuple[float, ...]
    curve: tuple[float | None, ...]
    images: int
    usual: float
    is_clear: bool


def choose_threshold(
    scores: NDArray[np.float64], candidates: Sequence[float], *, usual: float = USUAL
) -> ThresholdChoice:
    """Choose the candidate nearest to the usual threshold among those that are about as good as the best one.

    Args:
        scores: (N, T) one image's statistic per row, NaN where it is undefined. N may be 0. Not modified.
        candidates: (T,) thresholds above 0, ascending.
        usual: The threshold to stay near to, above 0.

    Returns:
        The choice: of the candidates whose average is at most 6 % below the largest, that whose ratio to the usual one
        is nearest to 1, the lower of two. Where all averages are equal or undefined, as for maps that are 0 everywhere,
        or none is above 0, as where colours tell nothing, the candidate nearest to the usual one.

    Raises:
        ShapeError: If scores and candidates do not fit.
    """
    if scores.ndim != 2 or not candidates or scores.shape[1] != len(candidates):
        raise ShapeError(f"expected scores (images, {len(candidates)}), one column per candidate, got {scores.shape}")
    distances = np.abs(np.log(np.array(candidates) / usual))
    defined = ~np.isnan(scores)
    counts = defined.sum(axis=0)
    sums = np.where(defined, scores, 0).sum(axis=0)
    means = np.divide(sums, counts, out=np.full(len(candidates), np.nan), where=counts > 0)
    found = means[counts > 0]
    is_clear = bool(found.size) and bool(found.max() > max(found.min(), 0))
    if is_clear:
        best = int(np.nanargmax(means))
        is_good = means >= (1 - TOLERANCE) * means[best]  # NaN is not
        place = int(np.where(is_good, distances, np.inf).argmin())
    else:
        best = place = int(distances.argmin())
    return ThresholdChoice(
        threshold=float(candidates[place]),
        best=float(candidates[best]),
        candidates=tuple(candidates),
        curve=tuple(None if np.isnan(mean) else round(float(mean), 6) for mean in means),
        images=len(scores),
        usual=round(float(usual), 6),
        is_clear=is_clear,
    )
