"""The health of pseudo masks without truth: what is wrong with them, class by class and image by image.

`weakseg.ops.mask_health` measures one image; here the numbers become troubles, causes and verdicts by named limits.
`weakseg.refine.health_words` puts them into sentences. `docs/report.md` has the limits in a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from weakseg.ops.mask_health import TagFacts

Trouble = Literal["empty", "swallowed", "nearly full", "whole image"]
"""What is wrong with one class in one mask; `swallowed` is a kind of empty, `whole image` a kind of full."""

Cause = Literal[
    "unseen",
    "tag doubtful",
    "swallowed",
    "small",
    "below threshold",
    "refined away",
    "flat",
    "above threshold",
    "spread",
]
"""The likely reason; `health_words` explains each."""

Verdict = Literal["unsuspicious", "doubtful", "bad", "no images"]

EMPTY_SHARE = 0.001
"""A tagged class with less of the labelled pixels is missing: 17 x 17 px of 640 x 480."""

SHRUNK_SHARE, SHRUNK_CORE = 0.05, 0.2
"""So is one with less of the pixels than the first, and less than the second of what its seed's core covers."""

FULL_SHARE = 0.9
"""A mask whose classes together have so much of the labelled pixels is nearly full."""

WHOLE_SHARE = 0.995
"""With so much it leaves no background: a few pixels at the border do not matter."""

FULL_PART = 0.3
"""Part of a full mask's foreground that makes a class answer for it."""

SWALLOWED_SHARE = 0.5
"""Another tagged class that has so much of a missing one's core has swallowed it."""

WEAK_PEAK = 0.1
"""A score below this part of the class's median speaks against the tag."""

SMALL_CELLS = 4.0
"""A core of at most 2 x 2 strides is what a single pixel of the score map looks like: the object is smaller."""

FLAT_CORE = 0.8
"""Where the core itself covers so much, no threshold makes an object of it."""

DOUBTFUL_SHARE, BAD_SHARE = 0.2, 0.5
"""Shares of a class's tagged images with trouble at which its verdict changes."""

MAX_WORST = 6
"""Images named per class."""


@dataclass(frozen=True)
class TaggedMask:
    """One tag of one image, with what its mask tells of it.

    Args:
        id: Image id.
        split: Name of the image's split.
        key: Class index.
        facts: What was measured.
    """

    id: str
    split: str
    key: int
    facts: TagFacts


@dataclass(frozen=True)
class TagHealth:
    """What is wrong with one class in one mask.

    Args:
        id: Image id.
        split: Name of its split.
        key: Class index.
        share: Share of the labelled pixels that have the class, 0..1.
        trouble: What is wrong, or None.
        cause: The likely reason; None without trouble.
        rival: Class index of the other class that swallowed it; None for every other trouble.
    """

    id: str
    split: str
    key: int
    share: float
    trouble: Trouble | None
    cause: Cause | None
    rival: int | None


@dataclass(frozen=True)
class CauseCount:
    """How many images have trouble for one reason."""

    cause: Cause
    images: int


@dataclass(frozen=True)
class ClassCounts:
    """The troubles of one class, counted over the images tagged with it.

    Args:
        tagged: Images tagged with it.
        empty: Those where it has no or hardly any pixel.
        no_pixel: Those of them where it has none.
        swallowed: Those of the empty ones where another tagged class has what its seed marks.
        nearly_full: Those whose mask is full or nearly so, much of it this class.
        whole: Those of them whose mask has no background left.
        verdict: By the share of the tagged images that have trouble.
        causes: Likely reasons, the most frequent first.
        rivals: Class indices of those that swallowed it, the most frequent first.
        worst: Ids of some images with trouble, the emptiest first, then the fullest.
    """

    tagged: int
    empty: int
    no_pixel: int
    swallowed: int
    nearly_full: int
    whole: int
    verdict: Verdict
    causes: tuple[CauseCount, ...]
    rivals: tuple[int, ...]
    worst: tuple[str, ...]


def judge_tags(tagged: Sequence[TaggedMask]) -> tuple[TagHealth, ...]:
    """Say of every tag of every image whether its mask is in trouble, and why.

    Args:
        tagged: All of them; a class's usual score comes from these.

    Returns:
        One entry each, in the same order.
    """
    peaks: dict[int, list[float]] = {}
    for item in tagged:
        peaks.setdefault(item.key, []).append(item.facts.peak)
    usual = {key: float(np.median(values)) for key, values in peaks.items()}
    return tuple(_judge_tag(item, usual_peak=usual[item.key]) for item in tagged)


def _judge_tag(item: TaggedMask, *, usual_peak: float) -> TagHealth:
    facts = item.facts
    trouble = _find_trouble(facts)
    cause = None if trouble is None else _find_cause(trouble, facts, usual_peak)
    rival = facts.rival if trouble == "swallowed" else None
    return TagHealth(item.id, item.split, item.key, facts.share, trouble, cause, rival)


def _find_trouble(facts: TagFacts) -> Trouble | None:
    shrunk = facts.share < SHRUNK_SHARE and facts.share < SHRUNK_CORE * facts.core
    if facts.share < EMPTY_SHARE or shrunk:
        return "swallowed" if facts.rival_share >= SWALLOWED_SHARE else "empty"
    if facts.foreground < FULL_SHARE or facts.share < FULL_PART * facts.foreground:
        return None
    return "whole image" if facts.foreground >= WHOLE_SHARE else "nearly full"


def _find_cause(trouble: Trouble, facts: TagFacts, usual_peak: float) -> Cause:
    """Take the first reason that holds, from the classifier on to the refinement."""
    if trouble in ("nearly full", "whole image"):
        if facts.core >= FLAT_CORE:
            return "flat"
        return "above threshold" if facts.marked >= FULL_SHARE * facts.share else "spread"
    # Where most images of the class score nothing, its usual score is 0: then the classifier is to blame, not the tag.
    if facts.peak < WEAK_PEAK * usual_peak:
        return "tag doubtful"
    if facts.peak == 0:
        return "unseen"
    if trouble == "swallowed":
        return "swallowed"
    if facts.marked < SHRUNK_CORE * facts.core:
        return "below threshold"
    return "small" if facts.core_cells <= SMALL_CELLS else "refined away"


def count_class(found: Sequence[TagHealth]) -> ClassCounts:
    """Count the troubles of one class.

    Args:
        found: The entries of `judge_tags` for this class; may be none.
    """
    troubles = Counter(item.trouble for item in found)
    empty = [item for item in found if item.trouble in ("empty", "swallowed")]
    full = [item for item in found if item.trouble in ("nearly full", "whole image")]
    causes = Counter(item.cause for item in found if item.cause is not None)
    rivals = Counter(item.rival for item in found if item.rival is not None)
    ordered = sorted(empty, key=lambda item: (item.share, item.id)) + sorted(
        full, key=lambda item: (-item.share, item.id)
    )
    return ClassCounts(
        tagged=len(found),
        empty=len(empty),
        no_pixel=sum(item.share == 0 for item in empty),
        swallowed=troubles["swallowed"],
        nearly_full=len(full),
        whole=troubles["whole image"],
        verdict=_decide(len(found), empty=len(empty), full=len(full), whole=troubles["whole image"]),
        causes=tuple(CauseCount(cause, count) for cause, count in causes.most_common()),
        rivals=tuple(key for key, _ in rivals.most_common()),
        worst=tuple(item.id for item in ordered[:MAX_WORST]),
    )


def _decide(tagged: int, *, empty: int, full: int, whole: int) -> Verdict:
    """Nearly full masks alone are never `bad`: there are photographs of nothing but the object."""
    if tagged == 0:
        return "no images"
    if empty + whole >= BAD_SHARE * tagged:
        return "bad"
    return "doubtful" if empty + full >= DOUBTFUL_SHARE * tagged else "unsuspicious"
