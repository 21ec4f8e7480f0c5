from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.made_run import add_instances, make_run
from weakseg.data.base import Problem
from weakseg.report.content import build_report, group_problems, group_scores
from weakseg.report.view import Fact
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import Score

pytestmark = pytest.mark.usefixtures("undrawn")


def make_score(subject: str, split: str, support: tuple[int, ...]) -> Score:
    return Score(
        subject=subject,  # type: ignore[arg-type]
        split=split,
        images=2,
        given_tags=True,
        threshold_choice="fixed",
        threshold=0.3,
        mean_iou=0.5,
        iou=(0.5, None),
        precision=None,
        recall=None,
        support=support,
        pixel_accuracy=None,
    )


def test_problems_are_counted_once_and_sorted_by_severity() -> None:
    notes = [Problem("note", "no-tags", f"img{index}", "no tags") for index in range(5)]
    error = Problem("error", "mask-size", "img9", "too small")
    groups = group_problems([*notes, *notes, error])
    assert [(group.severity, group.kind, group.count, group.more) for group in groups] == [
        ("error", "mask-size", 1, 0),
        ("note", "no-tags", 5, 2),
    ]
    assert groups[1].examples == ("img0: no tags", "img1: no tags", "img2: no tags")


def test_scores_share_a_group_only_on_the_same_truth() -> None:
    seeds, masks = make_score("seeds", "val", (7, 3)), make_score("masks", "val", (7, 3))
    fewer = make_score("segmenter", "val", (5, 3))
    other = make_score("seeds", "train", (7, 3))
    assert group_scores([seeds, other, masks, fewer]) == ((seeds, masks), (other,), (fewer,))


def test_facts_say_what_was_run_and_on_how_much(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0, None))
    sample = context.train.samples[0]
    partly = replace(sample, known=np.array([True, False, True]))
    context = replace(context, train=replace(context.train, samples=(partly, context.train.samples[1])))
    view = build_report(context, load_metrics(context.folder.metrics))
    assert view.lead.endswith(": folder, 3 classes, trained on 2 images of train, checked on 3 of val.")
    assert view.facts[0] == Fact("Training split", "train: 2 images, 1 without tags, 1 with only some tags known")
    assert view.facts[2] == Fact("Classifier", "resnet50, started from random weights, 5 epochs, batches of 16")
    assert view.facts[3].text == "CAM at scales 1, 0.5, 1.5, 2, on train (2 images) and val (3 images)"
    assert view.facts[4].text == "refinement none, background threshold 0.25 (fixed)"


def test_instances_are_a_fact_a_card_and_a_section(tmp_path: Path) -> None:
    context = add_instances(make_run(tmp_path))
    view = build_report(context, load_metrics(context.folder.metrics))
    assert view.facts[5] == Fact("Instances", "one mask per object by IRN, background threshold 0.25 (fixed)")
    (_, card) = [card for group in view.card_groups for card in group.cards if card.kind == "instances"]
    assert (card.title, card.value) == ("Instances, AP50", "50.0")
    assert card.detail == ("val, 3 images, 1,235 objects, tags given, threshold 0.25 (fixed); AP75 25.0, mAP 30.0")
    assert view.instances is not None
    assert [(row.split, row.classes, row.tags) for row in view.instances.rows] == [
        ("train", "2 of 3", "given"),
        ("val", "2 of 3", "given"),
    ]
    avo = view.instances.class_rows[0]
    assert (avo.swatch.name, avo.cells[1][0]) == ("avo", "1")
    assert [(bar.kind, bar.text, bar.length) for bar in avo.cells[1][1]] == [
        ("instances", "75.0", 75.0),
        ("instances", "50.0", 50.0),
        ("instances", "60.0", 60.0),
    ]


def test_report_without_instances_has_no_section_of_them(tmp_path: Path) -> None:
    context = make_run(tmp_path, train_tags=(0,), val_tags=None)
    view = build_report(context, load_metrics(context.folder.metrics))
    assert (view.instances, view.has_instances) == (None, False)
    assert "Instances" not in [fact.term for fact in view.facts]


def test_report_keeps_numbers_beside_their_conditions(tmp_path: Path) -> None:
    context = make_run(tmp_path)
    metrics = load_metrics(context.folder.metrics)
    view = build_report(context, metrics)
    assert [(group.role, group.heading, len(group.cards)) for group in view.card_groups] == [
        ("train", "On train", 2),
        ("val", "On val", 4),
    ]
    oracle, segmenter = view.card_groups[0].cards[0], view.card_groups[1].cards[2]
    assert metrics.scores[0].mean_iou is not None
    assert float(oracle.value) == pytest.approx(100 * metrics.scores[0].mean_iou, abs=0.05)
    assert oracle.detail == "train, 3 images, tags given, threshold 0.3 (oracle)"
    assert (segmenter.title, segmenter.kind) == ("Segmenter, mean IoU", "segmenter")
    assert [choice.term for choice in view.choices] == ["fixed", "oracle", "none"]
    bar = view.class_rows[1].cells[0][1][0]
    assert bar.length is not None
    assert float(bar.text) == bar.length > 0
    absent = view.class_rows[3].cells[0][1][0]
    assert (absent.text, absent.length) == ("–", None)
