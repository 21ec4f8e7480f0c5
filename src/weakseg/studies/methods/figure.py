"""The figure of a study of methods: mAP, and mean IoU of seeds and masks, by method; a dot per seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weakseg.studies.figure_style import INK, style_axes
from weakseg.studies.table import Table, column_numbers

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_IN = (10.0, 3.6)
"""Width and height of the figure."""

COLOURS = {"map": INK, "seeds": "#4338ca", "crf": "#0f766e", "psa": "#b45309", "irn": "#b3261e"}
LABELS = {"map": "mAP", "seeds": "seeds", "crf": "CRF", "psa": "PSA", "irn": "IRN"}

OTHER = "#64748b"
"""Of refiners from other packages."""

MAX_UPRIGHT, SLANT_DEGREES = 5, 30
"""The names of more methods than these are slanted, so that they do not run into each other."""

GROUP_WIDTH = 0.7
"""Share of a method's width that its bars take together."""


def draw_methods(figure: Figure, table: Table) -> None:
    """Fill a figure with two panels: mAP, and mean IoU by subject.

    Args:
        figure: An empty figure.
        table: See `weakseg.studies.methods.table.make_table`.
    """
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.6))
    names = [column.name for column in table.columns]
    shown: list[str] = [name for name in ("seeds", "crf", "psa", "irn") if name in names]
    shown += [name for name in names if name not in COLOURS and f"{name}_image_s" in names]
    draw_groups(left, table, ["map"])
    draw_groups(right, table, shown)
    left.set_ylabel("mAP (%)")
    right.set_ylabel("mean IoU (%), oracle threshold if any")
    right.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(shown))
    slant = SLANT_DEGREES if len(table.rows) > MAX_UPRIGHT else 0
    for axes in (left, right):
        labels = [str(cell) for cell in table.column("method")]
        axes.set_xticks(range(len(table.rows)), labels, rotation=slant, ha="right" if slant else "center")
    figure.suptitle(table.title, fontsize=11)


def draw_groups(axes: Axes, table: Table, names: Sequence[str]) -> None:
    """Draw a bar per measure and row: the mean, with its standard deviation and a dot per seed."""
    width = GROUP_WIDTH / len(names)
    for place, name in enumerate(names):
        means, spreads = (column_percentages(table, column) for column in (name, f"{name}_sd"))
        at = [row + (place - (len(names) - 1) / 2) * width for row in range(len(means))]
        axes.bar(
            at,
            means,
            width=0.92 * width,
            color=COLOURS.get(name, OTHER),
            alpha=0.45,
            label=LABELS.get(name, name.upper()),
        )
        axes.errorbar(at, means, yerr=spreads, fmt="none", ecolor=COLOURS.get(name, OTHER), elinewidth=1.2, capsize=3)
        for column in table.columns:
            if column.name.startswith(f"{name}_seed"):
                axes.plot(at, column_percentages(table, column.name), "o", color=COLOURS.get(name, OTHER), markersize=3)
    style_axes(axes)


def column_percentages(table: Table, name: str) -> list[float]:
    """Return a column of fractions in percent, NaN where there is none."""
    return [100 * value for value in column_numbers(table.column(name))]
