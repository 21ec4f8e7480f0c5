"""Scores of label maps and of seeds against the truth: confusion matrix and threshold sweep.

Label maps hold 0 for the background, c + 1 for class c and 255 for void. One global count over all images, not an
average of per-image scores. A score that is 0 / 0 is NaN and left out of means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.kinds import require_array
from weakseg.ops.maps import FloatArray, strongest_label
from weakseg.types import IGNORE_LABEL, MAX_CLASSES

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]
LabelArray = NDArray[np.integer]

# What the truth says of a pixel's strongest label: another class, this one, no class, nothing.
_MISS, _HIT, _BACKGROUND, _VOID = range(4)
_NUM_OUTCOMES = 4


@dataclass(frozen=True, eq=False)
class ConfusionResult:
    """Scores of label maps; all are fractions in 0..1, NaN where undefined.

    Args:
        iou: (L,) intersection over union per label; NaN where neither truth nor prediction has the label.
        mean_iou: Mean of the labels' `iou`, NaN left out.
        precision: (L,) share of the pixels given the label that have it; NaN where it was never given.
        recall: (L,) share of the pixels that have the label which were given it; NaN where the truth lacks it.
        pixel_accuracy: Share of all pixels that were given their label.
        support: (L,) int64, the truth's pixels per label, void left out.
        images: Number of images counted.
    """

    iou: Float64Array
    mean_iou: float
    precision: Float64Array
    recall: Float64Array
    pixel_accuracy: float
    support: Int64Array
    images: int


class ConfusionMatrix:
    """Counts pixels by true and predicted label. Picklable; counts of several processes are joined by `merge`.

    Args:
        num_labels: Number of labels L, background included.

    Attributes:
        counts: (L, L + 1) int64, pixels by truth (row) and prediction (column), the last column for answers of 255.
        images: Number of calls of `update`.

    Raises:
        ShapeError: If `num_labels` is not in 1..255.
    """

    def __init__(self, num_labels: int) -> None:
        _require_num_labels(num_labels)
        self.num_labels = num_labels
        self.images = 0
        self.counts: Int64Array = np.zeros((num_labels, num_labels + 1), np.int64)

    def update(self, prediction: LabelArray, truth: LabelArray) -> None:
        """Count one image.

        Args:
            prediction: Integer labels (H, W). 255 means no answer: the true label misses the pixel, no label gains
                a false positive.
            truth: Integer labels of the same shape; pixels of 255 are left out.

        Raises:
            ShapeError: If the shapes differ, a dtype is not integer, or a label is neither 0..L-1 nor 255.
        """
        _require_labels(prediction, self.num_labels, what="prediction")
        _require_labels(truth, self.num_labels, what="truth")
        if prediction.shape != truth.shape:
            raise ShapeError(f"prediction {prediction.shape} and truth {truth.shape} differ in shape")
        counted = truth != IGNORE_LABEL
        answer = prediction[counted].astype(np.int64)
        answer[answer == IGNORE_LABEL] = self.num_labels
        code = truth[counted].astype(np.int64) * (self.num_labels + 1) + answer
        self.counts += np.bincount(code, minlength=self.counts.size).reshape(self.counts.shape)
        self.images += 1

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of `other`, which is not modified; a `ShapeError` if its number of labels differs."""
        if other.num_labels != self.num_labels:
            raise ShapeError(f"cannot merge counts of {other.num_labels} labels into those of {self.num_labels}")
        self.counts += other.counts
        self.images += other.images

    def result(self) -> ConfusionResult:
        """Return the scores of everything counted so far; without any pixel they are NaN."""
        hits = np.diagonal(self.counts).copy()
        support = self.counts.sum(axis=1)
        given = self.counts[:, : self.num_labels].sum(axis=0)
        iou = _ratio(hits, support + given - hits)
        return ConfusionResult(
            iou=iou,
            mean_iou=float(_mean_defined(iou)),
            precision=_ratio(hits, given),
            recall=_ratio(hits, support),
            pixel_accuracy=float(_ratio(hits.sum(), support.sum())),
            support=support,
            images=self.images,
        )


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Scores of seeds at every background threshold; fractions in 0..1, NaN where undefined.

    Args:
        thresholds: (T,) the thresholds, ascending.
        iou: (T, L) intersection over union per label; NaN where neither truth nor prediction has the label.
        mean_iou: (T,) mean of the labels' `iou`, NaN left out.
        precision: (T,) share of the pixels given any class that have just this class.
        recall: (T,) share of the pixels with a class that were given just this class.
        support: (L,) int64, the truth's pixels per label, void left out.
        images: Number of images counted.
    """

    thresholds: Float64Array
    iou: Float64Array
    mean_iou: Float64Array
    precision: Float64Array
    recall: Float64Array
    support: Int64Array
    images: int

    @property
    def best_index(self) -> int:
        """Index of the largest mean IoU, the lowest threshold among equals; 0 if nothing was counted."""
        return int(np.argmax(np.nan_to_num(self.mean_iou, nan=-1.0)))

    @property
    def best_threshold(self) -> float:
        """Threshold with the largest mean IoU: chosen against this truth, hence to be reported as `oracle`."""
        return float(self.thresholds[self.best_index])

    @property
    def best_mean_iou(self) -> float:
        """The largest mean IoU."""
        return float(self.mean_iou[self.best_index])


class ThresholdSweep:
    """Scores seeds at many background thresholds in one pass over each image. Picklable; see `merge`.

    At threshold t a pixel is background where its largest map is at most t, else the class of that map; ties and the
    precision of the comparison are those of `weakseg.refine.masks.seed_to_mask`. A pixel's label depends on t only
    through the number of thresholds below its largest map, so a histogram over that number, the strongest class and
    its agreement with the truth holds every score of the sweep.

    Args:
        num_labels: Number of labels L, background included.
        thresholds: Background thresholds, strictly ascending, in the unit of the maps.

    Raises:
        ShapeError: If `num_labels` is not in 1..255, or the thresholds are empty, not finite or do not ascend.
    """

    def __init__(self, num_labels: int, thresholds: Sequence[float] | FloatArray) -> None:
        _require_num_labels(num_labels)
        self.num_labels = num_labels
        self.thresholds: Float64Array = np.array(thresholds, np.float64)
        if self.thresholds.ndim != 1 or not self.thresholds.size or not (np.diff(self.thresholds) > 0).all():
            raise ShapeError(f"thresholds: expected one or more, strictly ascending, got {self.thresholds}")
        if not np.isfinite(self.thresholds).all():
            raise ShapeError(f"thresholds: expected finite values, got {self.thresholds}")
        self.images = 0
        self._support: Int64Array = np.zeros(num_labels, np.int64)
        # Pixels by number of thresholds exceeded, strongest label, and outcome.
        self._pixels: Int64Array = np.zeros((self.thresholds.size + 1, num_labels, _NUM_OUTCOMES), np.int64)

    def update(self, maps: FloatArray, keys: Sequence[int], truth: LabelArray) -> None:
        """Count one image.

        Args:
            maps: (K, H, W) float seed without NaN; K may be 0, which makes every pixel background.
            keys: The K class indices of the maps, distinct, below L - 1.
            truth: (H, W) integer labels; pixels of 255 are left out.

        Raises:
            ShapeError: If shapes, dtypes, keys or labels do not fit.
        """
        value, label = strongest_label(maps, keys)
        if any(key >= self.num_labels - 1 for key in keys):
            raise ShapeError(f"keys: expected class indices below {self.num_labels - 1}, got {list(keys)}")
        if truth.shape != value.shape:
            raise ShapeError(f"maps {maps.shape} and truth {truth.shape} must agree in height and width")
        _require_labels(truth, self.num_labels, what="truth")
        exceeded = np.searchsorted(self.thresholds.astype(value.dtype), value, side="left")
        outcome = np.where(truth == label, np.uint8(_HIT), np.uint8(_MISS))
        np.copyto(outcome, _BACKGROUND, where=truth == 0)
        np.copyto(outcome, _VOID, where=truth == IGNORE_LABEL)
        code = (exceeded * self.num_labels + label) * _NUM_OUTCOMES + outcome
        self._pixels += np.bincount(code.ravel(), minlength=self._pixels.size).reshape(self._pixels.shape)
        self._support += np.bincount(truth.ravel(), minlength=IGNORE_LABEL + 1)[: self.num_labels]
        self.images += 1

    def merge(self, other: ThresholdSweep) -> None:
        """Add the counts of `other`, which is not modified; a `ShapeError` if its labels or thresholds differ."""
        if other.num_labels != self.num_labels or not np.array_equal(other.thresholds, self.thresholds):
            raise ShapeError("cannot merge sweeps that differ in their number of labels or their thresholds")
        self._pixels += other._pixels
        self._support += other._support
        self.images += other.images

    def result(self) -> SweepResult:
        """Return the scores of everything counted so far; without any pixel they are NaN."""
        counted = self._pixels[:, :, :_VOID]
        # Threshold i leaves a pixel in the foreground if it exceeds more than i thresholds.
        kept = counted[::-1].cumsum(axis=0)[::-1][1:]
        dropped = counted.sum(axis=1).cumsum(axis=0)[:-1]
        hits, given = kept[:, :, _HIT].copy(), kept.sum(axis=2)
        hits[:, 0], given[:, 0] = dropped[:, _BACKGROUND], dropped.sum(axis=1)
        iou = _ratio(hits, self._support + given - hits)
        class_hits = hits[:, 1:].sum(axis=1)
        return SweepResult(
            thresholds=self.thresholds.copy(),
            iou=iou,
            mean_iou=_mean_defined(iou),
            precision=_ratio(class_hits, given[:, 1:].sum(axis=1)),
            recall=_ratio(class_hits, np.full_like(class_hits, self._support[1:].sum())),
            support=self._support.copy(),
            images=self.images,
        )


def _ratio(part: Int64Array | np.int64, whole: Int64Array | np.int64) -> Float64Array:
    """Divide counts; 0 / 0 is NaN, and nothing else has a zero denominator here."""
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole)


def _mean_defined(values: Float64Array) -> Float64Array:
    """Average over the last axis without the NaN entries; NaN where nothing is left."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Float64Array = np.true_divide(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
    return mean


def _require_num_labels(num_labels: int) -> None:
    if not 1 <= num_labels <= MAX_CLASSES + 1:
        raise ShapeError(f"expected 1 to {MAX_CLASSES + 1} labels with the background, got {num_labels}")


def _require_labels(labels: LabelArray, num_labels: int, *, what: str) -> None:
    require_array(labels, what)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ShapeError(f"{what}: expected integer labels, got {labels.dtype}")
    valid = ((labels >= 0) & (labels < num_labels)) | (labels == IGNORE_LABEL)
    if not valid.all():
        bad = np.unique(labels[~valid])[:5].tolist()
        raise ShapeError(f"{what}: expected labels 0..{num_labels - 1} or {IGNORE_LABEL}, got {bad}")
