"""The report's first section: whether the masks can be used, class by class, with the images that say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.refine.health import Verdict
from weakseg.refine.health_words import ClassHealth, MaskHealth
from weakseg.report.gallery import GalleryImage
from weakseg.report.pictures import Painter, Swatch, label_swatches
from weakseg.scoring.scores import Metrics
from weakseg.types import Sample

MAX_CLASSES = 4
"""Troubled classes whose images are shown; all are in the table."""

MAX_IMAGES = 3
"""Images shown of each."""

_VERDICTS: dict[Verdict, str] = {
    "unsuspicious": "Nothing suspicious",
    "doubtful": "Doubtful",
    "bad": "Bad",
    "no images": "Nothing to look for",
}


@dataclass(frozen=True)
class HealthRow:
    """One class as the cells of a table, counts as texts.

    Args:
        swatch: Name and colour.
        verdict: Style class and word.
        tagged: Images tagged with it.
        empty: Those where it has no or hardly any pixel.
        swallowed: Those of them where another class has taken its place.
        full: Those whose mask leaves hardly any background.
        finding: What was found.
        remedy: Why, and what to do; empty without trouble.
        worst: Ids of the worst images.
    """

    swatch: Swatch
    verdict: Verdict
    tagged: str
    empty: str
    swallowed: str
    full: str
    finding: str
    remedy: str
    worst: tuple[str, ...]


@dataclass(frozen=True)
class HealthGroup:
    """The worst images of one class."""

    heading: str
    images: tuple[GalleryImage, ...]


@dataclass(frozen=True)
class HealthSection:
    """Whether the masks can be used.

    Args:
        verdict: Style class of the whole.
        word: The verdict.
        lead: What it rests on.
        troubled: The classes to look at, the worst first.
        others: The rest.
        groups: Images of the worst classes.
    """

    verdict: Verdict
    word: str
    lead: str
    troubled: tuple[HealthRow, ...]
    others: tuple[HealthRow, ...]
    groups: tuple[HealthGroup, ...]


def build_health_section(context: Context, metrics: Metrics) -> HealthSection | None:
    """Gather the section; None where nothing was judged.

    With `report.gallery_images` 0 it has no pictures, only ids.

    Raises:
        ArtifactError: If a seed that is shown is damaged.
        DataError: If an image that is shown cannot be read.
    """
    health = metrics.health
    if health is None:
        return None
    swatches = label_swatches(metrics.label_names)
    rows = {item.name: _row(item, swatches[1 + place]) for place, item in enumerate(health.classes)}
    troubled = tuple(rows[item.name] for item in health.troubled)
    return HealthSection(
        verdict=health.verdict,
        word=_VERDICTS[health.verdict],
        lead=_describe(health),
        troubled=troubled,
        others=tuple(row for row in rows.values() if row not in troubled),
        groups=_show_worst(context, health, swatches) if context.config.report.gallery_images else (),
    )


def _row(item: ClassHealth, swatch: Swatch) -> HealthRow:
    counts = item.counts
    return HealthRow(
        swatch=swatch,
        verdict=item.verdict,
        tagged=f"{counts.tagged:,}",
        empty=f"{counts.empty:,}",
        swallowed=f"{counts.swallowed:,}",
        full=f"{counts.nearly_full:,}",
        finding=item.finding,
        remedy=item.remedy,
        worst=counts.worst,
    )


def _describe(health: MaskHealth) -> str:
    splits = " and ".join(health.splits)
    untagged = f", {health.untagged_images:,} of them without tags" if health.untagged_images else ""
    return f"{health.describe().capitalize()} of {splits}{untagged}."


def _show_worst(context: Context, health: MaskHealth, swatches: Sequence[Swatch]) -> tuple[HealthGroup, ...]:
    """Draw some images of the worst classes: the image, the class's seed and the mask; an image is shown once."""
    places = {sample.id: (dataset, sample) for dataset in seeded_datasets(context) for sample in dataset}
    shown: set[str] = set()
    groups = []
    for item in health.troubled[:MAX_CLASSES]:
        chosen = [id for id in item.counts.worst if id in places and id not in shown][:MAX_IMAGES]
        shown.update(chosen)
        if chosen:
            key = context.train.classes.index(item.name)
            images = tuple(_show_image(context, *places[id], key, swatches) for id in chosen)
            groups.append(HealthGroup(f"{item.name}: {len(images)} of {item.counts.tagged:,} tagged images", images))
    return tuple(groups)


def _show_image(
    context: Context, dataset: Dataset, sample: Sample, key: int, swatches: Sequence[Swatch]
) -> GalleryImage:
    painter = Painter(sample.id, dataset.load_image(sample))
    panels = [painter.show_image()]
    if context.folder.seed(sample.id).is_file():
        seed = load_seed(context.folder.seed(sample.id))
        if key in seed.keys:
            heat = seed.full()[seed.keys.index(key)].numpy()
            panels.append(painter.show_heat(f"Seed: {dataset.classes.names[key]}", heat))
    try:
        labels = read_mask(context.folder.mask(sample.id))
    except DataError:
        labels = None
    panels.append(painter.show_labels("Pseudo mask", labels))
    tags = tuple(swatches[other + 1] for other in sample.keys)
    return GalleryImage(id=sample.id, tags=tags, scores=(), panels=tuple(panels))
