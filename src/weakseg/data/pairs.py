"""Pairs of training crops: an image as it is, and its twin with a donor pasted into it (`weakseg.train.cda`).

As in `weakseg.data.crops`, every twin is a function of (seed, epoch, image), never of workers or processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.crops import Crop, CropSet, EpochOfCrops, order_batches
from weakseg.data.donors import DonorPool
from weakseg.data.pasting import PasteSettings, contact_sheet, draw_placement, paste_donor
from weakseg.data.transforms import Augmentation, augment_image
from weakseg.errors import ConfigError

TWIN_STREAM = 1
"""Follows (seed, epoch, image) in the seed of a pasted twin: it shares no random numbers with its plain image."""


@dataclass(frozen=True, eq=False)
class PastedImage:
    """An image with a donor in it and its tags, before augmentation.

    Args:
        image: (H, W, 3) uint8 RGB.
        tags: (C,) uint8, those of host and donor together.
        known: (C,) bool, as the host's.
        key: The donor's class, or None if nothing was pasted.
    """

    image: NDArray[np.uint8]
    tags: NDArray[np.uint8]
    known: NDArray[np.bool_]
    key: int | None


class PairedCrops(CropSet):
    """Random crops of a dataset, each image plain and pasted; for classification, without masks.

    Of N images the positions 0..N-1 are the plain ones, exactly as `CropSet` has them; N + p is the pasted twin of p.
    The twin depends on (seed, epoch, p) alone. It gets a donor of a class that the host is known to lack, pasted
    before augmentation, and an augmentation of its own. Without such a donor it is a second plain view.

    Args:
        dataset: Images and tags.
        augmentation: Random changes of plain and pasted images alike.
        seed: Seed of the run.
        donors: What to paste.
        settings: How to paste.
    """

    def __init__(
        self,
        dataset: Dataset,
        augmentation: Augmentation,
        *,
        seed: int,
        donors: DonorPool,
        settings: PasteSettings,
    ) -> None:
        super().__init__(dataset, augmentation, seed=seed)
        self.donors = donors
        self.settings = settings

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        """Return image, tags, known and no mask of a plain image or a pasted twin, as it looks in an epoch."""
        epoch, position = key
        if position < len(self.dataset):
            return super().__getitem__(key)
        rng = self._make_twin_rng(epoch, position - len(self.dataset))
        pasted = self._paste(position - len(self.dataset), rng)
        crop, _ = augment_image(pasted.image, None, self.augmentation, rng)
        return crop, torch.tensor(pasted.tags, dtype=torch.float32), torch.tensor(pasted.known), None

    def paste(self, epoch: int, position: int) -> PastedImage:
        """Return the pasted twin of the image at a position 0..N-1 as it looks in an epoch, before augmentation."""
        return self._paste(position, self._make_twin_rng(epoch, position))

    def _make_twin_rng(self, epoch: int, position: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, position, TWIN_STREAM])

    def _paste(self, position: int, rng: np.random.Generator) -> PastedImage:
        sample = self.dataset.samples[position]
        host = self.cache[position].pixels
        donor = self.donors.draw(rng, sample.known & (sample.tags == 0))
        if donor is None:
            return PastedImage(host, sample.tags, sample.known, None)
        donor_hw, host_hw = ((image.shape[0], image.shape[1]) for image in (donor.pixels, host))
        placement = draw_placement(rng, donor_hw, host_hw, self.settings)
        pasted = paste_donor(host, donor, placement, blur_px=self.settings.blur_px)
        if not pasted.painted.any():
            return PastedImage(host, sample.tags, sample.known, None)
        tags = sample.tags.copy()
        tags[donor.key] = 1
        return PastedImage(pasted.image, tags, sample.known, donor.key)


def load_pairs(
    crops: PairedCrops, *, epoch: int, batch_size: int, workers: int, rank: int = 0, world_size: int = 1
) -> EpochOfCrops:
    """Return one epoch of this rank's batches: images beside their pasted twins, `batch_size / 2` pairs over all ranks.

    Order and incomplete last batch are as in `weakseg.data.crops.order_batches`, counted in pairs.

    Raises:
        ConfigError: If the pairs of a batch do not divide evenly over the processes, or there are fewer images than
            those.
    """
    if batch_size % (2 * world_size):
        raise ConfigError(
            f"batch_size {batch_size} must be a multiple of {2 * world_size}: CDA trains on pairs, and there are "
            f"{world_size} processes"
        )
    num_images = len(crops.dataset)
    batches = order_batches(
        num_images, batch_size=batch_size // 2, seed=crops.seed, epoch=epoch, rank=rank, world_size=world_size
    )
    keys = [[(epoch, p + twin) for p in batch for twin in (0, num_images)] for batch in batches]
    return EpochOfCrops(crops, keys, workers=workers)


def draw_pasted_sheet(crops: PairedCrops, *, count: int = 24, columns: int = 6) -> NDArray[np.uint8]:
    """Draw pasted images of the first epoch, evenly spaced over the dataset, framed in the donors' colours.

    Args:
        crops: The training images and donors.
        count: How many images, at most.
        columns: Images per row.

    Returns:
        (H, W, 3) uint8 RGB, see `weakseg.data.pasting.contact_sheet`. Images into which nothing is pasted are left
        out unless there are no others.
    """
    count = min(count, len(crops.dataset))
    shown = [crops.paste(0, position * len(crops.dataset) // count) for position in range(count)]
    shown = [image for image in shown if image.key is not None] or shown
    return contact_sheet([image.image for image in shown], [image.key for image in shown], columns=columns)
