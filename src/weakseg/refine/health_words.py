"""The health of a run's pseudo masks in words: what was found, the likely reason, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from weakseg.refine.health import CauseCount, ClassCounts, TagHealth, Verdict, count_class
from weakseg.registry import REFINERS

HEALTH_VERSION = 2
"""Raised when the keys of the section in `metrics.json`, or their meaning, change."""

MAX_CAUSES = 2
"""So many reasons of a class are put into words."""

LOW_MAP = 0.5
"""A classifier below this mean average precision is named as a reason of its own."""

NONE_OF_ITS_OWN: Mapping[str, str] = MappingProxyType({})
"""A localiser without advice of its own."""

_ORDER: tuple[Verdict, ...] = ("bad", "doubtful", "unsuspicious", "no images")

_REASONS = {
    "unseen": "it has no score anywhere",
    "tag doubtful": "its score is below a tenth of what the class usually has",
    "swallowed": "another tagged class has what its seed marks",
    "small": "its seed is a single spot, so that the object is too small for the network's stride",
    "below threshold": "its seed lies below the background threshold",
    "refined away": "its seed is there, but the refinement takes it away",
    "flat": "its seed covers the image",
    "above threshold": "its seed passes the background threshold almost everywhere",
    "spread": "its seed is smaller, but the refinement spreads it",
}
"""Of each cause, what holds in the images it is counted in."""


@dataclass(frozen=True)
class MaskMethod:
    """How a run's masks were made, as far as advice depends on it.

    Args:
        refinement: The refinement's name in the recipe.
        threshold: Background threshold, 0..1; None for a method without one.
        mean_average_precision: That of the classifier on the validation split, 0..1; None where unknown.
    """

    refinement: str
    threshold: float | None
    mean_average_precision: float | None


@dataclass(frozen=True)
class ClassHealth:
    """The masks of one class.

    Args:
        name: The class.
        counts: Its troubles.
        finding: What was found, one sentence without full stop.
        remedy: The likely reasons and what to do, in sentences; empty for a class without trouble.
    """

    name: str
    counts: ClassCounts
    finding: str
    remedy: str

    @property
    def verdict(self) -> Verdict:
        """How good its masks are."""
        return self.counts.verdict

    def describe(self) -> str:
        """Say in one line how good its masks are, what was found, and what to do."""
        return f"{self.verdict}: {self.name}: {self.finding}." + (f" {self.remedy}" if self.remedy else "")

    @property
    def is_troubled(self) -> bool:
        """Whether a person should look at it."""
        return self.verdict in ("doubtful", "bad")


@dataclass(frozen=True)
class MaskHealth:
    """The pseudo masks of a run, judged without truth.

    Args:
        version: See `HEALTH_VERSION`.
        verdict: That of the worst class.
        splits: Names of the splits with masks.
        images: Number of masks looked at.
        untagged_images: Those of them without a tag: there is nothing to look for.
        method: How they were made.
        classes: All classes, in the order of the data set.
    """

    version: int
    verdict: Verdict
    splits: tuple[str, ...]
    images: int
    untagged_images: int
    method: MaskMethod
    classes: tuple[ClassHealth, ...]

    @property
    def troubled(self) -> tuple[ClassHealth, ...]:
        """The classes that a person should look at, the worst first."""
        found = [item for item in self.classes if item.is_troubled]
        return tuple(sorted(found, key=lambda item: (_ORDER.index(item.verdict), -_share_of_trouble(item.counts))))

    def without_ids(self) -> MaskHealth:
        """Return the same without the ids of images, for a bundle that others get."""
        classes = tuple(replace(item, counts=replace(item.counts, worst=())) for item in self.classes)
        return replace(self, classes=classes)

    def describe(self) -> str:
        """Say how many classes are how good, in one line."""
        with_tags = [item for item in self.classes if item.verdict != "no images"]
        what = f"{len(with_tags)} {'class' if len(with_tags) == 1 else 'classes'} on {self.images} images"
        if not with_tags:
            return f"nothing to look for: none of {self.images} images has a tag"
        counts = [(verdict, sum(item.verdict == verdict for item in with_tags)) for verdict in ("bad", "doubtful")]
        told = " and ".join(f"{count} {verdict}" for verdict, count in counts if count)
        return f"{told} of {what}" if told else f"nothing suspicious in {what}"


def judge_classes(
    found: Sequence[TagHealth],
    names: Sequence[str],
    *,
    splits: Sequence[str],
    images: int,
    untagged_images: int,
    method: MaskMethod,
    remedies: Mapping[str, str] = NONE_OF_ITS_OWN,
) -> MaskHealth:
    """Sum up what is wrong with a run's masks, class by class.

    Args:
        found: What `weakseg.refine.health.judge_tags` says of every tag.
        names: The classes by their index.
        splits: Names of the splits with masks.
        images: Number of masks looked at.
        untagged_images: Those of them without a tag.
        method: How the masks were made.
        remedies: What the localiser says to change, by cause.
    """
    by_class: dict[int, list[TagHealth]] = {}
    for item in found:
        by_class.setdefault(item.key, []).append(item)
    classes = []
    for key, name in enumerate(names):
        counts = count_class(by_class.get(key, []))
        finding, remedy = describe_finding(name, counts, names), describe_remedy(counts, method, remedies)
        classes.append(ClassHealth(name, counts, finding, remedy))
    verdict = min((item.verdict for item in classes), key=_ORDER.index)
    return MaskHealth(HEALTH_VERSION, verdict, tuple(splits), images, untagged_images, method, tuple(classes))


def describe_finding(name: str, counts: ClassCounts, names: Sequence[str]) -> str:
    """Say what the masks of a class look like: `23 of 23 tagged images have no cat pixel`."""
    if counts.tagged == 0:
        return "no image is tagged with it"
    parts = []
    if counts.empty:
        none = "no" if counts.no_pixel == counts.empty else "no or hardly any"
        verb = "has" if counts.empty == 1 else "have"
        parts.append(f"{counts.empty} of {_count(counts.tagged, 'tagged image')} {verb} {none} {name} pixel")
    if counts.swallowed:
        rivals = " or ".join(names[key] for key in counts.rivals[:MAX_CAUSES])
        parts.append(f"in {counts.swallowed} of them {rivals} has taken what its seed marks")
    if counts.nearly_full:
        verb = "leaves" if counts.nearly_full == 1 else "leave"
        left = "no background" if counts.whole == counts.nearly_full else "hardly any background"
        part = f"{counts.nearly_full} of {_count(counts.tagged, 'mask')} with {name} {verb} {left}"
        parts.append(part + (f", {counts.whole} of them none" if 0 < counts.whole < counts.nearly_full else ""))
    return "; ".join(parts) or f"nothing wrong with {_count(counts.tagged, 'mask')}"


def describe_remedy(counts: ClassCounts, method: MaskMethod, remedies: Mapping[str, str] = NONE_OF_ITS_OWN) -> str:
    """Say why that is likely so, and what to do; empty without trouble.

    The refiner's own advice goes before the localiser's `remedies`, and those before what holds for most methods.
    """
    sentences = []
    for found in counts.causes[:MAX_CAUSES]:
        sentences.append(f"In {found.images}, {_REASONS[found.cause]}: {_advise(found, method, remedies)}.")
    reached = method.mean_average_precision
    if reached is not None and reached < LOW_MAP and sentences:
        sentences.append(f"The classifier's mAP of {100 * reached:.1f} % is low: more epochs may help most.")
    return " ".join(sentences)


def _advise(found: CauseCount, method: MaskMethod, remedies: Mapping[str, str]) -> str:
    lower, raise_ = _move_threshold(method, "lower"), _move_threshold(method, "raise")
    of_refiner = REFINERS.load(method.refinement).remedies if REFINERS.is_usable(method.refinement) else {}
    own = {**remedies, **of_refiner}
    if found.cause in own:
        return own[found.cause].format(lower=lower, **{"raise": raise_})
    return {
        "unseen": "train the classifier longer (classifier.epochs), from pretrained weights, or on more images of it",
        "tag doubtful": "look whether these images show it, and correct the tags that are wrong",
        "swallowed": "look whether the tags of the two are mixed up, add images that show one without the other, or "
        "paste objects into other scenes (classifier.cda)",
        "small": "use larger images (data.max_side_px, classifier.augment), larger localize.scales, or a backbone of a "
        "smaller stride",
        "below threshold": lower,
        "refined away": lower,
        "flat": "right if it does fill these images; else train the classifier longer, or use a smaller stride",
        "above threshold": raise_,
        "spread": raise_,
    }[found.cause]


def _move_threshold(method: MaskMethod, direction: str) -> str:
    """Say how to get more of the classes (`lower`) or less; AffinityNet weakens the background by its alpha instead."""
    if method.threshold is None:
        weaker = REFINERS.load(method.refinement).background if REFINERS.is_usable(method.refinement) else ""
        turn = "raise" if direction == "lower" else "lower"
        return f"{turn} refine.{method.refinement}.{weaker}" if weaker else f"change refine.{method.refinement}"
    return f"{direction} refine.background_threshold (now {method.threshold:g})"


def _share_of_trouble(counts: ClassCounts) -> float:
    return (counts.empty + counts.nearly_full) / counts.tagged


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}" + ("" if number == 1 else "s")
