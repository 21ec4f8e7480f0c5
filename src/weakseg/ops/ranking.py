"""How well a classifier ranks images: average precision of its scores against the tags, class by class."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.maps import FloatArray

Float64Array = NDArray[np.float64]


def average_precision(scores: FloatArray, tags: NDArray[np.generic], known: NDArray[np.bool_]) -> Float64Array:
    """Compute the average precision of each class: the mean of the precision at the score of each positive image.

    The precision at a score counts every image that scores at least as high, so equal scores share one value and the
    order of the images does not matter. This is scikit-learn's definition, not VOC's 11-point one.

    Args:
        scores: (N, C) float, larger means more likely; logits or probabilities, without NaN.
        tags: (N, C) of 0 and 1.
        known: (N, C) bool; images whose tag is unknown are left out, class by class.

    Returns:
        (C,) float64 in 0..1; NaN for a class without a positive image.

    Raises:
        ShapeError: If the three are not of one shape (N, C), `known` is not bool, or a score is NaN.
    """
    if scores.ndim != 2 or tags.shape != scores.shape or known.shape != scores.shape:
        shapes = f"{scores.shape}, {tags.shape} and {known.shape}"
        raise ShapeError(f"expected scores, tags and known of one shape (N, C), got {shapes}")
    if known.dtype != np.bool_:
        raise ShapeError(f"expected known as bool, got {known.dtype}")
    if np.isnan(scores).any():
        raise ShapeError("scores hold NaN; did training diverge?")
    result = np.full(scores.shape[1], np.nan)
    for index in range(scores.shape[1]):
        ranked = np.sort(scores[known[:, index], index])
        positive = np.sort(scores[known[:, index] & (tags[:, index] != 0), index])
        if positive.size:
            at_least = ranked.size - np.searchsorted(ranked, positive, side="left")
            hits = positive.size - np.searchsorted(positive, positive, side="left")
            result[index] = (hits / at_least).mean()
    return result


def mean_average_precision(scores: FloatArray, tags: NDArray[np.generic], known: NDArray[np.bool_]) -> float:
    """Average `average_precision` over the classes that have a positive image; NaN if none has."""
    values = average_precision(scores, tags, known)
    defined = ~np.isnan(values)
    return float(np.where(defined, values, 0.0).sum() / defined.sum()) if defined.any() else math.nan
