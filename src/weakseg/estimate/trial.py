"""A run in small to try stages on: a folder, few images, and stand-ins for what earlier stages would give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import nn

from weakseg.config.fits import fit_settings
from weakseg.config.schema import DataConfig, RunConfig, RuntimeConfig
from weakseg.data.images import open_picture, read_image
from weakseg.errors import DataError
from weakseg.models.backbone import Backbone
from weakseg.models.classifier import Classifier
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.pipeline.artifacts import save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.pipeline.refiner_files import without_files
from weakseg.pipeline.refiner_networks import chosen_network, chosen_refiner
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.seeds import REFINER
from weakseg.pipeline.segmenters import describe_segmenter, start_segmenter
from weakseg.pipeline.starting import start_classifier, start_refiner
from weakseg.types import IGNORE_LABEL, Sample, ScoreMaps

MAX_POOL = 24
"""So many images are tried at most; their time is measured, not their content."""

MAX_SIZED = 200
"""Of so many images the size is looked up, to tell how large the rest is."""

SMALL_SIDE_PX = 96
"""Images are first tried at this longer side or above."""

TRIED_THRESHOLD = 0.3
"""Stands in for the background threshold, which changes no time."""

STAND_IN_STRIDE_PX = 16
"""Stride of the score maps that stand in for seeds."""

_PLAIN_FORMATS = ("JPEG", "PNG")
"""Formats whose size, turned upright, stands in the file's head."""

_LYING = (5, 6, 7, 8)
"""EXIF orientations by which height and width change places."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What stages are tried with.

    Args:
        context: The recipe without weights from elsewhere, in a folder of its own; all usable images.
        recipe: The recipe as it is.
        pool: Ids of tagged training images to try per-image work on.
        sizes_hw: (height, width) of some images of the training split, those of the pool among them.
    """

    context: Context
    recipe: RunConfig
    pool: tuple[str, ...]
    sizes_hw: dict[str, tuple[int, int]]

    def mean_pixels(self, ids: Sequence[str] | None = None, side_px: int | None = None) -> float:
        """Return the mean number of pixels of images as networks see them; of all whose size is known if None."""
        names = list(self.sizes_hw) if ids is None else ids
        return sum(self.pixels(name, side_px) for name in names) / len(names)

    def largest_pixels(self) -> float:
        """Return the pixels of the largest image, as networks see it."""
        return max(self.pixels(name) for name in self.sizes_hw)

    def pixels(self, name: str, side_px: int | None = None) -> float:
        """Return the pixels of an image as networks see it, with the longer side limited further if one is given."""
        height, width = self.sizes_hw[name]
        limits = [limit for limit in (side_px, self.recipe.data.max_side_px) if limit is not None]
        scale = min(1.0, *(limit / max(height, width) for limit in limits)) if limits else 1.0
        return max(1.0, height * width * scale * scale)

    def sides_px(self) -> tuple[int | None, ...]:
        """Return the longer sides to try images at, ascending to None, which is as they are."""
        longest = math.sqrt(self.mean_pixels(self.pool[:1]))
        sides = [round(longest * share) for share in (0.25, 0.5, 0.75)]
        return (*(side for side in sides if side >= SMALL_SIDE_PX), None)

    def learning(self, images: int) -> Context:
        """Return a context whose training split is so many images, and which has no other."""
        train = self.context.train
        order = np.random.default_rng(0).permutation(len(train))[:images]
        return replace(self.context, train=train.keep(train.samples[place].id for place in order), val=None, only=None)

    def seeding(self, ids: Sequence[str], side_px: int | None = None) -> Context:
        """Return a context in which these images alone get seeds, with all of the training split as partners."""
        config = self.context.config
        chosen = self.context.train.keep(ids)
        localize = replace(config.localize, splits=("val",))
        limited = replace(config, localize=localize, data=self._limited(side_px), runtime=_without_workers(config))
        return replace(self.context, config=limited, val=chosen, only=None)

    def training(self, ids: Sequence[str], side_px: int | None = None) -> Context:
        """Return a context whose training split is these images, and which has no other."""
        config = replace(
            self.context.config,
            localize=replace(self.context.config.localize, splits=("train",)),
            data=self._limited(side_px),
            runtime=_without_workers(self.context.config),
        )
        return replace(self.context, config=config, train=self.context.train.keep(ids), val=None, only=None)

    def _limited(self, side_px: int | None) -> DataConfig:
        data = self.context.config.data
        return data if side_px is None else replace(data, max_side_px=min(side_px, data.max_side_px or side_px))


def _without_workers(config: RunConfig) -> RuntimeConfig:
    """Return settings by which images are decoded in this process: workers would take longer to start than to work."""
    return replace(config.runtime, workers=0)


@dataclass(frozen=True)
class StandInMasks:
    """Masks that cost about what those of the run will: a block of one class in every image."""

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8]:
        """Return labels (H, W) uint8 of the image's size."""
        height, width = read_size_hw(sample.image_path)
        labels = np.zeros((height, width), np.uint8)
        labels[: height // 2 + 1, : width // 2 + 1] = (sample.keys or (0,))[0] + 1
        labels[:, width * 7 // 8 :] = IGNORE_LABEL
        return labels


def read_size_hw(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image once it is upright, if possible without decoding it.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with open_picture(path) as image:
            if image.format in _PLAIN_FORMATS:
                lying = image.getexif().get(ExifTags.Base.Orientation) in _LYING
                return (image.width, image.height) if lying else (image.height, image.width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read ({error}); 'weakseg check' says more") from None
    height, width = read_image(path).shape[:2]
    return height, width


def open_trial(context: Context) -> Trial:
    """Choose the images to try stages on.

    Args:
        context: A whole run's images, and a folder for trials alone.

    Raises:
        DataError: If there is no image to try.
    """
    train = context.train
    order = [train.samples[place] for place in np.random.default_rng(0).permutation(len(train))]
    tagged = [sample for sample in order if sample.keys]
    if not order:
        raise DataError(f"{train.name} {train.split}: no readable image with known tags is left to try anything on")
    sized = {sample.id: sample for sample in (*tagged[:MAX_POOL], *order[:MAX_SIZED])}
    sizes_hw = {name: read_size_hw(sample.image_path) for name, sample in sized.items()}
    pool = _choose_pool([sample for sample in tagged or order if sample.id in sizes_hw], sizes_hw)
    return Trial(
        replace(context, config=without_weights(context.config)),
        context.config,
        tuple(sample.id for sample in pool),
        sizes_hw,
    )


def _choose_pool(samples: Sequence[Sample], sizes_hw: dict[str, tuple[int, int]]) -> list[Sample]:
    """Choose images of few sizes: what is set up anew for every size is much for few images, and little for many."""
    counts = Counter(sizes_hw[sample.id] for sample in samples)
    return sorted(samples, key=lambda sample: (-counts[sizes_hw[sample.id]], sizes_hw[sample.id]))[:MAX_POOL]


def without_weights(config: RunConfig) -> RunConfig:
    """Return a recipe that costs the same and needs nothing from elsewhere; numbers stand for every `auto`."""
    irn = replace(config.refine.irn, weights="none", released=None)
    psa = replace(config.refine.psa, weights="none", released=None)
    saliency = replace(config.refine.saliency, folder=None)
    refine = replace(without_files(config.refine), background_threshold=TRIED_THRESHOLD)
    refine = fit_settings(replace(refine, irn=irn, psa=psa, saliency=saliency), TRIED_THRESHOLD)
    return replace(
        config,
        classifier=replace(config.classifier, weights="none", released=None, min_updates=None),
        localize=replace(config.localize, compared_images=0),
        refine=refine,
        segmenter=replace(config.segmenter, weights="none", min_updates=None),
    )


def count_tagged(context: Context) -> int:
    """Return how many images get seeds and show something; the others cost next to nothing."""
    return sum(bool(sample.keys) for dataset in seeded_datasets(context) for sample in dataset)


def write_seeds(trial: Trial, ids: Sequence[str]) -> None:
    """Write score maps that stand in for the seeds of images."""
    rng = torch.Generator().manual_seed(0)
    for sample in trial.context.train.keep(ids):
        path = trial.context.folder.seed(sample.id)
        if path.exists():
            continue
        size_hw = trial.sizes_hw[sample.id]
        height, width = (math.ceil(side / STAND_IN_STRIDE_PX) for side in size_hw)
        maps = torch.rand(len(sample.keys), height, width, generator=rng)
        scales = tuple(maps for _ in trial.context.config.localize.scales)
        save_seed(path, ScoreMaps(sample.keys, scales, size_hw))


def write_masks(trial: Trial, ids: Sequence[str]) -> None:
    """Write masks that stand in for the pseudo masks of images."""
    masks = StandInMasks()
    for sample in trial.context.train.keep(ids):
        if not trial.context.folder.mask(sample.id).exists():
            save_mask(trial.context.folder.mask(sample.id), masks(sample))


def put_classifier(context: Context) -> Classifier:
    """Build the recipe's classifier with random weights and write it where the run's own would be."""
    folder = context.folder.network("classifier")
    config, classes = context.config.classifier, context.train.classes
    network, origin = start_classifier(config, classes, folder, seed=0)
    if not folder.model.is_file():
        info = describe_network(config, classes, kind="classifier", weights_from=origin, backbone=network.backbone)
        save_network(folder, network, info, ())
    return place_network(network, context.device)


def put_refiner(context: Context) -> nn.Module:
    """Build the network of the recipe's refiner; see `put_classifier`."""
    folder, (_, config) = context.folder.network(REFINER), chosen_network(context)
    network, origin = start_refiner(
        chosen_refiner(context), config, folder, classifier=context.folder.network("classifier"), seed=0
    )
    if not folder.model.is_file():
        backbone = network.backbone if isinstance(network.backbone, Backbone) else None
        info = describe_network(config, context.train.classes, kind=REFINER, weights_from=origin, backbone=backbone)
        save_network(folder, network, info, ())
    return place_network(network, context.device)


def put_segmenter(context: Context) -> SegmentationNetwork:
    """Build the recipe's segmentation network; see `put_classifier`."""
    folder, config = context.folder.network("segmenter"), context.config.segmenter
    classes = context.train.classes
    network, origin = start_segmenter(config, classes, folder, classifier=context.folder.network("classifier"), seed=0)
    if not folder.model.is_file():
        save_network(folder, network, describe_segmenter(network, config.name, classes, weights_from=origin), ())
    return place_network(network, context.device)
