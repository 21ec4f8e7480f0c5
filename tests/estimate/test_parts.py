from pathlib import Path

import pytest

from tests.estimate.made_trial import make_trial, tiny_config
from tests.photos import TINY_IRN, TINY_PSA, TINY_RIB, TINY_SEAM
from tests.tiny import make_dataset
from weakseg.estimate.costs import PartCost
from weakseg.estimate.parts import Part, try_parts
from weakseg.estimate.stages import plan_parts
from weakseg.estimate.trial import Trial

STAGES = ["classify", "localize", "refine", "segment", "evaluate", "report"]


def costs_of(trial: Trial, parts: tuple[Part, ...]) -> list[PartCost]:
    costs: list[PartCost] = []
    try_parts(trial, parts, deadline_s=0.0, done=costs.append)  # no time: each is tried as little as can be
    return costs


def test_every_stage_is_planned_with_its_numbers(tmp_path: Path) -> None:
    trial = make_trial(tmp_path)
    assert [(part.stage, part.what) for part in plan_parts(trial)] == [
        ("classify", "classifier: 2 x 1 steps of 4 images"),
        ("classify", "its mAP: 2 images"),
        ("localize", "LPCAM: 7 images"),
        ("refine", "masks (crf): 7 images"),
        ("refine", "the threshold: 7 images"),
        ("segment", "segmenter: 2 x 1 steps of 4 images"),
        ("evaluate", "predictions, 2 views each: 2 images"),
        ("evaluate", "scores: 7 images"),
        ("report", "report of 4 images"),
    ]


def test_nothing_is_planned_for_a_validation_split_that_is_not_there(tmp_path: Path) -> None:
    whats = [part.what for part in plan_parts(make_trial(tmp_path, val=False))]
    assert not any("mAP" in what or "predictions" in what for what in whats)


def test_what_a_released_network_needs_not_is_not_planned(tmp_path: Path) -> None:
    released = ("--classifier.name=resnet50", "--classifier.released=a.pth", "--refine.irn.released=b.pth")
    config = tiny_config(
        *TINY_IRN, *released, "--refine.irn.name=resnet50", "--refine.irn.weights=none", "--segmenter.weights=none"
    )
    whats = [part.what for part in plan_parts(make_trial(tmp_path, config))]
    assert not any(what.startswith(("classifier", "IRNet", "labels")) for what in whats)
    assert "its mAP: 2 images" in whats


def test_where_seeds_are_cut_is_looked_for_once_if_labels_follow_it(tmp_path: Path) -> None:
    def list_whats(*words: str) -> list[str]:
        return [part.what for part in plan_parts(make_trial(tmp_path, tiny_config(*TINY_IRN, *words)))]

    numbers = ("--refine.irn.foreground=0.3", "--refine.irn.background=0.05")
    assert "where seeds are cut: 5 images" in list_whats()
    assert "where seeds are cut: 5 images" not in list_whats(*numbers)


def test_a_part_that_fails_is_a_line_and_the_others_are_tried(tmp_path: Path) -> None:
    def fail(trial: Trial, deadline_s: float) -> PartCost:
        raise MemoryError

    def work(trial: Trial, deadline_s: float) -> PartCost:
        return PartCost("segment", "second", 1.0)

    parts = (Part("refine", "first", 1.0, fail), Part("segment", "second", 0.0, work))
    costs = costs_of(make_trial(tmp_path), parts)
    assert [(cost.time_s, cost.note) for cost in costs] == [(None, "could not be tried: MemoryError"), (1.0, "")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (),
        (*TINY_RIB, "--localize.compared_images=2"),
        (*TINY_IRN, "--evaluate.ablate=true", "--evaluate.flip=true"),
        (*TINY_SEAM, *TINY_PSA, "--localize.method=cam", "--refine.confidence=true"),
        ("--refine.method=none", "--data.max_side_px=24"),
    ],
    ids=["folder", "rib", "irn", "seam and psa", "none"],
)
def test_every_method_can_be_tried(words: tuple[str, ...], tmp_path: Path) -> None:
    trial = make_trial(tmp_path, tiny_config(*words))
    costs = costs_of(trial, plan_parts(trial))
    assert [(cost.what, cost.note) for cost in costs if cost.time_s is None] == []
    assert all(cost.time_s >= 0 for cost in costs if cost.time_s is not None)
    assert list(dict.fromkeys(cost.stage for cost in costs)) == STAGES


@pytest.mark.slow
def test_a_single_image_can_be_tried(tmp_path: Path) -> None:
    trial = make_trial(tmp_path, train=make_dataset(tmp_path / "images", ((1,),)), val=False)
    assert all(cost.time_s is not None for cost in costs_of(trial, plan_parts(trial)))
