"""Line charts as SVG that can be put into a page: themed by its style sheet, with text as text, without outside links.

matplotlib draws; its global state is neither read nor left changed. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

if TYPE_CHECKING:  # matplotlib takes a second to import; only those who draw pay for it
    from matplotlib.axes import Axes

SIZE_IN = (4.6, 2.7)
"""Width and height of a chart; one inch is 72 units of its view box, so that 9-point text stays legible on a phone."""

FONT_SIZE_PT = 9

LINE_WIDTH_PT = 1.8

MARKED_EPOCHS = 40
"""Up to this many points a curve also marks each of them; a single one would be invisible otherwise."""

HEADROOM = 1.08
"""A vertical axis that starts at 0 ends this much above its largest value."""

LineName = Literal["main", "second", "third"]

_INK, _GRID = "#5f6673", "#d9dce2"
_LINE_COLOURS: dict[LineName, str] = {"main": "#4338ca", "second": "#0f766e", "third": "#b45309"}
_THEME = {
    _INK: "var(--muted)",
    _GRID: "var(--line)",
    **{colour: f"var(--{name})" for name, colour in _LINE_COLOURS.items()},
}
"""Colours as drawn, which suit a light page, and the page's variables that replace them for light and dark."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        name: Which of the page's three line colours it has.
        values: One value per position; None leaves a gap.
        dashed: Whether it is dashed, for those who cannot tell the colours.
    """

    name: LineName
    values: Sequence[float | None]
    dashed: bool = False


def draw_thresholds(
    thresholds: Sequence[float], lines: Sequence[Line], *, best: int | None, chosen: float | None, key: str, label: str
) -> str:
    """Draw percentages over the background threshold.

    Args:
        thresholds: Positions 0..1 of the values.
        lines: Curves of fractions 0..1; the first is the one `best` lies on.
        best: Index of the threshold to mark with a dot, or None.
        chosen: Threshold to mark with a vertical line, or None.
        key: Letters, digits and `-`; differs between the charts of a page.
        label: What the chart shows, for readers who do not see it.

    Returns:
        An `<svg>` element.
    """

    def fill(axes: Axes) -> None:
        for line in lines:
            _plot(axes, thresholds, line, percent=True)
        if chosen is not None:
            axes.axvline(chosen, color=_INK, linewidth=1.2, linestyle=(0, (2, 2)))
        if best is not None:
            top = lines[0].values[best]
            if top is not None:
                axes.plot([thresholds[best]], [100 * top], "o", color=_LINE_COLOURS[lines[0].name], markersize=7)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 102)
        axes.set_xlabel("background threshold")

    return _draw(fill, key=key, label=label)


def draw_epochs(line: Line, *, percent: bool, key: str, label: str) -> str:
    """Draw one value per epoch, the first epoch being 1.

    Args:
        line: The curve; its values are not negative.
        percent: Whether the values are fractions to be shown as 0 to 100.
        key: See `draw_thresholds`.
        label: See `draw_thresholds`.

    Returns:
        An `<svg>` element.
    """

    def fill(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        epochs = len(line.values)
        _plot(axes, range(1, epochs + 1), line, percent=percent, marked=epochs <= MARKED_EPOCHS)
        highest = max((value for value in line.values if value is not None), default=0.0)
        axes.set_ylim(0, 102 if percent else highest * HEADROOM or 1.0)
        axes.set_xlim(0.5, epochs + 0.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))

    return _draw(fill, key=key, label=label)


def _plot(axes: Axes, positions: Sequence[float], line: Line, *, percent: bool, marked: bool = False) -> None:
    factor = 100 if percent else 1
    axes.plot(
        positions,
        [math.nan if value is None else factor * value for value in line.values],
        color=_LINE_COLOURS[line.name],
        linestyle=(0, (4, 2)) if line.dashed else "-",
        linewidth=LINE_WIDTH_PT,
        marker="o" if marked else "",
        markersize=3.5,
        clip_on=False,
    )


def _draw(fill: Callable[[Axes], None], *, key: str, label: str) -> str:
    """Draw one pair of axes and turn the result into an element for the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc does not reach the report
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
        matplotlib.rcParams["svg.hashsalt"] = key  # without it, the ids of clip paths and markers are random
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GRID)
        axes.tick_params(length=0, pad=6, labelcolor=_INK, labelsize=FONT_SIZE_PT)
        axes.grid(axis="y", color=_GRID, linewidth=0.6)
        fill(axes)
        axes.xaxis.label.set(color=_INK, fontsize=FONT_SIZE_PT)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")
    return _embed(buffer.getvalue(), key=key, label=label)


def _embed(document: bytes, *, key: str, label: str) -> str:
    """Turn an SVG file of matplotlib into an element that shares a page with others.

    Metadata (date, version, links), the style sheet (it would apply to the page) and namespaces (HTML needs none) go;
    ids get the chart's key in front; colours become the page's variables.
    """
    root = ElementTree.fromstring(document)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(name): value for name, value in element.attrib.items()}
        if "id" in element.attrib:
            element.attrib["id"] = f"{key}-{element.attrib['id']}"
        if element.attrib.get("href", "").startswith("#"):
            element.attrib["href"] = f"#{key}-{element.attrib['href'][1:]}"
        if "clip-path" in element.attrib:
            element.attrib["clip-path"] = element.attrib["clip-path"].replace("url(#", f"url(#{key}-")
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(child)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label, "class": "chart"}
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in _THEME.items():
        text = text.replace(colour, variable)
    return text


def _local(name: str) -> str:
    return name.rpartition("}")[2]
