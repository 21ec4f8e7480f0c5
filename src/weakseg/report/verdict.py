"""The report's first lines: how good the masks probably are, what that rests on, and what limits them.

With truth masks a number says it. Without, signs do: what a run knows of its masks, its classifier, its threshold, and
how far seed, mask and segmenter agree. The limits below were set by eye on the runs that docs/report.md names; they are
no measurement, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from weakseg.refine.health_words import MaskHealth
from weakseg.report.doubts import Agreement
from weakseg.report.limits import Limit, list_limits
from weakseg.scoring.scores import Metrics, Score, percent

Grade = Literal["good", "fair", "poor", "unknown"]

GOOD_IOU, FAIR_IOU = 0.7, 0.5
"""Mean IoU of masks against the truth from which they count as good, and as fair."""

GOOD_MAP, FAIR_MAP = 0.85, 0.6
"""The same of the classifier's mean average precision."""

GOOD_SEED, FAIR_SEED = 0.9, 0.8
"""The same of the share of the pixels on which seed and mask agree."""

GOOD_SEGMENTER, FAIR_SEGMENTER = 0.88, 0.75
"""The same of segmenter and mask: the segmenter has not been told the tags."""

GOOD_STABLE, FAIR_STABLE = 0.85, 0.7
"""The same of the share of the pixels that slightly different thresholds would leave as they are."""

MAX_NAMED = 3
"""Classes that a sign names."""

_ORDER: tuple[Grade, ...] = ("poor", "fair", "good", "unknown")

_MEASURED: dict[Grade, str] = {"good": "Good", "fair": "Fair", "poor": "Poor"}
_GUESSED: dict[Grade, str] = {
    "good": "Probably good",
    "fair": "Probably fair: usable, with errors to correct",
    "poor": "Probably poor: not good enough yet",
    "unknown": "Nobody knows",
}


@dataclass(frozen=True)
class Sign:
    """One thing that speaks for the masks or against them.

    Args:
        word: Key of its explanation in `weakseg.report.words`, or empty.
        name: What was looked at.
        text: What was found, in one sentence.
        grade: What that means.
    """

    word: str
    name: str
    text: str
    grade: Grade


@dataclass(frozen=True)
class Judgement:
    """How good the masks are.

    Args:
        grade: Style class.
        headline: In a few words.
        lead: What that rests on.
        signs: The signs, those that count most first.
        limits: What limits the masks, the most frequent first; empty where nothing stands out.
    """

    grade: Grade
    headline: str
    lead: str
    signs: tuple[Sign, ...]
    limits: tuple[Limit, ...]


def judge_masks(
    metrics: Metrics, health: MaskHealth | None, agreement: Agreement, *, is_clear: bool | None
) -> Judgement:
    """Say how good a run's masks are, or probably are.

    Args:
        metrics: The run's numbers.
        health: Its masks judged without truth; None where they were not.
        agreement: How far seed, mask and segmenter agree.
        is_clear: Whether the colours told candidates of the background threshold apart; None unless `auto` chose it.
    """
    signs = _list_signs(metrics, health, agreement, is_clear=is_clear)
    limits = list_limits(metrics, health, good_map=GOOD_MAP)
    measured = [
        score
        for score in metrics.scores
        if score.subject == "masks" and score.mean_iou is not None and not score.corrected  # a person made those
    ]
    if measured:
        grade = _grade(min(score.mean_iou or 0.0 for score in measured), GOOD_IOU, FAIR_IOU)
        shares = " and ".join(f"{percent(score.mean_iou)} on {score.split}" for score in measured)
        whose = " and that nobody has corrected" if any(score.corrected is False for score in measured) else ""
        lead = f"Measured on {_count_images(measured)} that have truth masks{whose}. The signs below need none."
        return Judgement(grade, f"{_MEASURED[grade]}: {shares}, mean IoU in %", lead, signs, limits)
    grade = min((sign.grade for sign in signs), key=_ORDER.index, default="unknown")
    return Judgement(
        grade,
        _GUESSED[grade],
        "An estimate from the signs below, by the worst of them. There are no truth masks, so that nobody has measured "
        "it: look at the images, and correct a few dozen if you need to be sure.",
        signs,
        limits,
    )


def _count_images(scores: Sequence[Score]) -> str:
    images = sum(score.images for score in scores)
    return "1 image" if images == 1 else f"{images:,} images"


def _grade(value: float, good: float, fair: float) -> Grade:
    if value >= good:
        return "good"
    return "fair" if value >= fair else "poor"


def _list_signs(
    metrics: Metrics, health: MaskHealth | None, agreement: Agreement, *, is_clear: bool | None
) -> tuple[Sign, ...]:
    signs = []
    if health is not None and health.verdict != "no images":
        grades: dict[str, Grade] = {"bad": "poor", "doubtful": "fair", "unsuspicious": "good"}
        names = ", ".join(item.name for item in health.troubled[:MAX_NAMED])
        text = f"{health.describe().capitalize()}{': ' if names else ''}{names}."
        signs.append(Sign("health", "Classes", text, grades[health.verdict]))
    classifier = metrics.classifier
    if classifier is not None and classifier.mean_average_precision is not None:
        value = classifier.mean_average_precision
        text = f"It tells the classes apart with {percent(value)} % mAP on {classifier.split}."
        signs.append(Sign("map", "Classifier", text, _grade(value, GOOD_MAP, FAIR_MAP)))
    if agreement.seed is not None:
        grade = _grade(agreement.seed, GOOD_SEED, FAIR_SEED)
        what = "the refinement keeps what the seeds show" if grade == "good" else "the refinement changes the seeds"
        text = f"They agree on {_whole(agreement.seed)} of the pixels: {what}."
        signs.append(Sign("seed", "Seed and mask", text, grade))
    if agreement.segmenter is not None:
        text = f"The segmenter, without the tags, agrees with the masks on {_whole(agreement.segmenter)} of the pixels."
        grade = _grade(agreement.segmenter, GOOD_SEGMENTER, FAIR_SEGMENTER)
        signs.append(Sign("segmenter", "Segmenter and mask", text, grade))
    if is_clear is not None:
        text = "The colours of the images tell good thresholds from bad ones."
        if not is_clear:
            text = "The colours of the images say nothing, so that it was taken by what is usual."
        signs.append(Sign("threshold", "Background threshold", text, "good" if is_clear else "fair"))
    if agreement.stable is not None:
        text = f"Slightly different thresholds would leave {_whole(agreement.stable)} of the pixels as they are."
        grade = _grade(agreement.stable, GOOD_STABLE, FAIR_STABLE)
        signs.append(Sign("threshold", "Other thresholds", text, grade))
    return tuple(signs)


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"
