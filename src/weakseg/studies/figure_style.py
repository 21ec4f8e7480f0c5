"""The look that the figures of all studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes

INK, GRID = "#5f6673", "#d9dce2"
"""Colours of labels and of what stands behind the data."""

SMALL_PT = 8
"""Size of tick labels in crowded panels."""


def style_axes(axes: Axes, *, grid: Literal["x", "y", "both"] = "y", small: bool = False) -> None:
    """Give a panel a light frame, a grid behind the data and no ticks.

    Args:
        axes: The panel; changed in place.
        grid: Which lines the grid has.
        small: Whether its tick labels are small.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(length=0, labelcolor=INK)
    if small:
        axes.tick_params(labelsize=SMALL_PT)
    axes.grid(axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
