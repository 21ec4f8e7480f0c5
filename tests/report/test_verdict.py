from __future__ import annotations

from dataclasses import replace

import pytest

from weakseg.refine.health import Cause, TagHealth, Trouble
from weakseg.refine.health_words import MaskHealth, MaskMethod, judge_classes
from weakseg.report.doubts import Agreement
from weakseg.report.limits import list_limits
from weakseg.report.verdict import judge_masks
from weakseg.scoring.scores import ClassifierScore, Curve, Metrics, Score

UNKNOWN = Agreement(None, None, None)


def make_health(
    *troubles: tuple[int, Trouble | None, Cause | None], names: tuple[str, ...] = ("avo", "bex")
) -> MaskHealth:
    found = [
        TagHealth(f"i{place}", "train", key, 0.2, trouble, cause, None)
        for place, (key, trouble, cause) in enumerate(troubles)
    ]
    method = MaskMethod("none", 0.3, None)
    return judge_classes(found, names, splits=("train",), images=len(found), untagged_images=0, method=method)


def make_metrics(
    *, map_: float | None = None, scores: tuple[Score, ...] = (), curves: tuple[Curve, ...] = ()
) -> Metrics:
    classifier = None if map_ is None else ClassifierScore("val", 9, map_, "imagenet")
    return Metrics("folder", ("background", "avo", "bex"), classifier, scores, curves, ())


def make_score(
    mean: float,
    *,
    iou: tuple[float | None, ...] = (0.9, 0.6, 0.6),
    precision: tuple[float | None, ...] | None = (0.9, 0.7, 0.7),
    recall: tuple[float | None, ...] | None = (0.9, 0.7, 0.7),
    threshold: float | None = 0.3,
) -> Score:
    choice = "none" if threshold is None else "fixed"
    return Score("masks", "train", 4, True, choice, threshold, mean, iou, precision, recall, (9, 9, 9), 0.9)


HEALTHY = make_health(*[(0, None, None)] * 30, *[(1, None, None)] * 30)


@pytest.mark.parametrize(
    ("mean", "grade", "headline"),
    [
        (0.7, "good", "Good: 70.0 on train, mean IoU in %"),
        (0.69, "fair", "Fair: 69.0 on train, mean IoU in %"),
        (0.49, "poor", "Poor: 49.0 on train, mean IoU in %"),
    ],
)
def test_with_truth_the_number_decides(mean: float, grade: str, headline: str) -> None:
    found = judge_masks(make_metrics(map_=0.1, scores=(make_score(mean),)), HEALTHY, UNKNOWN, is_clear=None)
    assert (found.grade, found.headline) == (grade, headline)
    assert found.lead.startswith("Measured on 4 images that have truth masks.")


@pytest.mark.parametrize(
    ("map_", "agreement", "is_clear", "grade"),
    [
        (0.93, Agreement(0.95, 0.92, 0.96), True, "good"),
        (0.93, Agreement(0.95, 0.85, None), True, "fair"),
        (0.93, Agreement(0.95, 0.9, 0.8), True, "fair"),
        (0.93, Agreement(0.79, 0.95, None), None, "poor"),
        (0.7, UNKNOWN, None, "fair"),
        (0.5, UNKNOWN, None, "poor"),
        (None, UNKNOWN, False, "fair"),
        (None, UNKNOWN, None, "good"),
    ],
)
def test_without_truth_the_worst_sign_decides(
    map_: float | None, agreement: Agreement, is_clear: bool | None, grade: str
) -> None:
    found = judge_masks(make_metrics(map_=map_), HEALTHY, agreement, is_clear=is_clear)
    assert found.grade == grade
    assert found.headline.startswith("Probably")
    assert "nobody has measured" in found.lead
    assert found.signs[0].text == "Nothing suspicious in 2 classes on 60 images."
    assert all(sign.text.endswith(".") for sign in found.signs)


def test_masks_that_a_person_has_corrected_say_nothing_of_the_others() -> None:
    own = replace(make_score(0.4), corrected=False)
    corrected = replace(make_score(0.9, iou=(0.9, 0.9, 0.2)), corrected=True, images=3)
    found = judge_masks(make_metrics(scores=(own, corrected)), HEALTHY, UNKNOWN, is_clear=None)
    assert found.headline == "Poor: 40.0 on train, mean IoU in %"
    assert found.lead.startswith("Measured on 4 images that have truth masks and that nobody has corrected.")
    alone = judge_masks(make_metrics(scores=(corrected,)), HEALTHY, UNKNOWN, is_clear=None)
    assert (alone.headline, alone.limits) == ("Probably good", ())


def test_a_bad_class_makes_the_masks_poor_and_is_named() -> None:
    health = make_health((0, "empty", "small"), (0, "empty", "small"), (1, None, None))
    found = judge_masks(make_metrics(map_=0.99), health, UNKNOWN, is_clear=None)
    assert (found.grade, found.signs[0].text) == ("poor", "1 bad of 2 classes on 3 images: avo.")


def test_nothing_known_is_said_to_be_unknown() -> None:
    found = judge_masks(make_metrics(), None, UNKNOWN, is_clear=None)
    assert (found.grade, found.headline, found.signs, found.limits) == ("unknown", "Nobody knows", (), ())


def test_reasons_are_counted_over_classes_the_most_frequent_first() -> None:
    health = make_health(
        *[(0, None, None)] * 25,
        *[(1, None, None)] * 25,
        *[(0, "empty", "small")] * 3,
        (1, "empty", "small"),
        (0, "swallowed", "swallowed"),
        (1, "empty", "tag doubtful"),
    )
    limits = list_limits(make_metrics(), health, good_map=0.85)
    assert [(limit.name, limit.text) for limit in limits] == [
        ("Size of the objects", "4 of 56 tags are objects too small for the network's stride (avo 3, bex 1)"),
        ("Tags", "2 of 56 tags may be wrong, or mixed up with another class of the image (avo 1, bex 1)"),
    ]


def test_few_images_and_a_weak_classifier_are_named() -> None:
    limits = list_limits(make_metrics(map_=0.0), make_health((0, None, None)), good_map=0.85)
    assert [limit.name for limit in limits] == ["Few images", "Classifier"]
    assert limits[0].text == "1 of 2 classes have fewer than 20 tagged images (avo 1)"


def test_truth_tells_of_a_class_behind_of_size_and_of_the_threshold() -> None:
    curve = Curve("train", 4, (0.1, 0.3, 0.5), (0.5, 0.6, 0.625), (None,) * 3, (None,) * 3)
    score = make_score(0.6, iou=(0.9, 0.3, None), precision=(0.9, 0.8, None), recall=(0.1, 0.6, 0.2))
    limits = list_limits(make_metrics(scores=(score,), curves=(curve,)), HEALTHY, good_map=0.85)
    assert [limit.name for limit in limits] == ["One class", "Masks too small", "Background threshold"]
    assert limits[0].text == "avo is far behind: 30.0 % IoU on train, in the mean 60.0 %"
    assert limits[1].text == "precision 80.0 %, recall 60.0 % on train, mean over the classes"
    assert limits[2].text == "0.3 costs the seeds 2.5 points of mean IoU on train"
    assert limits[2].remedy.startswith("try refine.background_threshold towards 0.5,")
    larger = replace(score, iou=(0.6, 0.6, 0.6), precision=(0.9, 0.5, None), recall=(0.1, 0.7, 0.2))
    assert [limit.name for limit in list_limits(make_metrics(scores=(larger,)), HEALTHY, good_map=0.85)] == [
        "Masks too large"
    ]
    good = make_score(0.6, threshold=None, precision=None, recall=None)
    assert list_limits(make_metrics(scores=(good,), curves=(curve,)), HEALTHY, good_map=0.85) == ()
