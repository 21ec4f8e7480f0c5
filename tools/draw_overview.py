"""Draws docs/images/overview.png, what the README shows: python tools/draw_overview.py RUN, such as runs/demo.

From left to right what a person gives (image and tags), a seed, the mask, and what the trained network says without the
tags. Images are not picked by eye: of the validation images with one tag, and of those with two, the one
whose mask scores nearest to the median of them.
"""

from __future__ import annotations

import base64
import csv
import io
import statistics
import sys
from pathlib import Path

from matplotlib import pyplot
from PIL import Image

import weakseg
from weakseg.report.pictures import Painter, Panel

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "overview.png"
TAGS_SHOWN = (1, 2)
"""A row for an image of so many tags each."""

PANEL_INCHES, DOTS_PER_INCH = 1.7, 132
ENLARGED = 3
"""Images are of 128 pixels; outlines are drawn finer on larger ones."""

COLOURS = 160
HEADS = ("you give: image, tags", "where tags are seen", "mask", "network, without tags")


def choose(run: weakseg.Run, tags: int) -> str:
    """Return the validation image with so many tags whose mask is of median score."""
    with (run.path / "image_scores.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val" and row["mask_iou"]]
    scores = {row["id"]: float(row["mask_iou"]) for row in rows if len(run.photos.tags.get(row["id"], ())) == tags}
    median = statistics.median_low(scores.values())
    return next(id for id, score in scores.items() if score == median)


def paint(run: weakseg.Run, id: str) -> list[Panel]:
    """Return the four pictures of an image, as the report has them."""
    painter = Painter(id, run.photos.image(id).repeat(ENLARGED, 0).repeat(ENLARGED, 1))
    strongest = run.seeds[id].full().numpy().max(axis=0)
    return [
        painter.show_image(),
        painter.show_heat("seed", strongest),
        painter.show_labels("mask", run.masks[id]),
        painter.show_labels("prediction", run.predictions[id]),
    ]


def open_panel(panel: Panel) -> Image.Image:
    """Return the picture of a panel, which is there."""
    assert panel.source is not None
    return Image.open(io.BytesIO(base64.b64decode(panel.source.partition(",")[2])))


def main() -> None:
    """Draw the picture."""
    run = weakseg.Run.open(sys.argv[1])
    ids = [choose(run, tags) for tags in TAGS_SHOWN]
    size = (PANEL_INCHES * len(HEADS), (PANEL_INCHES + 0.25) * len(ids))
    figure, axes = pyplot.subplots(len(ids), len(HEADS), figsize=size, squeeze=False, layout="constrained")
    for row, id in enumerate(ids):
        for column, (axis, picture) in enumerate(zip(axes[row], paint(run, id), strict=True)):
            axis.imshow(open_panel(picture))
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(HEADS[column], fontsize=9.5)
            if column == 0:
                axis.set_xlabel("; ".join(run.photos.tags[id]), fontsize=9.5)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DOTS_PER_INCH)
    Image.open(drawn).convert("RGB").quantize(COLOURS, kmeans=1).save(TARGET, optimize=True)
    print(TARGET, *ids)


if __name__ == "__main__":
    main()
