"""The figure of a study of RIB: mean IoU, precision and recall, and why adaptations ended, over the values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weakseg.studies.figure_style import INK, style_axes
from weakseg.studies.rib.table import CAM, STOP_REASONS
from weakseg.studies.rib.values import Sweep
from weakseg.studies.table import Table, column_numbers

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_IN = (10.0, 3.3)
"""Width and height of the figure."""

MAX_TICKS = 10
"""With more values than this not every one gets its label."""

MIN_SPAN_POINTS = 5.0
"""Percentage points that an axis of scores spans at least."""

_DASHED = (0, (4, 2))
_BLUE, _GREEN, _BROWN = "#4338ca", "#0f766e", "#b45309"
_STOP_COLOURS = dict(zip(STOP_REASONS, ("#c7c9f2", _BROWN, _GREEN, "#b3261e"), strict=True))


def draw_rib(figure: Figure, table: Table, sweep: Sweep) -> None:
    """Fill a figure with the three panels. Values stand at equal distances, in the order of the table.

    Args:
        figure: An empty figure.
        table: See `weakseg.studies.rib.table.make_table`.
        sweep: What its rows vary.
    """
    scores, foreground, stops = figure.subplots(1, 3)
    values = [str(cell) for cell in table.column("value")[1:]]
    _plot_column(scores, table, "mean_iou", label="RIB", colour=_BLUE)
    _plot_column(foreground, table, "precision", label="precision", colour=_GREEN)
    _plot_column(foreground, table, "recall", label="recall", colour=_BROWN)
    for axes in (scores, foreground):
        axes.plot([], [], color=INK, linestyle=_DASHED, linewidth=1, label=CAM)
        _widen(axes)
    _stack_stops(stops, table)
    scores.set_ylabel("mean IoU at the oracle threshold (%)")
    foreground.set_ylabel("foreground precision, recall (%)")
    stops.set_ylabel("images, by what ended them (%)")
    shown = range(0, len(values), -(-len(values) // MAX_TICKS))
    for axes in (scores, foreground, stops):
        axes.set_xticks(list(shown), [values[at] for at in shown])
        axes.set_xlim(-0.6, len(values) - 0.4)
        axes.set_xlabel(sweep.label)
        style_axes(axes)
        axes.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, columnspacing=1)
    figure.suptitle(table.title, fontsize=11)


def _plot_column(axes: Axes, table: Table, name: str, *, label: str, colour: str) -> None:
    """Plot one score over the values, and CAM's as a dashed line across."""
    cam, *values = [100 * value for value in column_numbers(table.column(name))]
    axes.plot(range(len(values)), values, color=colour, marker="o", markersize=4, label=label)
    axes.axhline(cam, color=colour, linestyle=_DASHED, linewidth=1)


def _widen(axes: Axes) -> None:
    """Widen the vertical axis to a span at which differences that mean nothing look like nothing."""
    low, high = axes.get_ylim()
    missing = max(0.0, MIN_SPAN_POINTS - (high - low))
    axes.set_ylim(low - missing / 2, high + missing / 2)


def _stack_stops(axes: Axes, table: Table) -> None:
    bottom = [0.0] * (len(table.rows) - 1)
    for reason in STOP_REASONS:
        shares = [100 * value for value in column_numbers(table.column(reason)[1:])]
        if any(shares):
            axes.bar(range(len(shares)), shares, bottom=bottom, color=_STOP_COLOURS[reason], label=reason)
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    axes.set_ylim(0, 100)
