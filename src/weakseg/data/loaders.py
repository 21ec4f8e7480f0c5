"""Batches: augmented crops for training, whole images grouped by size for everything else.

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
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.transforms import Augmentation, augment_image, make_rng
from weakseg.errors import ConfigError, DataError
from weakseg.types import Sample

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


class CropSet(TorchDataset[Crop]):
    """Random crops of a dataset, indexed by (epoch, position) so that augmentation needs no state.

    Args:
        dataset: Images and tags.
        augmentation: What may change.
        seed: Seed of the run.
        masks: Where training masks come from; None for classification. An image without a mask is an error.
    """

    def __init__(
        self, dataset: Dataset, augmentation: Augmentation, *, seed: int, masks: MaskReader | None = None
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed
        self.masks = masks

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        """Return image, tags, known and mask of the image at a position, as it looks in an epoch."""
        epoch, position = key
        sample = self.dataset.samples[position]
        mask = None
        if self.masks is not None:
            mask = self.masks(sample)
            if mask is None:
                raise DataError(f"image '{sample.id}' has no mask to train on; run the stage 'refine' again")
        rng = make_rng(self.seed, epoch, position)
        image, labels = augment_image(self.dataset.load_image(sample), mask, self.augmentation, rng)
        return image, torch.tensor(sample.tags, dtype=torch.float32), torch.tensor(sample.known), labels


def order_batches(
    num_images: int, *, batch_size: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
) -> list[list[int]]:
    """Shuffle positions into batches and return this rank's share of each.

    As in the released codes an incomplete last batch is dropped; a dataset smaller than one batch makes one batch.

    Raises:
        ConfigError: If the batch does not divide evenly over the processes, or there are fewer images than those.
    """
    if batch_size % world_size:
        raise ConfigError(f"batch_size {batch_size} must be a multiple of the {world_size} processes")
    size = min(batch_size, num_images // world_size * world_size)
    if size == 0:
        raise ConfigError(f"{num_images} images cannot be shared by {world_size} processes; start fewer")
    order = make_rng(seed, epoch, SHUFFLE_STREAM).permutation(num_images)
    starts = range(0, num_images - size + 1, size)
    return [[int(position) for position in order[start : start + size][rank::world_size]] for start in starts]


def load_crops(
    crops: CropSet, *, epoch: int, batch_size: int, workers: int, rank: int = 0, world_size: int = 1
) -> DataLoader[Batch]:
    """Return one epoch of training batches of this rank; `len()` is the number of steps."""
    batches = order_batches(
        len(crops.dataset), batch_size=batch_size, seed=crops.seed, epoch=epoch, rank=rank, world_size=world_size
    )
    keyed = [[(epoch, position) for position in batch] for batch in batches]
    # torch types a loader by the items of its dataset; collating makes them batches.
    return DataLoader(
        crops,  # type: ignore[arg-type]
        batch_sampler=keyed,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_use_one_thread,
    )


def _collate(items: Sequence[Crop]) -> Batch:
    labels = [item[3] for item in items if item[3] is not None]
    return Batch(
        images=torch.stack([item[0] for item in items]),
        tags=torch.stack([item[1] for item in items]),
        known=torch.stack([item[2] for item in items]),
        labels=torch.stack(labels) if labels else None,
    )


def _use_one_thread(worker: int) -> None:
    """Keep decoding workers from each starting a pool of threads."""
    torch.set_num_threads(1)


class WholeImages(TorchDataset[NDArray[np.uint8]]):
    """Undistorted images of a list of samples."""

    def __init__(self, dataset: Dataset, samples: Sequence[Sample]) -> None:
        self.dataset = dataset
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        """Return the image (H, W, 3) uint8 at a position."""
        return self.dataset.load_image(self.samples[position])


def iterate_images(
    dataset: Dataset, samples: Sequence[Sample], *, batch_size: int = 1, workers: int = 0
) -> Iterator[tuple[list[Sample], list[NDArray[np.uint8]]]]:
    """Decode whole images ahead of time and yield runs of consecutive ones that share a size.

    Args:
        dataset: Where the samples belong.
        samples: Which images, in which order.
        batch_size: Longest run; 1 yields images one by one.
        workers: Processes that decode; 0 decodes in this one.

    Yields:
        Samples and their images (H, W, 3) uint8, all of one size.
    """
    decoded: DataLoader[NDArray[np.uint8]] = DataLoader(
        WholeImages(dataset, samples), batch_size=None, num_workers=workers, worker_init_fn=_use_one_thread
    )
    held_samples: list[Sample] = []
    held_images: list[NDArray[np.uint8]] = []
    for sample, item in zip(samples, decoded, strict=True):
        image = np.asarray(item)
        if held_images and (len(held_images) == batch_size or held_images[0].shape != image.shape):
            yield held_samples, held_images
            held_samples, held_images = [], []
        held_samples.append(sample)
        held_images.append(image)
    if held_images:
        yield held_samples, held_images
