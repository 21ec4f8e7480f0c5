from dataclasses import replace

import pytest

from weakseg.ops.mask_health import NOBODY, TagFacts
from weakseg.refine.health import (
    MAX_WORST,
    CauseCount,
    ClassCounts,
    TaggedMask,
    TagHealth,
    count_class,
    judge_tags,
)

GOOD = TagFacts(
    share=0.2, foreground=0.2, peak=5.0, core=0.2, core_cells=50.0, marked=0.25, rival=NOBODY, rival_share=0
)
GONE = replace(GOOD, share=0.0, foreground=0.0)


def judge(facts: TagFacts, *, usual: TagFacts = GOOD) -> tuple[str | None, str | None]:
    """Judge one image among two usual ones of the same class."""
    tagged = [TaggedMask(f"i{place}", "train", 0, item) for place, item in enumerate((facts, usual, usual))]
    found = judge_tags(tagged)[0]
    return found.trouble, found.cause


def test_an_ordinary_mask_is_in_no_trouble() -> None:
    assert judge(GOOD) == (None, None)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GONE, ("empty", "refined away")),
        (replace(GONE, share=0.0009), ("empty", "refined away")),
        (replace(GONE, share=0.0011, core=0.005), (None, None)),
        (replace(GONE, share=0.03), ("empty", "refined away")),  # below a fifth of the core's 0.2
        (replace(GONE, share=0.041), (None, None)),
        (replace(GONE, share=0.05, core=0.9), (None, None)),  # a wide core alone does not make a mask empty
        (replace(GONE, marked=0.03), ("empty", "below threshold")),
        (replace(GONE, core_cells=4.0), ("empty", "small")),
        (replace(GONE, peak=0.4), ("empty", "tag doubtful")),
        (replace(GONE, peak=0.0, core=0.0, core_cells=0.0, marked=0.0), ("empty", "tag doubtful")),
        (replace(GONE, foreground=0.3, rival=2, rival_share=0.5), ("swallowed", "swallowed")),
        (replace(GONE, foreground=0.3, rival=2, rival_share=0.4), ("empty", "refined away")),
    ],
)
def test_a_missing_class_and_why(facts: TagFacts, expected: tuple[str | None, str | None]) -> None:
    assert judge(facts) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(GOOD, share=0.9, foreground=0.9, marked=0.9), ("nearly full", "above threshold")),
        (replace(GOOD, share=0.89, foreground=0.89, marked=0.9), (None, None)),
        (replace(GOOD, share=1.0, foreground=1.0, marked=1.0), ("whole image", "above threshold")),
        (replace(GOOD, share=1.0, foreground=1.0, marked=0.5), ("whole image", "spread")),
        (replace(GOOD, share=1.0, foreground=1.0, marked=1.0, core=0.8), ("whole image", "flat")),
        (replace(GOOD, share=0.5, foreground=1.0, marked=0.5), ("whole image", "above threshold")),  # two fill it
        (replace(GOOD, share=0.25, foreground=1.0), (None, None)),  # the other one does
    ],
)
def test_a_full_mask_and_why(facts: TagFacts, expected: tuple[str | None, str | None]) -> None:
    assert judge(facts) == expected


def test_where_most_images_score_nothing_the_classifier_is_to_blame() -> None:
    unseen = replace(GONE, peak=0.0, core=0.0, core_cells=0.0, marked=0.0)
    assert judge(unseen, usual=unseen) == ("empty", "unseen")


def test_only_scores_of_the_same_class_are_compared() -> None:
    weak = TaggedMask("a", "train", 1, replace(GONE, peak=0.1))
    others = [TaggedMask("b", "train", 0, GOOD), TaggedMask("c", "train", 0, GOOD)]
    assert judge_tags([weak, *others])[0].cause == "refined away"


def make_found(*troubles: str | None) -> list[TagHealth]:
    causes = {"empty": "unseen", "swallowed": "swallowed", "nearly full": "flat", "whole image": "flat", None: None}
    shares = {"empty": 0.0005, "swallowed": 0.0, "nearly full": 0.95, "whole image": 1.0, None: 0.3}
    return [
        TagHealth(f"i{n}", "train", 0, shares[trouble], trouble, causes[trouble], 3 if trouble == "swallowed" else None)
        for n, trouble in enumerate(troubles)
    ]


def test_troubles_are_counted_and_the_worst_named() -> None:
    found = make_found("empty", None, "whole image", "swallowed", "nearly full", "empty", None, None, None, None)
    assert count_class(found) == ClassCounts(
        tagged=10,
        empty=3,
        no_pixel=1,
        swallowed=1,
        nearly_full=2,
        whole=1,
        verdict="doubtful",
        causes=(CauseCount("unseen", 2), CauseCount("flat", 2), CauseCount("swallowed", 1)),
        rivals=(3,),
        worst=("i3", "i0", "i5", "i2", "i4"),
    )


@pytest.mark.parametrize(
    ("troubles", "verdict"),
    [
        ((), "no images"),
        ((None,), "unsuspicious"),
        (("empty",), "bad"),
        (("empty", None), "bad"),
        (("empty", None, None, None, None), "doubtful"),
        (("empty", None, None, None, None, None), "unsuspicious"),
        (("whole image", "empty", None, None), "bad"),
        (("nearly full",) * 5, "doubtful"),  # a photograph may show nothing but the object
    ],
)
def test_verdicts(troubles: tuple[str | None, ...], verdict: str) -> None:
    assert count_class(make_found(*troubles)).verdict == verdict


def test_only_some_of_many_images_are_named() -> None:
    assert len(count_class(make_found(*["empty"] * 30)).worst) == MAX_WORST


def test_no_tags_no_verdicts() -> None:
    assert judge_tags([]) == ()
