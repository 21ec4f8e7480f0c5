"""From counts to scores: what a confusion matrix and a sweep have found, as records of `weakseg.scoring.scores`.

A label that the truth never shows has no score: its IoU could be nothing but 0, or undefined. Where the truth shows no
class at all, as on a split of negatives, the background alone is left, and nothing is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.metrics import ConfusionResult, SweepResult
from weakseg.scoring.scores import Curve, Score, Subject, ThresholdChoice, number, numbers

NAN = "NaN"
"""How a score is printed that could not be measured; the reason stands beside it."""

_SHOWN = 5


def why_undefined(support: NDArray[np.int64]) -> str | None:
    """Say why nothing can be measured on a truth with so many pixels per label, background first; None if it can."""
    if support[1:].any():
        return None
    return "the truth shows no class, only background" if support[:1].any() else "the truth has no pixel that counts"


def note_unscored(result: ConfusionResult, *, subject: Subject, split: str, label_names: Sequence[str]) -> str | None:
    """Say what has no score although it was given to pixels, since the truth never shows it; None if nothing has."""
    undefined = why_undefined(result.support)
    if undefined is not None:
        return f"{split}: {subject} cannot be scored: {undefined}"
    lacking = [label_names[int(label)] for label in np.flatnonzero((result.support == 0) & ~np.isnan(result.iou))]
    if not lacking:
        return None
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return f"{split}, {subject}: no score of {', '.join(lacking[:_SHOWN])}{more}: the truth never shows it"


def mean_of_shown(iou: NDArray[np.float64], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average (..., L) IoUs over the labels that the truth shows; NaN where it shows no class."""
    shown = support > 0
    if why_undefined(support) is not None:
        return np.full(iou.shape[:-1], np.nan)
    mean: NDArray[np.float64] = iou[..., shown].mean(axis=-1)
    return mean


def score_confusion(
    result: ConfusionResult,
    *,
    subject: Subject,
    split: str,
    given_tags: bool,
    threshold_choice: ThresholdChoice,
    threshold: float | None,
    corrected: bool | None = None,
) -> Score:
    """Turn a confusion matrix's result into a score."""
    undefined = why_undefined(result.support)
    return Score(
        subject=subject,
        split=split,
        images=result.images,
        given_tags=given_tags,
        threshold_choice=threshold_choice,
        threshold=threshold,
        mean_iou=number(float(mean_of_shown(result.iou, result.support))),
        iou=measured(result.iou, result.support),
        precision=measured(result.precision, result.support),
        recall=measured(result.recall, result.support),
        support=tuple(int(count) for count in result.support),
        pixel_accuracy=None if undefined else number(result.pixel_accuracy),
        undefined=undefined,
        corrected=corrected,
    )


def score_sweep(result: SweepResult, *, split: str) -> Score:
    """Turn a sweep's best point into the oracle score of the seeds; there is none where nothing is defined."""
    means = mean_of_shown(result.iou, result.support)
    undefined = why_undefined(result.support)
    best = 0 if undefined else int(np.argmax(means))  # the lowest threshold among equals
    return Score(
        subject="seeds",
        split=split,
        images=result.images,
        given_tags=True,
        threshold_choice="none" if undefined else "oracle",
        threshold=None if undefined else number(float(result.thresholds[best])),
        mean_iou=number(float(means[best])),
        iou=measured(result.iou[best], result.support),
        precision=None,
        recall=None,
        support=tuple(int(count) for count in result.support),
        pixel_accuracy=None,
        undefined=undefined,
    )


def make_curve(result: SweepResult, *, split: str) -> Curve:
    """Turn a sweep's result into a curve."""
    return Curve(
        split=split,
        images=result.images,
        thresholds=tuple(round(float(value), 6) for value in result.thresholds),
        mean_iou=numbers(mean_of_shown(result.iou, result.support)),
        precision=numbers(result.precision),
        recall=numbers(result.recall),
    )


def measured(values: NDArray[np.float64], support: NDArray[np.int64]) -> tuple[float | None, ...]:
    """Return the scores (L,) of the labels that the truth shows; None for the others, and for all if it shows no class.

    Args:
        values: Scores per label, background first.
        support: (L,) pixels of the truth per label.
    """
    if why_undefined(support) is not None:
        return (None,) * len(values)
    return numbers(np.where(support > 0, values, np.nan))
