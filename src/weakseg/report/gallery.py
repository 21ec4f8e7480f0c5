"""The report's gallery: which images to show, in which order, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.telling import show_progress
from weakseg.refine.instance_files import load_instances
from weakseg.report.pictures import Painter, Panel, Swatch, label_swatches, picture_side
from weakseg.scoring.image_scores import UNSCORED, ImageScore, read_image_scores
from weakseg.scoring.scores import Subject, percent
from weakseg.scoring.truth import read_truth
from weakseg.types import Sample

MAX_SHOWN = 200
"""A gallery shows no more images, however many are asked for: the page stays below 30 MB and opens in a second."""

NO_PLACES: Mapping[str, int] = MappingProxyType({})
"""Nothing is known of the order in which images should be looked at."""

Role = Literal["train", "val"]
"""Whether the segmenter has learned from an image or not."""


@dataclass(frozen=True)
class GalleryImage:
    """One image and what became of it.

    Args:
        id: Image id, not escaped.
        tags: Its tags with their colours.
        scores: Its IoU in words; empty without truth.
        panels: Its pictures in the order of the pipeline.
    """

    id: str
    tags: tuple[Swatch, ...]
    scores: tuple[str, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class GalleryGroup:
    """Images of one split, ranked by one number.

    Args:
        role: Style class, too.
        split: Name of the split.
        heading: Split and number of images shown.
        explanation: How they were chosen.
        images: The images in order.
    """

    role: Role
    split: str
    heading: str
    explanation: str
    images: tuple[GalleryImage, ...]


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Images of one split in the order in which they are shown."""

    dataset: Dataset
    subject: Subject
    samples: tuple[Sample, ...]
    has_scores: bool
    has_places: bool


def build_gallery(context: Context, places: Mapping[str, int] = NO_PLACES) -> tuple[GalleryGroup, ...]:
    """Choose images, worst first, and draw what became of them.

    The validation split is ranked by the segmenter, the training split by its masks. The two are kept apart: masks were
    given the images' tags, so that their IoU is no measure of the other's. Both get half of the places; one that has
    too few images leaves its places to the other. Where there is no truth, the most doubtful come first.

    Args:
        context: A run whose evaluation is finished.
        places: The place of images in the order in which they should be looked at, by id.

    Returns:
        One group per split that has something to show; none if `report.gallery_images` is 0.

    Raises:
        ArtifactError: If `image_scores.csv`, a seed or a file of instances is damaged.
        DataError: If an image or a mask cannot be read.
    """
    scores = read_image_scores(context.folder.image_scores)
    rankings = _rank_splits(context, scores, places)
    wanted = min(context.config.report.gallery_images, MAX_SHOWN)
    shares = share_out(wanted, [len(ranking.samples) for ranking in rankings])
    groups = []
    done = 0
    with show_progress("drawing the gallery") as tick:
        for ranking, share in zip(rankings, shares, strict=True):
            images = []
            for sample in ranking.samples[:share]:
                score = scores.get(sample.id, UNSCORED)
                images.append(_show_image(context, ranking, sample, score, side_px=picture_side(sum(shares))))
                done += 1
                tick(done, sum(shares))
            if images:
                groups.append(_describe_group(ranking, tuple(images)))
    return tuple(groups)


def share_out(places: int, sizes: Sequence[int]) -> list[int]:
    """Share places evenly among groups of the given sizes; what one cannot fill goes to the others."""
    shares = [0] * len(sizes)
    for _ in range(min(places, sum(sizes))):
        shares[min((k for k in range(len(sizes)) if shares[k] < sizes[k]), key=shares.__getitem__)] += 1
    return shares


def _rank_splits(context: Context, scores: Mapping[str, ImageScore], places: Mapping[str, int]) -> list[_Ranking]:
    rankings = [] if context.val is None else [_rank(context.val, "segmenter", scores, places)]
    shown = {sample.id for ranking in rankings for sample in ranking.samples}
    for dataset in seeded_datasets(context):
        rest = dataset.keep(sample.id for sample in dataset if sample.id not in shown)
        rankings.append(_rank(rest, "masks", scores, places))
    return rankings


def _rank(dataset: Dataset, subject: Subject, scores: Mapping[str, ImageScore], places: Mapping[str, int]) -> _Ranking:
    values = {id: score.segmenter if subject == "segmenter" else score.mask for id, score in scores.items()}

    def order(sample: Sample) -> tuple[bool, float, int, str]:
        value = values.get(sample.id)
        return (value is None, value or 0.0, places.get(sample.id, len(places)), sample.id)

    return _Ranking(
        dataset,
        subject,
        tuple(sorted(dataset, key=order)),
        has_scores=any(values.get(sample.id) is not None for sample in dataset),
        has_places=any(sample.id in places for sample in dataset),
    )


def _describe_group(ranking: _Ranking, images: tuple[GalleryImage, ...]) -> GalleryGroup:
    what = "segmenter's prediction" if ranking.subject == "segmenter" else "pseudo mask"
    if ranking.has_scores:
        explanation = (
            f"Lowest IoU of the {what} first; images without a truth mask come last. "
            "An image's IoU is the mean over the labels that occur in its truth or in the mask."
        )
    elif ranking.has_places:
        explanation = "No image of this split has a truth mask: the most doubtful masks come first."
    else:
        explanation = "No image of this split has a truth mask to find the worst by: the first by id are shown."
    split, total = ranking.dataset.split, len(ranking.samples)
    if len(images) < total:
        explanation += f" {total - len(images):,} others are not shown (report.gallery_images, at most {MAX_SHOWN})."
    role: Role = "val" if ranking.subject == "segmenter" else "train"
    return GalleryGroup(role, split, f"{split}: {len(images)} of {total} images", explanation, images)


def _show_image(
    context: Context, ranking: _Ranking, sample: Sample, score: ImageScore, *, side_px: int
) -> GalleryImage:
    dataset = ranking.dataset
    image = dataset.load_image(sample)
    painter = Painter(sample.id, image, side_px=side_px)
    panels = [painter.show_image()]
    panels += _show_seed(context.folder, painter, sample, dataset.classes.names)
    panels += _show_refinement(context.folder, painter, sample)
    if ranking.subject == "segmenter":
        prediction = context.folder.prediction(sample.id)
        labels = read_mask(prediction) if prediction.is_file() else None
        panels.append(painter.show_labels("Prediction", labels))
    if dataset.mask_reader is not None:
        panels.append(painter.show_labels("Truth", read_truth(dataset, sample, image.shape[:2])))
    swatches = label_swatches(dataset.classes.label_names)
    return GalleryImage(
        id=sample.id,
        tags=tuple(swatches[key + 1] for key in sample.keys),
        scores=_describe_scores(score),
        panels=tuple(panels),
    )


def _describe_scores(score: ImageScore) -> tuple[str, ...]:
    prediction = () if score.segmenter is None else (f"prediction {percent(score.segmenter)}",)
    mask = () if score.mask is None else (f"pseudo mask {percent(score.mask)} (tags given)",)
    return prediction + mask


def _show_seed(folder: RunFolder, painter: Painter, sample: Sample, names: Sequence[str]) -> list[Panel]:
    path = folder.seed(sample.id)
    if not path.is_file():
        return []
    seed = load_seed(path)
    maps = seed.full().numpy()
    return [painter.show_heat(f"Seed: {names[key]}", maps[index]) for index, key in enumerate(seed.keys)]


def _show_refinement(folder: RunFolder, painter: Painter, sample: Sample) -> list[Panel]:
    """Show what became of the seeds; only some methods have confident labels, and only for training images."""
    labels, mask, instances = folder.label(sample.id), folder.mask(sample.id), folder.instance(sample.id)
    panels = []
    if labels.is_file():
        panels.append(painter.show_labels("Confident labels", read_mask(labels)))
    if mask.is_file():
        panels.append(painter.show_labels("Pseudo mask", read_mask(mask)))
    if instances.is_file():
        panels.append(painter.show_instances("Instances", load_instances(instances)))
    return panels
