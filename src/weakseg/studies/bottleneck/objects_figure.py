"""The figure of the study of the bottleneck on a run: examples, and HGR of the parts over layers and updates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weakseg.studies.bottleneck.objects_table import Findings, standard_errors
from weakseg.studies.bottleneck.parts import PARTS
from weakseg.studies.figure_style import INK, style_axes

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SIZE_IN = (10.0, 8.0)
"""Width and height of the figure."""

_COLOURS = dict(zip(PARTS, ("#4338ca", "#b45309", "#8a919e"), strict=True))

_TINTS = np.array([[67, 56, 202], [245, 158, 11]], np.float64)
"""RGB laid over the two parts of an object."""


def draw_objects(figure: Figure, found: Findings) -> None:
    """Fill a figure with gradient maps of some images, and HGR over layers and updates.

    Args:
        figure: An empty figure.
        found: What was measured; lines are means, bars standard errors.
    """
    maps, curves = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.0, 1.4))[:, 0]
    _show_maps(maps, found)
    panels = curves.subplots(1, 3)
    over_layers, over_inner, over_updates = panels
    by_image, by_layer = found.by_image, found.by_layer
    _plot(over_layers, np.concatenate([found.layers, by_image[:, :1]], axis=1), (*found.layer_names, "logit"))
    _plot(over_inner, by_layer[:, 0], found.layer_names)
    _plot(over_inner, by_layer[:, -1], found.layer_names, line="--")
    _plot(over_updates, by_image, [str(updates) for updates in range(by_image.shape[1])])
    titles = ("(b) layer by image", "(c) logit by layer; dashed: after RIB", "(d) logit by image")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_ylim(0, None)
        style_axes(axes, small=True)
    over_layers.set_ylabel("HGR (%)")
    over_updates.set_xlabel("updates of RIB")
    for axes in (over_layers, over_inner):
        axes.tick_params(axis="x", labelrotation=90)
    for part in PARTS:
        over_layers.plot([], [], color=_COLOURS[part], label=part)
    handles, labels = over_layers.get_legend_handles_labels()
    curves.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=len(labels))


def _plot(axes: Axes, shares: NDArray[np.float64], places: Sequence[str], *, line: str = "-") -> None:
    """Plot HGR of the three parts from shares (objects, places, 6)."""
    means, errors = 100 * shares.mean(axis=0), 100 * np.nan_to_num(standard_errors(shares))
    for at, part in enumerate(PARTS):
        axes.errorbar(
            range(len(places)),
            means[:, at],
            errors[:, at],
            color=_COLOURS[part],
            linestyle=line,
            marker="o",
            markersize=3,
            capsize=2,
        )
    axes.set_xticks(range(len(places)), places)


def _show_maps(part: SubFigure, found: Findings) -> None:
    part.suptitle("(a) parts (blue: discriminative, orange: other), and gradients by image", fontsize=10)
    names = ("image", "parts", *found.layer_names, "logit", "after RIB")
    grid = part.subplots(len(found.pictures), len(names), squeeze=False)
    for row, one in zip(grid, found.pictures, strict=True):
        tinted = one.image / 2 + 64
        for mask, tint in zip(one.parts, _TINTS, strict=False):  # the background has none
            tinted[mask] = (one.image[mask] + 2 * tint) / 3
        row[0].imshow(one.image)
        row[1].imshow(tinted.round().astype(np.uint8))
        for axes, gradients in zip(row[2:], one.maps, strict=True):
            axes.imshow(gradients, cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=7, color=INK)
