import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weakseg.errors import ArtifactError
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.scoring.from_counts import make_curve, note_unscored, score_confusion, score_sweep
from weakseg.scoring.metrics_file import load_metrics, save_metrics
from weakseg.scoring.scores import (
    ClassifierScore,
    ComparedSeeds,
    Curve,
    InstanceScore,
    Metrics,
    Score,
    number,
    numbers,
    percent,
)


def make_score(**changes: object) -> Score:
    """Score a 1 x 4 mask of two classes, of which the second never occurs; one pixel is void."""
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 1, 0, 1]], np.uint8), np.array([[0, 1, 1, 255]], np.uint8))
    settings: dict[str, object] = {
        "subject": "masks",
        "split": "train",
        "given_tags": True,
        "threshold_choice": "fixed",
        "threshold": 0.3,
        **changes,
    }
    return score_confusion(confusion.result(), **settings)


def make_sweep() -> ThresholdSweep:
    sweep = ThresholdSweep(3, [0.0, 0.25, 0.5, 0.75])
    sweep.update(np.array([[[0.2, 1.0, 0.6, 0.9]]], np.float32), [0], np.array([[0, 1, 1, 255]], np.uint8))
    return sweep


def make_instance_score(**changes: object) -> InstanceScore:
    """The average precision of two classes, of which the second has no object."""
    settings: dict[str, object] = {
        "split": "val",
        "images": 4,
        "given_tags": True,
        "threshold_choice": "fixed",
        "threshold": 0.25,
        "mean_ap50": 0.5,
        "mean_ap75": 0.25,
        "mean_ap": 0.3,
        "ap50": (0.5, None),
        "ap75": (0.25, None),
        "ap": (0.3, None),
        "support": (7, 0),
        **changes,
    }
    return InstanceScore(**settings)


def make_metrics() -> Metrics:
    sweep = make_sweep().result()
    return Metrics(
        dataset="folder",
        label_names=("background", "avo", "bex"),
        classifier=ClassifierScore(split="val", images=4, mean_average_precision=0.875, weights_from="random"),
        scores=(score_sweep(sweep, split="train"), make_score()),
        curves=(make_curve(sweep, split="train"),),
        notes=("something",),
        compared=(ComparedSeeds(0, make_curve(sweep, split="val")), ComparedSeeds(10, make_curve(sweep, split="val"))),
        instances=(make_instance_score(),),
    )


def test_numbers_written_before_there_were_newer_entries_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    save_metrics(path, make_metrics())
    newer = {"compared", "instances", "ablation"}
    document = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in document.items() if name not in newer}))
    assert load_metrics(path) == replace(make_metrics(), compared=(), instances=(), ablation=())


def test_a_score_holds_its_numbers_and_what_they_are() -> None:
    score = make_score()
    assert score == Score(
        subject="masks",
        split="train",
        images=1,
        given_tags=True,
        threshold_choice="fixed",
        threshold=0.3,
        mean_iou=0.5,
        iou=(0.5, 0.5, None),
        precision=(0.5, 1.0, None),
        recall=(1.0, 0.5, None),
        support=(1, 2, 0),
        pixel_accuracy=0.666667,
    )


def test_the_seeds_score_is_the_best_of_the_sweep_and_says_oracle() -> None:
    score = score_sweep(make_sweep().result(), split="val")
    assert (score.subject, score.split, score.images, score.given_tags) == ("seeds", "val", 1, True)
    assert (score.threshold_choice, score.threshold, score.mean_iou) == ("oracle", 0.25, 1.0)
    assert score.iou == (1.0, 1.0, None)
    assert score.support == (1, 2, 0)
    assert score.precision is None


def test_a_curve_holds_every_threshold() -> None:
    curve = make_curve(make_sweep().result(), split="train")
    assert curve.thresholds == (0.0, 0.25, 0.5, 0.75)
    assert curve.mean_iou == (0.333333, 1.0, 1.0, 0.5)
    assert curve.precision == (0.666667, 1.0, 1.0, 1.0)
    assert curve.recall == (1.0, 1.0, 1.0, 0.5)
    assert (curve.split, curve.images) == ("train", 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "masks on train, 1 images, tags given, threshold 0.3 (fixed)"),
        (
            {"threshold_choice": "oracle", "subject": "seeds"},
            "seeds on train, 1 images, tags given, threshold 0.3 (oracle)",
        ),
        ({"threshold_choice": "label-free"}, "masks on train, 1 images, tags given, threshold 0.3 (label-free)"),
        (
            {"threshold_choice": "none", "threshold": None, "subject": "segmenter", "given_tags": False},
            "segmenter on train, 1 images, no tags, no threshold",
        ),
    ],
)
def test_a_score_says_in_words_what_it_is(changes: dict[str, object], words: str) -> None:
    assert make_score(**changes).describe() == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "instances on val, 4 images, 7 objects, tags given, threshold 0.25 (fixed)"),
        (
            {"split": "train", "given_tags": False, "support": (2, 1), "threshold_choice": "label-free"},
            "instances on train, 4 images, 3 objects, no tags, threshold 0.25 (label-free)",
        ),
    ],
)
def test_an_average_precision_says_in_words_what_it_is(changes: dict[str, object], words: str) -> None:
    assert make_instance_score(**changes).describe() == words


def test_a_score_is_found_by_subject_and_split() -> None:
    metrics = make_metrics()
    assert metrics.find("masks", "train") is metrics.scores[1]
    assert metrics.find("masks", "val") is None
    assert metrics.find("segmenter", "train") is None


def test_metrics_come_back_from_their_file(tmp_path: Path) -> None:
    metrics = make_metrics()
    save_metrics(tmp_path / "metrics.json", metrics)
    assert load_metrics(tmp_path / "metrics.json") == metrics
    assert json.loads((tmp_path / "metrics.json").read_text())["scores"][0]["iou"] == [1.0, 1.0, None]


def test_missing_metrics_name_the_stage_that_makes_them(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(ArtifactError, match=rf"there is no {path}; run the stage 'evaluate' first"):
        load_metrics(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("notes"),
        lambda document: document.update(instances=None),
        lambda document: document["instances"][0].pop("support"),
        lambda document: document["scores"][0].pop("iou"),
        lambda document: document["scores"][0].update(extra=1),
        lambda document: document.update(scores=["text"]),
        lambda document: document.update(classifier=3),
        lambda document: document.update(curves=5),
    ],
)
def test_damaged_metrics_are_named(change: object, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    save_metrics(path, make_metrics())
    document = json.loads(path.read_text())
    change(document)
    for content in (json.dumps(document), path.read_text()[:-9], "[]"):
        path.write_text(content)
        with pytest.raises(ArtifactError, match=rf"{path} is damaged \(.*\); run the stage 'evaluate' again"):
            load_metrics(path)


def test_numbers_are_rounded_and_undefined_ones_are_none() -> None:
    assert number(1 / 3) == 0.333333
    assert number(math.nan) is None
    assert numbers(np.array([0.1234567, np.nan])) == (0.123457, None)


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0, "0.0"), (0.5678, "56.8"), (1.0, "100.0")])
def test_fractions_are_written_as_percentages(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_the_best_point_of_a_curve_is_the_first_among_equals() -> None:
    curve = Curve("val", 4, (0.0, 0.25, 0.5, 0.75), (None, 0.6, 0.6, 0.2), (None,) * 4, (None,) * 4)
    assert (curve.best_index, curve.best_mean_iou) == (1, 0.6)
    undefined = Curve("val", 4, (0.0, 0.5), (None, None), (None, None), (None, None))
    assert (undefined.best_index, undefined.best_mean_iou) == (None, None)


def test_compared_seeds_are_named_by_their_iterations() -> None:
    curve = make_curve(make_sweep().result(), split="val")
    assert [ComparedSeeds(number, curve).name for number in (0, 2)] == ["CAM", "RIB after 2 iterations"]


def confuse(prediction: list[int], truth: list[int]) -> ConfusionMatrix:
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([prediction], np.uint8), np.array([truth], np.uint8))
    return confusion


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ([0, 0, 0, 255], "the truth shows no class, only background"),
        ([255, 255, 255, 255], "the truth has no pixel that counts"),
    ],
)
def test_background_alone_is_no_result(truth: list[int], reason: str) -> None:
    result = confuse([0, 0, 1, 0], truth).result()
    settings = {"split": "val", "given_tags": False, "threshold_choice": "none", "threshold": None}
    score = score_confusion(result, subject="segmenter", **settings)
    assert (score.mean_iou, score.pixel_accuracy, score.undefined) == (None, None, reason)
    assert score.iou == score.precision == score.recall == (None, None, None)
    note = note_unscored(result, subject="segmenter", split="val", label_names=("background", "avo", "bex"))
    assert note == f"val: segmenter cannot be scored: {reason}"
    sweep = ThresholdSweep(3, [0.0, 0.5])
    sweep.update(np.array([[[0.2, 1.0, 0.6, 0.9]]], np.float32), [0], np.array([truth], np.uint8))
    seeds = score_sweep(sweep.result(), split="val")
    assert (seeds.mean_iou, seeds.threshold, seeds.threshold_choice, seeds.undefined) == (None, None, "none", reason)
    assert make_curve(sweep.result(), split="val").best_index is None


def test_a_label_that_the_truth_never_shows_is_in_no_mean_and_named() -> None:
    result = confuse([0, 1, 2, 1], [0, 1, 1, 1]).result()
    assert result.iou.tolist() == [1.0, 2 / 3, 0.0]
    settings = {"split": "val", "given_tags": False, "threshold_choice": "none", "threshold": None}
    score = score_confusion(result, subject="segmenter", **settings)
    assert (score.mean_iou, score.iou, score.undefined) == (0.833333, (1.0, 0.666667, None), None)
    note = note_unscored(result, subject="segmenter", split="val", label_names=("background", "avo", "bex"))
    assert note == "val, segmenter: no score of bex: the truth never shows it"
