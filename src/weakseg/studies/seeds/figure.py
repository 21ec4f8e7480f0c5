"""The figure of the study of seeds: what errors are made of, scores side by side, and all thresholds at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weakseg.ops.coverage import CoverageCounts
from weakseg.studies.figure_style import INK, style_axes
from weakseg.studies.seeds.table import Layout
from weakseg.studies.table import Column, Table, column_numbers

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN = (3.7, 3.2)
"""Width and height of one panel."""

PERCENT = (0, 100)

_SIDES = ("#4338ca", "#b45309", "#0f766e", "#c026d3", "#65a30d", "#0284c7", "#b3261e", "#7c7f87")
"""Colours of the sides, taken in turn."""

_ERRORS = {"right": "#475569", "under": "#dde3ea", "over": "#f59e8b", "wrong class": "#fbd5cc"}
"""Colours of what a union consists of; none is a side's."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One side at all thresholds.

    Args:
        label: Its name.
        counts: What it covers and finds at each.
        best_threshold: Where its mean IoU is largest.
    """

    label: str
    counts: CoverageCounts
    best_threshold: float


def figure_size_in(table: Table) -> tuple[float, float]:
    """Return width and height of the figure of a table in inches."""
    return 4 * PANEL_IN[0], len(_choices(table)) * PANEL_IN[1]


def draw_seeds(figure: Figure, table: Table, layout: Layout, traces: Sequence[Trace]) -> None:
    """Fill a figure with a line of panels for each choice of threshold, and with what all thresholds give.

    Args:
        figure: An empty figure.
        table: See `weakseg.studies.seeds.table.make_table`.
        layout: Its columns.
        traces: One per side where there are thresholds, else none.
    """
    choices = _choices(table)
    panels = figure.subplots(len(choices), 4 if traces else 3, squeeze=False)
    scores = [column for column in layout.scores if column.name in ("precision", "recall", "boundary_iou")]
    for line, choice in zip(panels, choices, strict=True):
        rows = [at for at, cell in enumerate(table.column("threshold_choice")) if cell == choice]
        _stack_errors(line[0], table, rows)
        _group_bars(line[1], table, rows, (*scores[:2], *layout.part_recalls, scores[2]))
        _group_bars(line[2], table, rows, layout.sizes)
        line[0].set_title(f"threshold by {choice}" if traces else choice, fontsize=9, loc="left", color=INK)
        line[2].set_xlabel("objects by share of the image (%)")
    for place, axes in enumerate(panels[:, 3] if traces else ()):
        # With a second line, that one shows the last of the parts, on critters the bodies.
        _plot_traces(axes, traces, layout.part_names if place else ())
    _add_legends(panels[0])
    figure.suptitle(table.title, fontsize=11)


def _choices(table: Table) -> list[str]:
    return list(dict.fromkeys(str(cell) for cell in table.column("threshold_choice")))


def _percents(table: Table, name: str, rows: Sequence[int]) -> list[float]:
    values = column_numbers(table.column(name))
    return [100 * values[at] for at in rows]


def _stack_errors(axes: Axes, table: Table, rows: Sequence[int]) -> None:
    labels = [str(table.column("run")[at]) for at in rows]
    over, wrong = (np.nan_to_num(_percents(table, name, rows)) for name in ("over", "over_other"))
    parts = {
        "right": np.nan_to_num(_percents(table, "iou", rows)),
        "under": np.nan_to_num(_percents(table, "under", rows)),
        "over": over - wrong,
        "wrong class": wrong,
    }
    left = np.zeros(len(rows))
    for name, widths in parts.items():
        axes.barh(range(len(rows)), widths, left=left, color=_ERRORS[name], label=name)
        left += widths
    for at, share in enumerate(parts["right"]):
        axes.text(1, at, f"{share:.1f}", color="white", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlim(*PERCENT)
    axes.set_xlabel("share of truth and seed together (%), class mean")
    style_axes(axes, grid="x", small=True)


def _group_bars(axes: Axes, table: Table, rows: Sequence[int], columns: Sequence[Column]) -> None:
    width = 0.8 / len(rows)
    for place, at in enumerate(rows):
        heights = [100 * column_numbers(table.column(column.name))[at] for column in columns]
        offsets = [group + (place - (len(rows) - 1) / 2) * width for group in range(len(columns))]
        colour = _SIDES[place % len(_SIDES)]
        axes.bar(offsets, heights, width=0.92 * width, color=colour, label=str(table.column("run")[at]))
    names = [column.heading.removesuffix(" %").removeprefix("IoU ").replace(" ", "\n") for column in columns]
    axes.set_xticks(range(len(columns)), names)
    axes.set_ylim(*PERCENT)
    axes.set_ylabel("IoU (%)" if all(column.name.startswith("iou") for column in columns) else "%")
    style_axes(axes, grid="y", small=True)


def _plot_traces(axes: Axes, traces: Sequence[Trace], part_names: Sequence[str]) -> None:
    for place, trace in enumerate(traces):
        counts, colour = trace.counts, _SIDES[place % len(_SIDES)]
        found, whole = counts.hits_px, counts.objects_px
        if part_names:
            found, whole = counts.part_hits_px[-1], int(counts.parts_px[-1])
        with np.errstate(invalid="ignore"):
            precision = 100 * np.true_divide(counts.hits_px, counts.given_px)
            recall = 100 * np.true_divide(found, whole)
        axes.plot(recall, precision, color=colour, linewidth=1.2)
        best = int(np.argmin(np.abs(counts.thresholds - trace.best_threshold)))
        axes.plot(recall[best], precision[best], color=colour, marker="o", markersize=4)
    axes.set_xlabel(f"{part_names[-1]} recall (%)" if part_names else "recall (%)")
    axes.set_ylabel("precision (%)")
    axes.set_xlim(*PERCENT)
    axes.set_ylim(*PERCENT)
    axes.set_title("all thresholds, dot: oracle", fontsize=9, loc="left", color=INK)
    style_axes(axes, grid="both", small=True)


def _add_legends(line: Sequence[Axes]) -> None:
    for axes, at_most in ((line[0], 4), (line[1], 3)):
        axes.legend(
            fontsize=8,
            frameon=False,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.06),
            ncols=at_most,
            columnspacing=1,
            handlelength=1,
        )
