"""How a label map errs: too much, too little, or the wrong class.

IoU alone does not tell a seed that covers the heads of animals from one that covers the animals and half of the meadow.
With the counts of true positives (TP), false positives (FP) and false negatives (FN) of a label, and the union
U = TP + FP + FN,

    over = FP / U,    under = FN / U,    IoU = TP / U = 1 - over - under,

so that the three are shares of one whole, and a method that gains IoU shows from which of the two errors. The counts
are those of a confusion matrix over all images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ErrorShares:
    """Shares of each label's union of truth and prediction; (L,) float64 in 0..1, NaN where both lack the label.

    Args:
        iou: Pixels that have the label and were given it.
        over: Pixels that were given the label and do not have it: over-segmentation.
        over_other: The part of `over` whose pixels have another class, not the background. Each of these is also a
            pixel that its own class misses.
        under: Pixels that have the label and were not given it: under-segmentation.
    """

    iou: Float64Array
    over: Float64Array
    over_other: Float64Array
    under: Float64Array


def share_errors(counts: NDArray[np.int64]) -> ErrorShares:
    """Part the union of each label into right pixels, false ones and missed ones.

    Args:
        counts: (L, L + 1) pixels by truth (row) and prediction (column), background first, the last column for
            pixels without an answer, as `weakseg.ops.metrics.ConfusionMatrix.counts` has them. Not modified.

    Raises:
        ShapeError: If the counts are not of that shape.
    """
    if counts.ndim != 2 or counts.shape[1] != counts.shape[0] + 1:
        raise ShapeError(f"expected counts (L, L + 1), got {counts.shape}")
    hits = np.diagonal(counts)
    given = counts[:, :-1].sum(axis=0)
    missed = counts.sum(axis=1) - hits
    union = given + missed
    of_classes = counts[1:, :-1].sum(axis=0)
    of_classes[1:] -= hits[1:]
    with np.errstate(invalid="ignore"):
        return ErrorShares(
            iou=np.true_divide(hits, union),
            over=np.true_divide(given - hits, union),
            over_other=np.true_divide(of_classes, union),
            under=np.true_divide(missed, union),
        )
