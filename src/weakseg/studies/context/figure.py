"""The figure of a study of context: CAM and CDA over the strength of the context, a dot per seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weakseg.studies.context.table import METHOD_NAMES, SUBJECTS
from weakseg.studies.figure_style import style_axes
from weakseg.studies.methods.figure import column_percentages
from weakseg.studies.methods.rows import METHODS
from weakseg.studies.table import Table

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_IN = (10.0, 3.3)
"""Width and height of the figure."""

SHOWN = ("map", "map_free", "seeds", "crf")

COLOURS = {"cam": "#4338ca", "cda": "#b45309"}

OFFSETS = {"cam": -0.06, "cda": 0.06}
"""Apart, so that neither hides the other's error bars."""


def draw_context(figure: Figure, table: Table) -> None:
    """Fill a figure with a panel per subject. Values stand at equal distances, in the order of the table.

    Args:
        figure: An empty figure.
        table: See `weakseg.studies.context.table.make_table`.
    """
    panels = figure.subplots(1, len(SHOWN))
    for axes, subject in zip(panels, SHOWN, strict=True):
        for name in METHOD_NAMES:
            _plot_method(axes, table, name, subject)
        axes.set_ylabel(f"{SUBJECTS[subject]} (%)")
        axes.set_xlabel("p_context")
        axes.set_xticks(range(len(table.rows)), [str(cell) for cell in table.column("p_context")])
        axes.set_xlim(-0.5, len(table.rows) - 0.5)
        style_axes(axes)
    panels[0].legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    figure.suptitle(table.title, fontsize=11)


def _plot_method(axes: Axes, table: Table, name: str, subject: str) -> None:
    column, colour = f"{name}_{subject}", COLOURS[name]
    at = [row + OFFSETS[name] for row in range(len(table.rows))]
    means, spreads = column_percentages(table, column), column_percentages(table, f"{column}_sd")
    axes.errorbar(at, means, yerr=spreads, color=colour, linewidth=1.4, capsize=3, label=METHODS[name].label)
    for other in table.columns:
        if other.name.startswith(f"{column}_seed"):
            axes.plot(at, column_percentages(table, other.name), "o", color=colour, markersize=3, alpha=0.6)
