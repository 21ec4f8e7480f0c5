"""How well masks agree: with what a refinement makes of them, with those at nearby thresholds, with all the others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from weakseg.refine.threshold.cuts import Cuts


def score_refinement(cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by how little the refinement changes the seed's mask, (T,) in 0..1."""
    return np.array([mask_overlap(*pair) for pair in zip(cuts.seed_masks, cuts.masks, strict=True)])


def score_stability(cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by how little the mask changes up to its two neighbours, (T,) in 0..1.

    A threshold between an object's scores and those of its surroundings may be moved without changing the mask, as in
    maximally stable extremal regions (Matas et al., BMVC 2002). The ends, which have but one neighbour, are NaN.
    """
    scores = np.full(len(cuts.masks), np.nan)
    overlaps = np.array([mask_overlap(*pair) for pair in pairwise(cuts.masks)])
    scores[1:-1] = (overlaps[:-1] + overlaps[1:]) / 2
    return scores


def score_typicality(cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by its mask's mean overlap with the masks at all thresholds, (T,) in 0..1."""
    overlaps = [[mask_overlap(mask, other) for other in cuts.masks] for mask in cuts.masks]
    means: NDArray[np.float64] = np.array(overlaps).mean(axis=1)
    return means


def mask_overlap(mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the pixels of equal foreground label over the pixels that are foreground in either mask; NaN if none is.

    Args:
        mask: (H, W) uint8, 0 for background. Not modified.
        other: The same of another mask.
    """
    either = (mask > 0) | (other > 0)
    count = int(either.sum())
    return float(((mask == other) & either).sum() / count) if count else float("nan")
