"""The seeds a refinement works on, with their images, and what all refinements share.

Images larger than `data.max_side_px` are refined as small copies; labels and masks have the size of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.errors import ConfigError
from weakseg.ops.images import limit_side
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import Reading, process_pending
from weakseg.refine.method import SeededImage
from weakseg.types import Sample

REFINER = "refiner"
"""Folder, and kind, of the network that a refinement trains."""


def process_seeds(
    context: Context,
    datasets: Sequence[Dataset],
    output: Callable[[str], Path],
    work: Callable[[SeededImage], None],
    *,
    label: str,
) -> None:
    """Work side by side on the images of this process that lack an output file; see `process_pending`.

    Raises:
        ArtifactError: If a seed is missing or damaged.
    """

    def pair(sample: Sample, image: ShrunkImage) -> None:
        work(pair_copy(context, sample, image))

    process_pending(context, datasets, output, pair, label=label, side_by_side=True)


def pair_with_seed(context: Context, sample: Sample, image: NDArray[np.uint8]) -> SeededImage:
    """Reduce an image (H, W, 3) uint8 to the size that networks see, and load its seed to fit.

    Raises:
        ArtifactError: If the seed is missing or damaged.
    """
    seen = limit_side(image, context.config.data.max_side_px)
    return pair_copy(context, sample, ShrunkImage(seen, (image.shape[0], image.shape[1])))


def pair_read(context: Context, sample: Sample, image: ShrunkImage, reading: Reading) -> SeededImage:
    """Load the seed of an image as it was read: to fit the image, or at its own size where no pixels were read."""
    if reading == "copy":
        return pair_copy(context, sample, image)
    if reading == "whole":
        return pair_with_seed(context, sample, image.pixels)
    seed = load_seed(context.folder.seed(sample.id))
    return SeededImage(sample, image.pixels, seed, seed.size_hw)


def pair_copy(context: Context, sample: Sample, image: ShrunkImage) -> SeededImage:
    """Load the seed of an image, which is as networks see it, to fit.

    Raises:
        ArtifactError: If the seed is missing or damaged.
    """
    height, width = image.pixels.shape[:2]
    seed = replace(load_seed(context.folder.seed(sample.id)), size_hw=(height, width))
    return SeededImage(sample, image.pixels, seed, image.size_hw, original_hw=image.size_hw)


def resize_labels(labels: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring labels to the size of the original image, by the nearest pixel."""
    return np.asarray(Image.fromarray(labels).resize(size_hw[::-1], Image.Resampling.NEAREST))


def require_training_seeds(context: Context, method: str) -> None:
    """Raise a `ConfigError` if a refinement that learns from the training images' seeds gets none."""
    if "train" not in context.config.localize.splits:
        raise ConfigError(f"localize.splits: {method} learns from the seeds of 'train'; add it and run 'localize'")
