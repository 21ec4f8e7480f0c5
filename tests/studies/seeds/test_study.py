"""The study of seeds on runs whose seeds were painted from the truth, so that every score is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.studies.seeds.painted_runs import (
    data,
    make_config,
    make_run,
    make_seed,
    make_study,
    paint_faint_bodies,
    paint_heads,
    paint_truth,
    quick,
    read_maps,
    rows_of,
    runs,
)
from tests.tiny import with_settings
from weakseg.data.voc import open_voc
from weakseg.errors import UsageError
from weakseg.pipeline.artifacts import RunFolder, save_seed
from weakseg.pipeline.comparison import choose_compared
from weakseg.pipeline.inputs import prepare

pytestmark = pytest.mark.slow

assert all((data, quick, runs)), "fixtures"


def test_seeds_that_are_the_truth_score_full_marks(runs: dict[str, Path]) -> None:
    (row,) = rows_of(make_study([runs["whole"]], name="alone"))
    ones = ("mean_iou", "iou", "precision", "recall", "boundary_iou", "recall_head", "recall_body")
    assert [row[name] for name in ones] == [1] * len(ones)
    assert [row[name] for name in ("over", "over_other", "under")] == [0] * 3
    assert (row["run"], row["threshold_choice"]) == ("whole", "oracle")


def test_heads_alone_are_precise_and_miss_every_body(runs: dict[str, Path], data: Path) -> None:
    study = make_study([runs["whole"], runs["heads"]], name="heads", labels=("all", "heads"))
    _, row, *_ = rows_of(study)
    assert (row["run"], row["precision"], row["over"]) == ("heads", 1, 0)
    assert (row["recall_head"], row["recall_body"], row["found_head"]) == (1, 0, 1)
    both = [read_maps(data, sample) for sample in open_voc(data, split="val")]
    heads_px = sum(int(((parts == 1) & (labels > 0)).sum()) for labels, parts in both)
    animals_px = sum(int(((labels > 0) & (labels < 255)).sum()) for labels, _ in both)
    assert row["recall"] == pytest.approx(heads_px / animals_px, abs=1e-6)
    assert row["iou"] == pytest.approx(1 - float(str(row["under"])), abs=2e-6)


def test_at_equal_coverage_a_better_threshold_is_no_advantage(runs: dict[str, Path]) -> None:
    study = make_study([runs["heads"], runs["faint"]], name="equal")
    rows = rows_of(study)
    assert [(row["run"], row["threshold_choice"]) for row in rows] == [
        ("heads", "oracle"),
        ("faint", "oracle"),
        ("heads", "equal coverage"),
        ("faint", "equal coverage"),
    ]
    best, equal = rows[1], rows[3]
    assert best["recall_body"] == 1
    assert float(str(equal["threshold"])) > float(str(best["threshold"]))
    assert equal["coverage"] == rows[0]["coverage"]
    assert [equal[name] for name in ("iou", "recall_head", "recall_body")] == [rows[0]["iou"], 1, 0]
    assert rows[2] == {**rows[0], "threshold_choice": "equal coverage"}


def test_every_class_has_its_row_and_an_absent_one_no_score(runs: dict[str, Path], data: Path) -> None:
    study = make_study([runs["heads"]], name="classes", size_edges=())
    with study.folder.details.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["background", "avo", "bex", "cim", "dor", "eku", "fip"]
    found = np.concatenate([np.unique(read_maps(data, sample)[0]) for sample in open_voc(data, split="val")])
    absent = [row for label, row in enumerate(rows) if label not in found]
    assert absent, "choose another seed: every class occurs"
    assert all((row["truth_px"], row["objects"], row["iou"], row["recall"]) == ("0", "0", "", "") for row in absent)
    shown = [row for row in rows[1:] if row not in absent]
    assert all(row["iou"] == row["iou_size_0_100"] for row in shown)
    record = json.loads(study.folder.record.read_text())
    assert len(record["numbers"]["details"]) == 7


def test_the_study_says_what_it_was_made_with(runs: dict[str, Path]) -> None:
    study = make_study([runs["whole"], runs["heads"]], name="record", size_edges=(0.1,))
    assert study.table.title == "Seeds of 2 runs on val, 5 images, tags given"
    assert all(path.exists() for path in (*study.folder.outputs, study.folder.details))
    record = json.loads(study.folder.record.read_text())
    assert record["settings"]["sizes"] == [0.1]
    assert sorted(record["recipe"]) == sorted(str(runs[name]) for name in ("whole", "heads"))
    assert {"weakseg", "torch", "numpy", "python"} <= set(record["versions"])
    assert "iou_size_0_10" in record["numbers"]["rows"][0]


@pytest.mark.parametrize(("subject", "tags"), [("masks", "tags given"), ("predictions", "no tags")])
def test_label_maps_are_taken_as_they_are(runs: dict[str, Path], subject: str, tags: str) -> None:
    study = make_study([runs["whole"], runs["heads"]], subject=subject)
    assert study.folder.root == runs["whole"] / "studies" / f"seeds-{subject}"
    rows = rows_of(study)
    assert [(row["threshold_choice"], row["threshold"]) for row in rows] == [("as written", None)] * 2
    assert study.table.title.endswith(tags)
    expected = [(1.0, 1.0), (1.0, 0.0)] if subject == "masks" else [(0.0, 0.0), (0.0, 0.0)]
    assert [(row["recall_head"], row["recall_body"]) for row in rows] == expected
    precision = [row["precision"] for row in rows]
    assert precision == ([1.0, 1.0] if subject == "masks" else [None, None])


def test_data_without_parts_have_no_columns_of_parts(tmp_path: Path, data: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets", "classes.txt"):
        (plain / name).symlink_to(data / name)
    config = with_settings(make_config(plain), ("data.name", "voc"))
    table = make_study([make_run(tmp_path / "run", data, paint_heads, config=config)]).table
    assert not [column.name for column in table.columns if "head" in column.name or "body" in column.name]
    assert table.column("precision") == (1.0,)


def test_critters_opened_as_voc_keep_their_parts(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("data.name", "voc"))
    table = make_study([make_run(tmp_path / "run", data, paint_heads, config=config)]).table
    assert table.column("recall_head") == (1.0,)


def test_adaptations_are_compared_within_one_run(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("localize.compared_images", 3), ("localize.rib.iterations", 3))
    run = make_run(tmp_path / "run", data, paint_truth, config=config)
    context = prepare(config, RunFolder(run))
    assert context.val is not None
    compared = choose_compared(config.localize, [context.val])
    assert compared is not None
    for sample in compared:
        labels, parts = read_maps(data, sample)
        for number, paint in ((0, paint_heads), (2, paint_faint_bodies), (3, paint_truth)):
            path = context.folder.adaptation(number, sample.id)
            save_seed(path, make_seed(sample, paint(labels, parts), labels))
    table = make_study([run], subject="adaptations").table
    assert table.title == "Seeds during RIB on val, 3 images, tags given"
    assert table.column("run")[:3] == ("CAM", "RIB, k = 2", "RIB, k = 3")
    assert table.column("recall_body")[:3] == (0.0, 1.0, 1.0)
    with pytest.raises(UsageError, match="--split train: the adaptations are of 'val'"):
        make_study([run], subject="adaptations", split="train")
