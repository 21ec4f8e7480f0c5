"""The figure of a study of corrections: the segmenter over the number of corrected images, a line per order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weakseg.studies.corrections.runs import Learnt
from weakseg.studies.figure_style import style_axes

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.figure import Figure

SIZE_IN = (6.4, 3.6)
"""Width and height of the figure."""

COLOURS = {"queue": "#4338ca", "classes": "#0f766e", "random": "#b45309"}

TWIN_COLOUR = "#5f6673"


def draw_corrections(figure: Figure, learnt: Sequence[Learnt], *, title: str) -> None:
    """Fill a figure with a line per order, and one for full supervision.

    Args:
        figure: An empty figure.
        learnt: One per row of the table, the run without corrections first.
        title: Its title.
    """
    axes = figure.subplots()
    for order in dict.fromkeys(one.step.order for one in learnt if one.step.order):
        steps = [learnt[0], *(one for one in learnt if one.step.order == order)]
        points = [(one.step.count, 100 * one.segmenter) for one in steps if one.segmenter is not None]
        counts, values = zip(*points, strict=True) if points else ((), ())
        axes.plot(counts, values, "o-", color=COLOURS[order], linewidth=1.4, markersize=4, label=order)
    twin = next((one.segmenter for one in learnt if one.step.count is None), None)
    if twin is not None:
        axes.axhline(100 * twin, color=TWIN_COLOUR, linestyle="--", linewidth=1.2, label="full supervision")
    axes.set_xlabel("corrected images")
    axes.set_ylabel("segmenter, mean IoU (%)")
    style_axes(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    axes.set_title(title, fontsize=9)
