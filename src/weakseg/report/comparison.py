"""The report's section on CAM and RIB: the same images before, during and after their adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.comparison import choose_compared, compared_iterations
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.report.charts import Chart, build_comparison_chart
from weakseg.report.gallery import GalleryImage
from weakseg.report.pictures import Painter, Panel, label_swatches
from weakseg.scoring.scores import ComparedSeeds, Metrics, percent
from weakseg.scoring.truth import read_truth
from weakseg.types import Sample

MAX_SHOWN = 8
"""Images whose maps are drawn; the numbers are of all that were compared."""


@dataclass(frozen=True)
class ComparisonRow:
    """The score of one number of iterations, all of them texts."""

    name: str
    mean_iou: str
    difference: str
    threshold: str


@dataclass(frozen=True)
class Comparison:
    """What the section shows.

    Args:
        lead: On what CAM and RIB are compared.
        rows: Scores by number of iterations; empty without truth.
        chart: Both curves; None without truth.
        images: Maps of some of the images.
    """

    lead: str
    rows: tuple[ComparisonRow, ...]
    chart: Chart | None
    images: tuple[GalleryImage, ...]


def build_comparison(context: Context, metrics: Metrics) -> Comparison | None:
    """Gather the section, or return None if no images were compared.

    Raises:
        ArtifactError: If a map is missing or damaged.
        DataError: If an image cannot be read.
    """
    compared = choose_compared(context.config.localize, seeded_datasets(context))
    if compared is None:
        return None
    rib = context.config.localize.rib
    count = len(compared)
    lead = (
        f"{count} tagged {'image' if count == 1 else 'images'} of {compared.split}, evenly spaced, tags given; "
        f"learning rate {rib.learning_rate:g}, {rib.partners} partners, {rib.iterations} iterations."
    )
    return Comparison(
        lead=lead,
        rows=tuple(_row(seeds, metrics.compared[0]) for seeds in metrics.compared),
        chart=build_comparison_chart(metrics.compared[0], metrics.compared[-1]) if metrics.compared else None,
        images=tuple(_show_image(context, compared, sample) for sample in compared.samples[:MAX_SHOWN]),
    )


def _row(seeds: ComparedSeeds, cam: ComparedSeeds) -> ComparisonRow:
    best, value, reference = seeds.curve.best_index, seeds.curve.best_mean_iou, cam.curve.best_mean_iou
    gain = None if seeds is cam or value is None or reference is None else value - reference
    return ComparisonRow(
        name=seeds.name,
        mean_iou=percent(value),
        difference="" if gain is None else f"{100 * gain:+.1f}",
        threshold="" if best is None else f"{seeds.curve.thresholds[best]:g} (oracle)",
    )


def _show_image(context: Context, compared: Dataset, sample: Sample) -> GalleryImage:
    image = compared.load_image(sample)
    painter = Painter(sample.id, image)
    panels: list[Panel] = [painter.show_image()]
    names = compared.classes.names
    by_iterations = [
        (number, load_seed(context.folder.adaptation(number, sample.id)))
        for number in compared_iterations(context.config.localize)
    ]
    for row, key in enumerate(sample.keys):
        for number, maps in by_iterations:
            caption = f"{names[key]}: " + ("CAM" if number == 0 else f"after {number}")
            panels.append(painter.show_heat(caption, maps.full().numpy()[row]))
    if compared.mask_reader is not None:
        panels.append(painter.show_labels("Truth", read_truth(compared, sample, image.shape[:2])))
    swatches = label_swatches(compared.classes.label_names)
    return GalleryImage(sample.id, tuple(swatches[key + 1] for key in sample.keys), (), tuple(panels))
