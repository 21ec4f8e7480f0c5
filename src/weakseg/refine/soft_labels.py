"""Soft labels: the label of every pixel, and how sure a refinement is of it.

Every method ends with one score per pixel for the background and for each of the image's own classes. The strongest
gives the label, and its share of their sum is the confidence, for all methods alike:

| method | score of the background | scores of the classes |
| --- | --- | --- |
| `none` | the background threshold | the seed's maps, see `score_threshold` |
| `irn` | the background threshold | the walked maps, see `score_threshold` |
| `par` | the background threshold | the averaged maps, see `score_threshold`; with its CRF as `crf` |
| `crf` | its marginal | their marginals, see `weakseg.refine.crf.crf_marginals` |
| `psa` | its walked score | the walked maps; with the final CRF marginals, see `weakseg.refine.psa.psa_scores` |

`merge` begins with the mask of another one: `weakseg.refine.masks_merge.merge_soft_masks`.
`docs/labels.md` tells how far the shares of each can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.grey import GREY_MAX
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.maps import FloatArray, strongest_label


@dataclass(frozen=True, eq=False)
class SoftMask:
    """A label map and how sure it is.

    Args:
        labels: (H, W) uint8, 0 background, c+1 class c, 255 no label.
        confidence: (H, W) float32 in 0..1; 0 where there is no label.

    Raises:
        ShapeError: If the two are not such arrays of one size.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            raise ShapeError(f"expected labels (H, W) uint8, got {self.labels.shape} {self.labels.dtype}")
        if self.confidence.shape != self.labels.shape or self.confidence.dtype != np.float32:
            raise ShapeError(
                f"expected confidence {self.labels.shape} float32, one value per label, got {self.confidence.shape} "
                f"{self.confidence.dtype}"
            )


def score_threshold(maps: FloatArray, *, background_threshold: float) -> FloatArray:
    """Put the background before the maps, with the same score everywhere.

    Where the threshold alone decides (`none`, `irn`), a pixel's confidence so is t / (t + sum of the maps) in the
    background and largest map / (t + sum of the maps) in a class: below 1/2 only where several classes compete.

    Args:
        maps: (K, H, W) float maps in 0..1; K may be 0. Not modified.
        background_threshold: Score t of the background, 0..1, rounded to the precision of the maps.

    Returns:
        (K + 1, H, W) scores of the same dtype, background first.

    Raises:
        ConfigError: If the threshold is not within 0..1.
        ShapeError: If the maps are not (K, H, W) floats.
    """
    if not 0 <= background_threshold <= 1:
        raise ConfigError(f"background_threshold: expected a value within 0..1, got {background_threshold}")
    if maps.ndim != 3 or not np.issubdtype(maps.dtype, np.floating):
        raise ShapeError(f"expected float maps (K, H, W), got {maps.dtype} {maps.shape}")
    scores = np.empty((len(maps) + 1, *maps.shape[1:]), maps.dtype)
    scores[0], scores[1:] = background_threshold, maps
    return scores


def choose_labels(scores: FloatArray, keys: Sequence[int]) -> NDArray[np.uint8]:
    """Label every pixel by the strongest of the background and the classes.

    Args:
        scores: (K + 1, H, W) float, 0 or more, background first, without NaN. Not modified.
        keys: The K class indices, distinct, 0..253.

    Returns:
        (H, W) uint8, 0 for the background and class index + 1 elsewhere. Among equal scores the background wins, then
        the first class.

    Raises:
        ShapeError: If scores and keys are not as described.
    """
    if scores.ndim != 3 or len(scores) != len(keys) + 1:
        raise ShapeError(f"expected scores ({len(keys) + 1}, H, W) of background and keys, got {scores.shape}")
    value, label = strongest_label(scores[1:], keys)
    label[scores[0] >= value] = 0
    return label


def soften(scores: FloatArray, keys: Sequence[int]) -> SoftMask:
    """Label every pixel, and say how sure that is: the strongest score's share of all scores of the pixel.

    Args:
        scores: As in `choose_labels`; they need not sum to 1.
        keys: The K class indices, distinct, 0..253.

    Returns:
        The labels of `choose_labels`. Confidence is 1 where the image has no tags, and 1 / (K + 1) where all scores are
        0, since nothing speaks for any label.

    Raises:
        ShapeError: If scores and keys are not as described.
    """
    labels = choose_labels(scores, keys)
    total = scores.sum(axis=0, dtype=np.float32)
    even = np.full(labels.shape, 1 / len(scores), np.float32)
    share = np.divide(scores.max(axis=0), total, out=even, where=total > 0)
    return SoftMask(labels, np.minimum(share, np.float32(1)))  # rounding may leave a sum below its only term


def to_grey(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn confidence (H, W) in 0..1 into grey values, 255 for 1, rounded to the nearest."""
    grey: NDArray[np.uint8] = np.rint(confidence * np.float32(GREY_MAX)).astype(np.uint8)
    return grey
