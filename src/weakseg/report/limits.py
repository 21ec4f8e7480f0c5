"""What keeps a run's masks from being better: tags, threshold, classifier, size of the objects, refinement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from weakseg.refine.health import Cause
from weakseg.refine.health_words import MaskHealth
from weakseg.scoring.scores import Curve, Metrics, Score, percent

TOLD_LOSS = 0.02
"""A threshold that costs the seeds so much mean IoU is named; less is noise, or what the refinement wants."""

TOLD_BIAS = 0.1
"""So is a precision that is so far above the recall, or below."""

BEHIND = 0.15
"""A class that is so far below the mean IoU is named."""

FEW_IMAGES = 20
"""A class with fewer tagged images is named."""

TOLD_SHARE = 0.02
"""A reason that less of the tags have is not named."""

MAX_LIMITS = 5
MAX_NAMED = 3


@dataclass(frozen=True)
class Limit:
    """What keeps the masks from being better.

    Args:
        name: In a word or two.
        text: What was found.
        remedy: What helps.
    """

    name: str
    text: str
    remedy: str


@dataclass(frozen=True)
class _Reason:
    """A group of causes that have a remedy in common; `{}` of the text stands for how many tags of how many."""

    name: str
    causes: tuple[Cause, ...]
    text: str
    remedy: str


_REASONS = (
    _Reason(
        "Tags",
        ("tag doubtful", "swallowed"),
        "{} may be wrong, or mixed up with another class of the image",
        "look at these tags ('weakseg review' lists them); add images that show one class alone",
    ),
    _Reason(
        "Background threshold",
        ("below threshold", "above threshold"),
        "{} lie on the wrong side of it",
        "the table of classes says in which direction to move it",
    ),
    _Reason(
        "Classifier",
        ("unseen", "flat"),
        "{} have a seed that shows nothing, or all of the image",
        "more epochs, pretrained weights, more images of the class",
    ),
    _Reason(
        "Size of the objects",
        ("small",),
        "{} are objects too small for the network's stride",
        "larger images (data.max_side_px) and scales, or a backbone of a smaller stride",
    ),
    _Reason(
        "Refinement",
        ("refined away", "spread"),
        "{} have a seed that the refinement takes away, or spreads over the image",
        "look at these images; the table of classes says which setting to change",
    ),
)


def list_limits(metrics: Metrics, health: MaskHealth | None, *, good_map: float) -> tuple[Limit, ...]:
    """Say what limits a run's masks, as far as its numbers tell; nothing where nothing stands out.

    Args:
        metrics: The run's numbers.
        health: Its masks judged without truth; None where they were not.
        good_map: A classifier below this mean average precision is named.
    """
    limits = [*_limits_by_truth(metrics), *_limits_by_health(health)]
    classifier = metrics.classifier
    reached = None if classifier is None else classifier.mean_average_precision
    if reached is not None and reached < good_map:
        text = f"its mAP is {percent(reached)} %: it mistakes classes for one another"
        limits.append(Limit("Classifier", text, "more epochs, pretrained weights, more images, right tags"))
    return tuple(limits[:MAX_LIMITS])


def _limits_by_truth(metrics: Metrics) -> list[Limit]:
    limits = []
    masks = [
        score
        for score in metrics.scores
        if score.subject == "masks" and score.mean_iou is not None and not score.corrected
    ][:1]
    for score in masks:
        defined = [(value, label) for label, value in enumerate(score.iou) if value is not None]
        worst, label = min(defined)
        if score.mean_iou is not None and score.mean_iou - worst >= BEHIND:
            text = (
                f"{metrics.label_names[label]} is far behind: {percent(worst)} % IoU on {score.split}, in the mean "
                f"{percent(score.mean_iou)} %"
            )
            limits.append(Limit("One class", text, "look at its images; correct them first"))
        limits += _limit_of_size(score)
    for curve in metrics.curves[:1]:
        limits += _limit_of_threshold(curve, metrics.find("masks", curve.split))
    return limits


def _limit_of_threshold(curve: Curve, masks: Score | None) -> list[Limit]:
    """Say what the seeds lose by the threshold of the masks, if they do."""
    if masks is None or masks.threshold is None or curve.best_index is None:
        return []
    threshold = masks.threshold
    place = min(range(len(curve.thresholds)), key=lambda k: abs(curve.thresholds[k] - threshold))
    here, best = curve.mean_iou[place], curve.mean_iou[curve.best_index]
    if here is None or best is None or best - here < TOLD_LOSS:
        return []
    text = f"{threshold:g} costs the seeds {100 * (best - here):.1f} points of mean IoU on {curve.split}"
    best_threshold = curve.thresholds[curve.best_index]
    remedy = f"try refine.background_threshold towards {best_threshold:g}, the best for the seeds before refinement"
    return [Limit("Background threshold", text, remedy)]


def _limit_of_size(score: Score) -> list[Limit]:
    """Say whether the masks are too small or too large, by the mean precision and recall of the classes."""
    pairs = [
        (precision, recall)
        for precision, recall in zip((score.precision or ())[1:], (score.recall or ())[1:], strict=True)
        if precision is not None and recall is not None
    ]
    if not pairs:
        return []
    precision, recall = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    text = f"precision {percent(precision)} %, recall {percent(recall)} % on {score.split}, mean over the classes"
    if precision - recall >= TOLD_BIAS:
        return [Limit("Masks too small", text, "lower refine.background_threshold")]
    if recall - precision >= TOLD_BIAS:
        return [Limit("Masks too large", text, "raise refine.background_threshold")]
    return []


def _limits_by_health(health: MaskHealth | None) -> list[Limit]:
    if health is None:
        return []
    tags = sum(item.counts.tagged for item in health.classes)
    found = []
    for reason in _REASONS:
        counts = Counter(
            {
                item.name: sum(count.images for count in item.counts.causes if count.cause in reason.causes)
                for item in health.classes
            }
        )
        total = counts.total()
        if total and total >= TOLD_SHARE * tags:
            named = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(MAX_NAMED) if count)
            text = reason.text.format(f"{total:,} of {tags:,} tags") + f" ({named})"
            found.append((total, Limit(reason.name, text, reason.remedy)))
    limits = [limit for _, limit in sorted(found, key=lambda entry: -entry[0])]
    rare = [item for item in health.classes if 0 < item.counts.tagged < FEW_IMAGES]
    if rare:
        named = ", ".join(f"{item.name} {item.counts.tagged}" for item in rare[:MAX_NAMED])
        text = f"{len(rare)} of {len(health.classes)} classes have fewer than {FEW_IMAGES} tagged images ({named})"
        limits.append(Limit("Few images", text, "tag more images of them"))
    return limits
