"""Whole images, decoded ahead of time: one by one, in an order that is found out on the way, or grouped by size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.ahead import load_in_turn, tell_progress
from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.types import Sample


class _WholeImages:
    """Undistorted images (H, W, 3) uint8, and their sizes in full, of a list of samples and their datasets.

    Tensors, since those pass between processes uncopied.
    """

    def __init__(self, images: Sequence[tuple[Dataset, Sample]], max_side_px: int | None) -> None:
        self.images = images
        self.max_side_px = max_side_px

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        dataset, sample = self.images[index]
        image = dataset.load_shrunk(sample, self.max_side_px)
        pixels = image.pixels if image.pixels.flags.writeable else image.pixels.copy()  # torch warns of read-only ones
        tell_progress()
        return torch.from_numpy(pixels), image.size_hw

    def describe(self, index: int) -> str:
        """Name an image."""
        return f"'{self.images[index][1].id}'"


def iterate_shrunk(
    dataset: Dataset, samples: Sequence[Sample], *, max_side_px: int | None, workers: int = 0
) -> Iterator[tuple[Sample, ShrunkImage]]:
    """Decode whole images ahead of time, one by one, as networks see them.

    Args:
        dataset: Where the samples belong.
        samples: Which images, in which order.
        max_side_px: Larger images are shrunk to this longer side, see `Dataset.load_shrunk`; None for no limit.
        workers: Processes that decode; 0 decodes in this one.

    Yields:
        Sample and image.
    """
    images = [(dataset, sample) for sample in samples]
    for place, image in iterate_places(images, range(len(images)), max_side_px=max_side_px, workers=workers):
        yield samples[place], image


def iterate_places(
    images: Sequence[tuple[Dataset, Sample]], order: Iterable[int], *, max_side_px: int | None, workers: int = 0
) -> Iterator[tuple[int, ShrunkImage]]:
    """Decode whole images, perhaps of several datasets, in an order that may be found out on the way.

    Args:
        images: All that may be asked for, each with the dataset it belongs to.
        order: Places in that list; see `weakseg.data.ahead.load_in_turn`.
        max_side_px: See `iterate_shrunk`.
        workers: See there.

    Yields:
        Place and image.
    """
    decoded = load_in_turn(_WholeImages(images, max_side_px), order, workers=workers)
    for place, (pixels, size_hw) in decoded:
        yield place, ShrunkImage(pixels.numpy(), size_hw)


def iterate_images(
    dataset: Dataset,
    samples: Sequence[Sample],
    *,
    batch_size: int = 1,
    workers: int = 0,
    max_side_px: int | None = None,
) -> Iterator[tuple[list[Sample], list[NDArray[np.uint8]]]]:
    """Decode whole images ahead of time and yield runs of consecutive ones that share a size.

    Args:
        dataset: Where the samples belong.
        samples: Which images, in which order.
        batch_size: Longest run; 1 yields images one by one.
        workers: Processes that decode; 0 decodes in this one.
        max_side_px: See `iterate_shrunk`.

    Yields:
        Samples and their images (H, W, 3) uint8, all of one size.
    """
    held_samples: list[Sample] = []
    held_images: list[NDArray[np.uint8]] = []
    for sample, image in iterate_shrunk(dataset, samples, max_side_px=max_side_px, workers=workers):
        if held_images and (len(held_images) == batch_size or held_images[0].shape != image.pixels.shape):
            yield held_samples, held_images
            held_samples, held_images = [], []
        held_samples.append(sample)
        held_images.append(image.pixels)
    if held_images:
        yield held_samples, held_images
