from __future__ import annotations

import numpy as np
import pytest

from weakseg.studies.seeds.counts import MaskCounts
from weakseg.studies.seeds.table import Layout, Row, count_sizes, make_details, make_table
from weakseg.types import ClassSet

LAYOUT = Layout(size_edges=(0.1,), part_names=("head", "body"))


def make_counts(num_labels: int = 3) -> MaskCounts:
    """Class 1 has 20 pixels, 12 found, 6 taken for class 2; 3 of the background are given to it. Others are absent."""
    confusion = np.zeros((num_labels, num_labels + 1), np.int64)
    confusion[0, 0], confusion[0, 1] = 77, 3
    confusion[1, 0], confusion[1, 1], confusion[1, 2] = 2, 12, 6
    boundaries = np.zeros((num_labels, 2), np.int64)
    boundaries[0], boundaries[1], boundaries[2] = (9, 10), (3, 12), (0, 5)
    sizes = np.zeros((num_labels, 2, 4), np.int64)
    sizes[1] = [(2, 8, 2, 0), (1, 12, 10, 3)]
    parts = np.zeros((num_labels, 2, 2), np.int64)
    parts[1] = [(8, 8), (12, 4)]
    return MaskCounts(confusion, boundaries, sizes, parts)


def test_a_row_holds_the_scores_of_its_counts() -> None:
    table = make_table("a title", [Row("CAM", "oracle", 0.25, make_counts())], LAYOUT, ("a note",))
    (row,) = table.to_records()
    # IoU of the labels: 77 / 82, 12 / 23 and 0 / 6; class 2 is absent from the truth but was given.
    expected = {
        "coverage": 21 / 100,
        "mean_iou": (77 / 82 + 12 / 23) / 3,
        "iou": (12 / 23) / 2,
        "over": (3 / 23 + 1) / 2,
        "over_other": (0 + 1) / 2,
        "under": (8 / 23) / 2,
        "precision": 12 / 21,
        "recall": 12 / 20,
        "boundary_iou": (3 / 12) / 2,
        "iou_size_0_10": 2 / 8,
        "iou_size_10_100": 10 / 15,
        "recall_head": 1.0,
        "recall_body": 4 / 12,
        "found_head": 8 / 12,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (row["run"], row["threshold_choice"], row["threshold"]) == ("CAM", "oracle", 0.25)
    assert (table.title, table.notes) == ("a title", ("a note",))
    assert float(str(row["iou"])) + float(str(row["over"])) + float(str(row["under"])) == pytest.approx(1, abs=3e-6)


def test_details_have_a_row_per_label_and_dashes_for_what_is_undefined() -> None:
    classes = ClassSet(("avo", "bex"))
    table = make_details("a title", [Row("CAM", "oracle", 0.25, make_counts())], LAYOUT, classes)
    background, avo, bex = table.to_records()
    assert [row["class"] for row in (background, avo, bex)] == ["background", "avo", "bex"]
    assert (avo["truth_px"], avo["objects"]) == (20, 3)
    scores = [avo[name] for name in ("iou", "over", "under", "precision", "recall", "boundary_iou")]
    assert scores == pytest.approx([12 / 23, 3 / 23, 8 / 23, 12 / 15, 12 / 20, 3 / 12], abs=1e-6)
    assert (bex["truth_px"], bex["iou"], bex["over"], bex["precision"]) == (0, 0, 1, 0)
    assert [bex[name] for name in ("recall", "iou_size_0_10", "recall_head", "found_head")] == [None] * 4
    assert background["recall"] == pytest.approx(77 / 80)


def test_with_80_classes_absent_ones_are_left_out_of_means() -> None:
    few, many = (
        make_table("t", [Row("a", "oracle", 0.1, make_counts(num_labels))], LAYOUT, ()).rows for num_labels in (3, 81)
    )
    assert few == many


def test_without_parts_or_sizes_there_are_no_columns_of_them() -> None:
    plain = Layout(size_edges=(), part_names=())
    counts = make_counts()
    one_size = MaskCounts(
        counts.confusion, counts.boundaries, counts.sizes.sum(axis=1, keepdims=True), counts.parts[:, :0]
    )
    table = make_table("t", [Row("a", "as written", None, one_size)], plain, ())
    assert [column.name for column in table.columns][-2:] == ["boundary_iou", "iou_size_0_100"]
    assert table.column("iou_size_0_100") == (pytest.approx(12 / 23, abs=1e-6),)


def test_objects_are_counted_by_size() -> None:
    assert count_sizes(make_counts()) == (2, 1)
    assert [column.heading for column in LAYOUT.sizes] == ["IoU 0–10 %", "IoU 10–100 %"]


def test_label_maps_without_a_class_have_no_precision() -> None:
    counts = make_counts()
    counts.confusion[:, 1:] = 0
    table = make_table("t", [Row("a", "as written", None, counts)], LAYOUT, ())
    assert table.column("precision") == (None,)
    assert table.column("recall") == (0.0,)
