"""From counts to scores: what a confusion matrix and a sweep have found, as records of `weakseg.tasks.scores`."""

from __future__ import annotations

from weakseg.ops.metrics import ConfusionResult, SweepResult
from weakseg.tasks.scores import Curve, Score, Subject, ThresholdChoice, number, numbers


def score_confusion(
    result: ConfusionResult,
    *,
    subject: Subject,
    split: str,
    given_tags: bool,
    threshold_choice: ThresholdChoice,
    threshold: float | None,
) -> Score:
    """Turn a confusion matrix's result into a score."""
    return Score(
        subject=subject,
        split=split,
        images=result.images,
        given_tags=given_tags,
        threshold_choice=threshold_choice,
        threshold=threshold,
        mean_iou=number(result.mean_iou),
        iou=numbers(result.iou),
        precision=numbers(result.precision),
        recall=numbers(result.recall),
        support=tuple(int(count) for count in result.support),
        pixel_accuracy=number(result.pixel_accuracy),
    )


def score_sweep(result: SweepResult, *, split: str) -> Score:
    """Turn a sweep's best point into the oracle score of the seeds."""
    best = result.best_index
    return Score(
        subject="seeds",
        split=split,
        images=result.images,
        given_tags=True,
        threshold_choice="oracle",
        threshold=number(float(result.thresholds[best])),
        mean_iou=number(float(result.mean_iou[best])),
        iou=numbers(result.iou[best]),
        precision=None,
        recall=None,
        support=tuple(int(count) for count in result.support),
        pixel_accuracy=None,
    )


def make_curve(result: SweepResult, *, split: str) -> Curve:
    """Turn a sweep's result into a curve."""
    return Curve(
        split=split,
        images=result.images,
        thresholds=tuple(round(float(value), 6) for value in result.thresholds),
        mean_iou=numbers(result.mean_iou),
        precision=numbers(result.precision),
        recall=numbers(result.recall),
    )
