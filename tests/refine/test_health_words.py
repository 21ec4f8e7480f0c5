from dataclasses import replace

import pytest

from weakseg.refine.health import Cause, CauseCount, ClassCounts, TagHealth
from weakseg.refine.health_words import (
    MaskHealth,
    MaskMethod,
    describe_finding,
    describe_remedy,
    judge_classes,
)

NAMES = ("patches", "scratches", "inclusion")
NONE = ClassCounts(23, 0, 0, 0, 0, 0, "unsuspicious", (), (), ())
METHOD = MaskMethod("crf", 0.4, 0.951)


def make_health(*found: TagHealth, names: tuple[str, ...] = NAMES, images: int = 30) -> MaskHealth:
    return judge_classes(found, names, splits=("train",), images=images, untagged_images=1, method=METHOD)


def missing(count: int, key: int = 1) -> list[TagHealth]:
    return [TagHealth(f"i{key}_{n}", "train", key, 0.0, "empty", "unseen", None) for n in range(count)]


def fine(count: int, key: int) -> list[TagHealth]:
    return [TagHealth(f"g{key}_{n}", "train", key, 0.2, None, None, None) for n in range(count)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "nothing wrong with 23 masks"),
        ({"empty": 23, "no_pixel": 23}, "23 of 23 tagged images have no scratches pixel"),
        ({"empty": 23, "no_pixel": 20}, "23 of 23 tagged images have no or hardly any scratches pixel"),
        ({"tagged": 1, "empty": 1, "no_pixel": 1}, "1 of 1 tagged image has no scratches pixel"),
        (
            {"empty": 4, "no_pixel": 4, "swallowed": 3, "rivals": (2, 0)},
            "4 of 23 tagged images have no scratches pixel; in 3 of them inclusion or patches has taken what its seed "
            "marks",
        ),
        ({"nearly_full": 5, "whole": 5}, "5 of 23 masks with scratches leave no background"),
        ({"nearly_full": 5}, "5 of 23 masks with scratches leave hardly any background"),
        ({"nearly_full": 5, "whole": 2}, "5 of 23 masks with scratches leave hardly any background, 2 of them none"),
        ({"nearly_full": 1, "whole": 1}, "1 of 23 masks with scratches leaves no background"),
        ({"tagged": 0}, "no image is tagged with it"),
    ],
)
def test_findings(changes: dict[str, object], told: str) -> None:
    assert describe_finding("scratches", replace(NONE, **changes), NAMES) == told


@pytest.mark.parametrize(
    ("cause", "method", "advice"),
    [
        ("unseen", METHOD, "train the classifier longer (classifier.epochs)"),
        ("tag doubtful", METHOD, "correct the tags"),
        ("swallowed", METHOD, "tags of the two are mixed up"),
        ("small", METHOD, "backbone of a smaller stride"),
        ("below threshold", METHOD, "lower refine.background_threshold (now 0.4)"),
        ("refined away", METHOD, "raise refine.crf.certainty"),
        ("refined away", MaskMethod("irn", 0.25, None), "lower refine.irn.walk_doublings"),
        ("refined away", MaskMethod("psa", None, None), "raise refine.psa.walk_alpha"),
        ("flat", METHOD, "right if it does fill these images"),
        ("above threshold", MaskMethod("none", 0.0, None), "raise refine.background_threshold (now 0)"),
        ("spread", METHOD, "weaken refine.crf.bilateral"),
        ("spread", MaskMethod("psa", None, None), "lower refine.psa.walk_alpha"),
        ("spread", MaskMethod("a stranger's", 0.3, None), "raise refine.background_threshold (now 0.3)"),
    ],
)
def test_every_cause_has_its_advice(cause: Cause, method: MaskMethod, advice: str) -> None:
    told = describe_remedy(replace(NONE, causes=(CauseCount(cause, 12),)), method)
    assert told.startswith("In 12, ")
    assert advice in told


def test_the_first_two_causes_are_told_and_a_weak_classifier() -> None:
    counts = replace(NONE, causes=(CauseCount("unseen", 9), CauseCount("small", 3), CauseCount("flat", 1)))
    told = describe_remedy(counts, replace(METHOD, mean_average_precision=0.34))
    assert "In 9, " in told
    assert "In 3, " in told
    assert "In 1, " not in told
    assert told.endswith("The classifier's mAP of 34.0 % is low: more epochs may help most.")


def test_without_trouble_there_is_no_advice() -> None:
    assert describe_remedy(NONE, replace(METHOD, mean_average_precision=0.1)) == ""


def test_a_run_is_as_good_as_its_worst_class_and_names_it_first() -> None:
    found = [*fine(20, 0), *missing(23), *missing(3, key=2), *fine(9, 2)]
    health = make_health(*found)
    assert health.verdict == "bad"
    assert health.describe() == "1 bad and 1 doubtful of 3 classes on 30 images"
    assert [item.name for item in health.troubled] == ["scratches", "inclusion"]
    assert (
        health.troubled[0]
        .describe()
        .startswith("bad: scratches: 23 of 23 tagged images have no scratches pixel. In 23,")
    )
    assert health.classes[0].describe() == "unsuspicious: patches: nothing wrong with 20 masks."


def test_good_runs_say_so() -> None:
    assert make_health(*fine(3, 0), *fine(4, 1)).describe() == "nothing suspicious in 2 classes on 30 images"
    alone = make_health(*fine(3, 0), names=("cell",))
    assert (alone.verdict, alone.describe()) == ("unsuspicious", "nothing suspicious in 1 class on 30 images")


def test_images_without_tags_leave_nothing_to_look_for() -> None:
    health = make_health(images=4)
    assert (health.verdict, health.troubled) == ("no images", ())
    assert health.describe() == "nothing to look for: none of 4 images has a tag"


def test_80_classes() -> None:
    names = tuple(f"class {n}" for n in range(80))
    health = make_health(*missing(5, key=79), *fine(5, 3), names=names)
    assert len(health.classes) == 80
    assert [item.name for item in health.troubled] == ["class 79"]


def test_a_bundle_gets_no_ids() -> None:
    health = make_health(*missing(3))
    assert health.classes[1].counts.worst
    assert all(not item.counts.worst for item in health.without_ids().classes)
