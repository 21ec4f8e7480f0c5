"""Tables of the study of seeds: one row per side and choice of threshold, and the same class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.error_shares import share_errors
from weakseg.scoring.scores import number
from weakseg.studies.seeds.counts import MaskCounts
from weakseg.studies.table import Cell, Column, Table
from weakseg.types import ClassSet

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

ORACLE, COVERAGE, GIVEN = "oracle", "equal coverage", "as written"
"""How the threshold of a row was chosen; the last is that of label maps, which need none."""

SCORES = (
    Column("iou", "IoU %", percent=True),
    Column("over", "over %", percent=True),
    Column("over_other", "wrong class %", percent=True),
    Column("under", "under %", percent=True),
    Column("precision", "prec. %", percent=True),
    Column("recall", "recall %", percent=True),
    Column("boundary_iou", "bound. IoU %", percent=True),
)
"""Scores of a class; in the row of a side their means over the classes."""


@dataclass(frozen=True, eq=False)
class Row:
    """One row to be made.

    Args:
        label: Name of the side.
        choice: `ORACLE`, `COVERAGE` or `GIVEN`.
        threshold: The background threshold, or None.
        counts: What was counted there.
    """

    label: str
    choice: str
    threshold: float | None
    counts: MaskCounts


@dataclass(frozen=True)
class Layout:
    """What the columns are that not every study has.

    Args:
        size_edges: Shares of the image that part small objects from large ones.
        part_names: Names of the object parts; empty where none are known.
    """

    size_edges: tuple[float, ...]
    part_names: tuple[str, ...]

    @property
    def sizes(self) -> tuple[Column, ...]:
        """IoU of the objects of each size, small ones first."""
        bounds = [f"{100 * share:g}" for share in (0.0, *self.size_edges, 1.0)]
        return tuple(
            Column(f"iou_size_{low}_{high}", f"IoU {low}–{high} %", percent=True) for low, high in pairwise(bounds)
        )

    @property
    def part_recalls(self) -> tuple[Column, ...]:
        """Recall of each part."""
        return tuple(Column(f"recall_{name}", f"{name} recall %", percent=True) for name in self.part_names)

    @property
    def part_shares(self) -> tuple[Column, ...]:
        """Share of each part but the last in what was found."""
        return tuple(Column(f"found_{name}", f"{name} in found %", percent=True) for name in self.part_names[:-1])

    @property
    def scores(self) -> tuple[Column, ...]:
        """Columns of all scores."""
        return (*SCORES, *self.sizes, *self.part_recalls, *self.part_shares)


def make_table(title: str, rows: Sequence[Row], layout: Layout, notes: Sequence[str]) -> Table:
    """Make the table of the sides.

    Precision and recall are those of all pixels with a class together, as the other tables of a run have them, IoU by
    size and recall of parts likewise. IoU, over, wrong class, under and boundary IoU are means over the classes that
    the truth or the label maps have.
    """
    columns = (
        Column("run", "run"),
        Column("threshold_choice", "threshold by"),
        Column("threshold", "threshold", digits=3),
        Column("coverage", "coverage %", percent=True),
        Column("mean_iou", "mIoU %", percent=True),
        *layout.scores,
    )
    return Table(title, columns, tuple(_overall_cells(row, layout) for row in rows), tuple(notes))


def make_details(title: str, rows: Sequence[Row], layout: Layout, classes: ClassSet) -> Table:
    """Make the table of the classes, background included, of every side and choice of threshold."""
    columns = (
        Column("class", "class"),
        Column("run", "run"),
        Column("threshold_choice", "threshold by"),
        Column("threshold", "threshold", digits=3),
        Column("truth_px", "truth px", digits=0),
        Column("objects", "objects", digits=0),
        *layout.scores,
    )
    cells = [
        (name, row.label, row.choice, row.threshold, *_class_cells(row.counts, label))
        for row in rows
        for label, name in enumerate(classes.label_names)
    ]
    return Table(title, columns, tuple(cells), ())


def count_sizes(counts: MaskCounts) -> tuple[int, ...]:
    """Return the number of true objects of each size."""
    return tuple(int(value) for value in counts.sizes[:, :, 0].sum(axis=0))


def _overall_cells(row: Row, layout: Layout) -> tuple[Cell, ...]:
    counts = row.counts
    errors = share_errors(counts.confusion)
    given = counts.confusion[:, 1:-1].sum()
    hits = np.diagonal(counts.confusion)[1:].sum()
    means = [_mean_defined(values[1:]) for values in (errors.iou, errors.over, errors.over_other, errors.under)]
    values = (
        float(_ratio(given, counts.confusion.sum())),
        _mean_defined(errors.iou),
        *means,
        float(_ratio(hits, given)),
        float(_ratio(hits, counts.confusion[1:].sum())),
        _mean_defined(_ratio(counts.boundaries[1:, 0], counts.boundaries[1:, 1])),
        *_size_and_part_scores(counts.sizes[1:].sum(axis=0), counts.parts[1:].sum(axis=0)),
    )
    cells = (row.label, row.choice, row.threshold, *map(number, values))
    assert len(cells) == 5 + len(layout.scores)
    return cells


def _class_cells(counts: MaskCounts, label: int) -> tuple[Cell, ...]:
    errors = share_errors(counts.confusion)
    hits, given = counts.confusion[label, label], counts.confusion[:, label].sum()
    support = counts.confusion[label].sum()
    values = (
        *(float(shares[label]) for shares in (errors.iou, errors.over, errors.over_other, errors.under)),
        float(_ratio(hits, given)),
        float(_ratio(hits, support)),
        float(_ratio(counts.boundaries[label, 0], counts.boundaries[label, 1])),
        *_size_and_part_scores(counts.sizes[label], counts.parts[label]),
    )
    return (int(support), int(counts.sizes[label, :, 0].sum()), *map(number, values))


def _size_and_part_scores(sizes: Int64Array, parts: Int64Array) -> tuple[float, ...]:
    """Return the IoU of each size of `sizes` (S, 4), and recalls and shares of the parts of `parts` (P, 2)."""
    by_size = _ratio(sizes[:, 2], sizes[:, 1] + sizes[:, 3])
    recalls = _ratio(parts[:, 1], parts[:, 0])
    shares = _ratio(parts[:-1, 1], parts[:, 1].sum())
    return tuple(float(value) for value in (*by_size, *recalls, *shares))


def _ratio(part: Int64Array | np.int64, whole: Int64Array | np.int64) -> Float64Array:
    """Divide counts; 0 / 0 is NaN."""
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole)


def _mean_defined(values: Float64Array) -> float:
    """Average over the values that are not NaN; NaN where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
