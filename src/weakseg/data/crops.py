"""Training batches: augmented crops of images, with their tags and masks.

Order and augmentation are functions of (seed, epoch, image), never of workers or processes: rank r of R trains on
every R-th image of each global batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.ahead import load_ahead, tell_progress
from weakseg.data.base import Dataset, MaskReader
from weakseg.data.image_cache import ImageCache, Picture
from weakseg.data.transforms import Augmentation, augment_image, make_rng, resize_labels
from weakseg.errors import ConfigError, DataError
from weakseg.types import IGNORE_LABEL

SHUFFLE_STREAM = 2**31
"""Stands in for the image index in the seed of an epoch's order, so that no image shares its random numbers."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Training crops.

    Args:
        images: (B, 3, S, S) float32, ImageNet-normalised.
        tags: (B, C) float32, 0 or 1.
        known: (B, C) bool, False where a tag is unknown.
        labels: (B, S, S) int64 masks with 255 to ignore, or None when no masks were asked for.
    """

    images: Tensor
    tags: Tensor
    known: Tensor
    labels: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        return Batch(self.images.to(device), self.tags.to(device), self.known.to(device), labels)


Crop = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Image, tags, known and mask of one training image, see `Batch`."""


class CropSet:
    """Random crops of a dataset, indexed by (epoch, ticket) so that augmentation needs no state.

    Images larger than augmentation makes them are shrunk to its largest size before, masks by the nearest pixel.

    Args:
        dataset: Images and tags.
        augmentation: What may change.
        seed: Seed of the run.
        masks: Where training masks come from; None for classification. An image without a mask is an error, and so is
            a mask of another size or with a label that is none of the dataset's.
        often: Positions of images that are drawn `times` as often as others, each time with other random changes.
        times: How many times as often, at least 1.

    Attributes:
        tickets: Position of the image of each ticket: an epoch draws as many tickets as there are images. Those of the
            positions themselves come first, so that without `often` both are one.
        cache: What it reads through; empty until `keep_images`.

    Raises:
        ConfigError: If `times` is below 1.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        seed: int,
        masks: MaskReader | None = None,
        often: Sequence[int] = (),
        times: int = 1,
    ) -> None:
        if times < 1:
            raise ConfigError(f"expected images to be drawn at least once as often as others, got {times}")
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed
        self.masks = masks
        self.tickets = (*range(len(dataset)), *(position for _ in range(times - 1) for position in often))
        self.cache = ImageCache(self._load)

    def keep_images(self, *, max_bytes: int, threads: int) -> None:
        """Keep decoded images and masks in memory from here on, as many as fit; changes no crop."""
        self.cache.fill(range(len(self.dataset)), max_bytes=max_bytes, threads=threads)

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        """Return image, tags, known and mask of the image that a ticket stands for, as it looks in an epoch."""
        epoch, ticket = key
        position = self.tickets[ticket]
        sample, picture = self.dataset.samples[position], self.cache[position]
        rng = make_rng(self.seed, epoch, ticket)
        crop, labels = augment_image(picture.pixels, picture.labels, self.augmentation, rng)
        return crop, torch.tensor(sample.tags, dtype=torch.float32), torch.tensor(sample.known), labels

    def _load(self, position: int) -> Picture:
        sample = self.dataset.samples[position]
        mask = None
        if self.masks is not None:
            mask = self.masks(sample)
            if mask is None:
                raise DataError(f"image '{sample.id}' has no mask to train on; run the stage 'refine' again")
        image = self.dataset.load_shrunk(sample, self.augmentation.long_side_px[1])
        if mask is None:
            return Picture(image.pixels)
        if mask.shape != image.size_hw:
            raise DataError(
                f"image '{sample.id}' is {image.size_hw} (height, width), but its training mask is {mask.shape}; "
                "draw it again at the size of the image, or move it away and run the stage 'refine' again"
            )
        _require_known_labels(mask, len(self.dataset.classes), sample.id)
        return Picture(image.pixels, resize_labels(mask, (image.pixels.shape[0], image.pixels.shape[1])))


def _require_known_labels(mask: NDArray[np.uint8], num_classes: int, sample_id: str) -> None:
    """Raise a `DataError` if a mask holds a label that is none: losses would end in an error deep within torch."""
    foreign = np.flatnonzero(np.bincount(mask.ravel(), minlength=IGNORE_LABEL)[num_classes + 1 : IGNORE_LABEL])
    if foreign.size:
        raise DataError(
            f"the training mask of image '{sample_id}' has label {foreign[0] + num_classes + 1}, but there are "
            f"{num_classes} classes; it belongs to another data set, delete it and run the stage 'refine' again"
        )


def order_batches(
    num_images: int,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    num_tickets: int | None = None,
) -> list[list[int]]:
    """Shuffle positions into batches and return this rank's share of each.

    As in the released codes an incomplete last batch is dropped; a dataset smaller than one batch makes one batch.

    Args:
        num_images: Number of images of an epoch.
        batch_size: Images of a batch, over all processes together.
        seed: Seed of the order.
        epoch: Which epoch.
        rank: Which process.
        world_size: Number of processes.
        num_tickets: Draw these images out of so many tickets, at least as many; None draws every position once.

    Raises:
        ConfigError: If the batch is empty or does not divide evenly over the processes, or there are fewer images than
            those.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size: expected at least 1 image, got {batch_size}")
    if batch_size % world_size:
        raise ConfigError(f"batch_size {batch_size} must be a multiple of the {world_size} processes")
    size = min(batch_size, num_images // world_size * world_size)
    if size == 0:
        raise ConfigError(f"{num_images} images cannot be shared by {world_size} processes; start fewer")
    order = make_rng(seed, epoch, SHUFFLE_STREAM).permutation(num_images if num_tickets is None else num_tickets)
    starts = range(0, num_images - size + 1, size)
    return [[int(position) for position in order[start : start + size][rank::world_size]] for start in starts]


class EpochOfCrops:
    """The training batches of one epoch and one process; `len()` is the number of steps. Each iteration loads anew.

    Args:
        crops: Where the images come from.
        keys: Per batch the (epoch, ticket) of its images.
        workers: Processes that decode and augment; 0 does it in this one. Changes no batch.
    """

    def __init__(self, crops: CropSet, keys: Sequence[Sequence[tuple[int, int]]], *, workers: int) -> None:
        self.crops = crops
        self.keys = keys
        self.workers = workers

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Batch]:
        return load_ahead(_Batches(self.crops, self.keys), workers=self.workers)

    def after(self, steps: int) -> EpochOfCrops:
        """Return what is left of the epoch after so many steps."""
        return EpochOfCrops(self.crops, self.keys[steps:], workers=self.workers)


def load_crops(
    crops: CropSet, *, epoch: int, batch_size: int, workers: int, rank: int = 0, world_size: int = 1
) -> EpochOfCrops:
    """Return one epoch of training batches of this rank; see `order_batches` for what may be wrong with the numbers."""
    batches = order_batches(
        len(crops.dataset),
        batch_size=batch_size,
        seed=crops.seed,
        epoch=epoch,
        rank=rank,
        world_size=world_size,
        num_tickets=len(crops.tickets),
    )
    return EpochOfCrops(crops, [[(epoch, position) for position in batch] for batch in batches], workers=workers)


class _Batches:
    """Batches by their index within an epoch."""

    def __init__(self, crops: CropSet, keys: Sequence[Sequence[tuple[int, int]]]) -> None:
        self.crops = crops
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Batch:
        items = [self._load(key) for key in self.keys[index]]
        labels = [item[3] for item in items if item[3] is not None]
        return Batch(
            images=torch.stack([item[0] for item in items]),
            tags=torch.stack([item[1] for item in items]),
            known=torch.stack([item[2] for item in items]),
            labels=torch.stack(labels) if labels else None,
        )

    def describe(self, index: int) -> str:
        """Name the first image of a batch."""
        first = self.crops.dataset.samples[self.crops.tickets[self.keys[index][0][1]]].id
        return f"'{first}' and the others of its batch" if len(self.keys[index]) > 1 else f"'{first}'"

    def _load(self, key: tuple[int, int]) -> Crop:
        crop = self.crops[key]
        tell_progress()
        return crop
