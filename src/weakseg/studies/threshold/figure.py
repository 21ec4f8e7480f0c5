"""The figure of a study of thresholds: the truth's curve, and those of the statistics that do not know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weakseg.studies.figure_style import INK, style_axes
from weakseg.studies.threshold.passes import CHOSEN
from weakseg.studies.threshold.table import FIXED, ORACLE, Findings, defined_curve

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_IN = (9.0, 3.4)
"""Width and height of the figure."""

_COLOURS = ("#4338ca", "#0f766e", "#b45309", "#b3261e", "#6b7280", "#a16207", "#be185d")


def draw_threshold(figure: Figure, found: Findings) -> None:
    """Fill a figure with the two panels.

    Args:
        figure: An empty figure.
        found: What is drawn.
    """
    truth, statistics = figure.subplots(1, 2)
    truth.plot(found.thresholds, 100 * found.mean_iou, color=INK, marker="o", markersize=3.5)
    marks = {ORACLE: found.oracle, FIXED: found.fixed, CHOSEN: found.choices[CHOSEN].threshold}
    for (name, threshold), style in zip(marks.items(), (":", "--", "-"), strict=True):
        colour = _COLOURS[0] if name == CHOSEN else INK
        truth.axvline(threshold, color=colour, linestyle=style, linewidth=1.2, label=f"{name}, {threshold:g}")
    truth.set_ylabel(f"mean IoU on {found.split} (%)")
    for (name, choice), colour in zip(found.choices.items(), _COLOURS, strict=True):
        places, values = defined_curve(choice)
        spread = np.ptp(values) if choice.is_clear else 1.0
        scaled = (np.array(values) - min(values, default=0.0)) / spread
        width = 2.2 if name == CHOSEN else 1.0
        statistics.plot(places, scaled, color=colour, linewidth=width, label=name)
        if choice.is_clear:
            at = places.index(choice.threshold)
            statistics.plot(places[at], scaled[at], color=colour, marker="o", markersize=4)
    statistics.set_ylabel("average, lowest 0 to highest 1")
    for axes in (truth, statistics):
        _tidy(axes, found)
    figure.suptitle(
        f"Refinement {found.method}: {found.images} images of {found.split}, {found.judged} of train judged"
    )


def _tidy(axes: Axes, found: Findings) -> None:
    axes.set_xscale("log")
    ticks = [value for value in (0.02, 0.05, 0.1, 0.2, 0.4) if value in found.thresholds]
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.set_xlabel("background threshold")
    style_axes(axes)
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1)
