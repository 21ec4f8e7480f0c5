"""The figure of the study of the bottleneck: examples, gradient maps, HGR over layers, and HGR over updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weakseg.studies.bottleneck.gradients import REGIONS
from weakseg.studies.bottleneck.settings import ACTIVATIONS, NUM_LAYERS, OBJECTIVES
from weakseg.studies.bottleneck.table import OBJECTIVE_NAMES, Results, layer_ratios, update_ratios
from weakseg.studies.figure_style import INK, style_axes

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SIZE_IN = (9.0, 11.0)
"""Width and height of the figure."""

HEIGHTS = (1.15, 2.3, 2.6, 2.6)
"""Of its parts, in proportion."""

_COLOURS = dict(zip(REGIONS, ("#4338ca", "#b45309", "#8a919e"), strict=True))
_DASHES = dict(zip(ACTIVATIONS, ("-", "--"), strict=True))


def draw_bottleneck(figure: Figure, results: Results, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
    """Fill a figure with the four parts.

    Args:
        figure: An empty figure.
        results: What both twins showed, by seed; lines are means, bands and bars sample standard deviations.
        pictures: See `weakseg.studies.bottleneck.seed.SeedFiles.pictures`.
    """
    parts = figure.subfigures(len(HEIGHTS), 1, squeeze=False, height_ratios=HEIGHTS)
    examples, maps, layers, updates = parts[:, 0]
    _show_examples(examples, pictures["examples"])
    _show_maps(maps, pictures["images"], pictures["maps"])
    _plot_layers(layers, results)
    _plot_updates(updates, results)


def _show_examples(part: SubFigure, examples: NDArray[np.uint8]) -> None:
    part.suptitle("(a) training images: nine in ten show a digit alone, one in ten a marker too", fontsize=10)
    for axes, image in zip(part.subplots(1, len(examples)).flat, examples, strict=True):
        _show(axes, image, "gray")


def _show_maps(part: SubFigure, images: NDArray[np.uint8], maps: NDArray[np.uint8]) -> None:
    part.suptitle(f"(b) normalised gradients of layers 1 to {NUM_LAYERS} and of the logit, one seed", fontsize=10)
    grid = part.subplots(len(images), maps.shape[1] + 1)
    for row, image, found in zip(grid, images, maps, strict=True):
        _show(row[0], image, "gray")
        for axes, gradients in zip(row[1:], found, strict=True):
            _show(axes, gradients, "inferno")
    for axes, name in zip(grid[0], ("image", *_layer_names()), strict=True):
        axes.set_title(name, fontsize=8, color=INK)


def _plot_layers(part: SubFigure, results: Results) -> None:
    part.suptitle("(c) HGR over layers", fontsize=10)
    panels = part.subplots(1, len(ACTIVATIONS), sharey=True)
    for axes, activation in zip(panels, ACTIVATIONS, strict=True):
        ratios = 100 * layer_ratios(results, activation)
        places = np.arange(ratios.shape[1])
        for at, region in enumerate(REGIONS):
            mean, spread = _mean_and_spread(ratios[:, :, at])
            axes.errorbar(places, mean, spread, color=_COLOURS[region], marker="o", markersize=4, capsize=2)
        axes.set_xticks(places, _layer_names())
        axes.set_title(f"trained with {activation}", fontsize=9, color=INK)
        axes.set_ylim(0, None)
        style_axes(axes, small=True)
    panels[0].set_ylabel("HGR (%)")


def _plot_updates(part: SubFigure, results: Results) -> None:
    part.suptitle("(d) HGR of the logit while the classifier is adapted to the image", fontsize=10)
    panels = part.subplots(1, len(OBJECTIVES), sharey=True)
    for axes, objective in zip(panels, OBJECTIVES, strict=True):
        for activation in ACTIVATIONS:
            ratios = 100 * update_ratios(results, activation, objective)
            places = np.arange(ratios.shape[1])
            for at, region in enumerate(REGIONS):
                mean, spread = _mean_and_spread(ratios[:, :, at])
                axes.plot(places, mean, color=_COLOURS[region], linestyle=_DASHES[activation])
                axes.fill_between(places, mean - spread, mean + spread, color=_COLOURS[region], alpha=0.1, linewidth=0)
        axes.set_title(OBJECTIVE_NAMES[objective], fontsize=9, color=INK)
        axes.set_xlabel("updates")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(0, None)
        style_axes(axes, small=True)
    panels[0].set_ylabel("HGR (%)")
    _explain(part, panels[0])


def _mean_and_spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and sample standard deviation over the first axis, 0 for a single seed."""
    mean = values.mean(axis=0)
    return mean, values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros_like(mean)


def _layer_names() -> tuple[str, ...]:
    return (*(f"layer {layer}" for layer in range(1, NUM_LAYERS + 1)), "logit")


def _show(axes: Axes, image: NDArray[np.uint8], colours: str) -> None:
    axes.imshow(image, cmap=colours, vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _explain(part: SubFigure, axes: Axes) -> None:
    """Add a legend below the last part: colours are those of part (c) too."""
    for region in REGIONS:
        axes.plot([], [], color=_COLOURS[region], label=region)
    for activation in ACTIVATIONS:
        axes.plot([], [], color=INK, linestyle=_DASHES[activation], label=f"trained with {activation}")
    handles, labels = axes.get_legend_handles_labels()
    part.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=len(labels))
