"""Which images to look at first: those whose masks are most likely wrong, and tags that are most likely wrong.

An image stands the further ahead the larger the share of its pixels on which seed, mask and segmenter disagree. How
likely a CRF calls its labels is no measure: it is sure of nearly all of them, the wrong ones too. Tags are listed by
the doubt of the classifier alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weakseg.refine.health import EMPTY_SHARE
from weakseg.scoring.evidence import Evidence

TagFault = Literal["missing", "superfluous"]

SURE_DOUBT = 0.5
"""A tag is doubtful if the classifier thinks the opposite more likely."""

LISTED_DOUBT = 0.25
"""The list of tags goes farther: a classifier that has learned from a wrong tag half believes it."""

TELLING = 1.5
"""A measure of so many times the usual is named as a reason."""

OUTLYING = 3.0
"""A class's area counts as odd if it is so many times larger or smaller than is usual for it."""


@dataclass(frozen=True)
class TagDoubt:
    """A tag that may be wrong.

    Args:
        id: The image.
        split: Name of its split.
        name: The class.
        fault: `missing`: the image may show it and is not tagged so; `superfluous`: it is tagged and may not show it.
        doubt: How likely the classifier thinks that, 0..1.
    """

    id: str
    split: str
    name: str
    fault: TagFault
    doubt: float


@dataclass(frozen=True)
class QueuedImage:
    """One image of the queue.

    Args:
        id: The image.
        split: Name of its split.
        score: How much its measures exceed those of a usual image of its split; 1 is usual.
        why: The reason in a few words; empty if no measure stands out.
        missing_tags: Classes that it may show although it is not tagged with them.
        doubtful_tags: Tags of it that may be wrong.
        corrected: Whether a person has said something of it; such images come last.
    """

    id: str
    split: str
    score: float
    why: str
    missing_tags: tuple[str, ...]
    doubtful_tags: tuple[str, ...]
    corrected: bool


@dataclass(frozen=True)
class Queue:
    """All images of a run in the order in which they should be looked at, and the tags that are doubtful.

    Args:
        images: The images, the most likely wrong mask first.
        tags: The tags, missing and superfluous ones and splits by turns, the most doubtful of each first.
    """

    images: tuple[QueuedImage, ...]
    tags: tuple[TagDoubt, ...]


@dataclass(frozen=True)
class _Measure:
    """One share of pixels that speaks against a mask.

    Args:
        name: What a reason says of it; `{}` stands for the share in per cent.
        read: Takes it from the evidence; None where it is not known.
    """

    name: str
    read: Callable[[Evidence], float | None]


MEASURES = (
    _Measure("the segmenter says otherwise on {} of the pixels", lambda found: found.free),
    _Measure(
        "the segmenter says otherwise on {} of the pixels, also when it is given the tags", lambda found: found.given
    ),
    _Measure("seed and mask differ on {} of the pixels", lambda found: found.seed),
    _Measure("another threshold would change {} of the pixels", lambda found: found.unstable),
)
"""What the order is made of, each divided by its mean over the split, and added up."""


def order_images(
    evidence: Sequence[Evidence], names: Sequence[str], *, corrected: Collection[str] = frozenset()
) -> Queue:
    """Order images by how likely their masks are wrong, and tags by how likely they are.

    Args:
        evidence: What is known of each image.
        names: The classes by their index.
        corrected: Ids of images of which a person has said something.
    """
    usual = _usual_values(evidence)
    areas = _usual_areas(evidence)
    doubts = find_doubts(evidence, names)
    of_image: defaultdict[str, list[TagDoubt]] = defaultdict(list)
    for doubt in doubts:
        if doubt.doubt > SURE_DOUBT:
            of_image[doubt.id].append(doubt)
    images = [
        QueuedImage(
            id=found.id,
            split=found.split,
            score=_score(found, usual),
            why=_explain(found, usual, areas, names),
            missing_tags=tuple(doubt.name for doubt in of_image[found.id] if doubt.fault == "missing"),
            doubtful_tags=tuple(doubt.name for doubt in of_image[found.id] if doubt.fault == "superfluous"),
            corrected=found.id in corrected,
        )
        for found in evidence
    ]
    images.sort(key=lambda image: (image.corrected, -image.score, image.id))
    return Queue(tuple(images), tuple(doubt for doubt in doubts if doubt.id not in corrected))


def take_turns(images: Sequence[QueuedImage], tags: Mapping[str, Sequence[int]]) -> list[QueuedImage]:
    """Let classes take turns, each with its most doubtful image: so that the first ones show every class.

    Where a class is hardest, the first images by doubt alone are nearly all of it, and teach a segmenter nothing of the
    others. Next is always the class that the images so far show least often, the first among equals.

    Args:
        images: In the order of `order_images`.
        tags: The indices of the classes that each image is tagged with, by its id.

    Returns:
        The same images; those without a tag, then those that a person has corrected, at the end in their order.
    """
    waiting: dict[int, deque[QueuedImage]] = {}
    for image in images:
        for key in tags[image.id]:
            if not image.corrected:
                waiting.setdefault(key, deque()).append(image)
    shown: Counter[int] = Counter()
    ordered: dict[str, QueuedImage] = {}
    while waiting:
        key = min(waiting, key=lambda key: (shown[key], key))
        image = waiting[key].popleft()
        if not waiting[key]:
            del waiting[key]
        if image.id not in ordered:
            ordered[image.id] = image
            shown.update(tags[image.id])
    return [*ordered.values(), *(image for image in images if image.id not in ordered)]


def find_doubts(evidence: Iterable[Evidence], names: Sequence[str], *, above: float = LISTED_DOUBT) -> list[TagDoubt]:
    """List the tags that the classifier doubts; tags that nobody knows are left out.

    Missing and superfluous tags take turns, and so do splits, the most doubtful of each first: a classifier is never as
    sure of what it was taught to be absent, nor of what it has learned from as of what it has not.

    Args:
        evidence: What is known of each image.
        names: The classes by their index.
        above: Doubts up to this one are left out.
    """
    found = [
        TagDoubt(
            id=image.id,
            split=image.split,
            name=names[key],
            fault="superfluous" if image.tags[key] else "missing",
            doubt=1 - likely if image.tags[key] else likely,
        )
        for image in evidence
        for key, likely in enumerate(image.likely)
        if image.known[key]
    ]
    ranked: list[tuple[int, TagDoubt]] = []
    places: Counter[tuple[str, TagFault]] = Counter()
    for doubt in sorted((doubt for doubt in found if doubt.doubt > above), key=lambda doubt: (-doubt.doubt, doubt.id)):
        ranked.append((places[doubt.split, doubt.fault], doubt))
        places[doubt.split, doubt.fault] += 1
    return [doubt for _, doubt in sorted(ranked, key=lambda entry: (entry[0], -entry[1].doubt, entry[1].id))]


def _usual_values(evidence: Iterable[Evidence]) -> dict[tuple[str, int], float]:
    """Return the mean of each measure over each split: the segmenter has learned one of them, and errs less there."""
    values: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for found in evidence:
        for place, measure in enumerate(MEASURES):
            value = measure.read(found)
            if value is not None:
                values[found.split, place].append(value)
    return {key: float(np.mean(own)) for key, own in values.items()}


def _ratios(found: Evidence, usual: dict[tuple[str, int], float]) -> list[tuple[float, str]]:
    """Return each known measure as a multiple of the usual, with its words."""
    ratios = []
    for place, measure in enumerate(MEASURES):
        value = measure.read(found)
        if value is not None:
            mean = usual[found.split, place]
            ratios.append((value / mean if mean > 0 else 0.0, measure.name.format(f"{value:.0%}")))
    return ratios


def _score(found: Evidence, usual: dict[tuple[str, int], float]) -> float:
    ratios = [ratio for ratio, _ in _ratios(found, usual)]
    return float(np.mean(ratios)) if ratios else 0.0


def _usual_areas(evidence: Iterable[Evidence]) -> dict[int, float]:
    """Return the median share of the image that each class has where it is tagged and found."""
    shares: defaultdict[int, list[float]] = defaultdict(list)
    for found in evidence:
        for key, share in found.shares.items():
            if share >= EMPTY_SHARE:
                shares[key].append(share)
    return {key: float(np.median(own)) for key, own in shares.items()}


def _explain(
    found: Evidence, usual: dict[tuple[str, int], float], areas: dict[int, float], names: Sequence[str]
) -> str:
    """Name what stands out: classes without pixels, the measure that is farthest from the usual, odd areas."""
    reasons = [f"no {names[key]} in the mask" for key, share in found.shares.items() if share < EMPTY_SHARE]
    ratio, words = max(_ratios(found, usual), default=(0.0, ""))
    if ratio >= TELLING:
        reasons.append(words)
    for key, share in found.shares.items():
        typical = areas.get(key, 0.0)
        if share >= EMPTY_SHARE and typical > 0 and not 1 / OUTLYING <= share / typical <= OUTLYING:
            size = "much" if share > typical else "little"
            reasons.append(f"{size} {names[key]} ({share:.0%} of the image, usual are {typical:.0%})")
    return "; ".join(reasons)
