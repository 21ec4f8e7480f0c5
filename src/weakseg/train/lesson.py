"""Training a network on pairs of close pixels, as IRNet and AffinityNet learn: which share a label, which do not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.crops import Batch, CropSet
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError
from weakseg.models.affinitynet import AffinityNet
from weakseg.models.irnet import IRNet
from weakseg.train.distributed import tell_own_pairs
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan, train_on_crops


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a refiner's network learns from.

    Args:
        train: Images; their tags are not used.
        labels: Reads the labels of each image: (H, W) uint8, 255 where unsure.
        augmentation: Random changes of images and labels.
        plan: How to train.
        seed: Seed of order and augmentation.
        max_side_px: Larger images are shrunk to this longer side where a network looks at them whole; None for none.
        hooks: Where to report to and go on from.
    """

    train: Dataset
    labels: MaskReader
    augmentation: Augmentation
    plan: TrainingPlan
    seed: int
    max_side_px: int | None = None
    hooks: TrainingHooks = NO_HOOKS


class PairLoss(Protocol):
    """Computes the scalar loss of a batch from pairs of its pixels."""

    def __call__(self, model: nn.Module, batch: Batch, *, radius: int, num_labels: int) -> Tensor:
        """Compute it.

        Labels are sampled at the centres of the outputs' cells (`sample_labels`). Means are over the pairs of this
        process's share of the batch: with several processes, the mean of their losses is not quite the loss of the
        whole batch.

        Args:
            model: The network.
            batch: Crops with labels.
            radius: Pairs are closer than this many cells.
            num_labels: Number of labels, background included.
        """
        ...


def train_on_lesson(
    network: AffinityNet | IRNet, lesson: Lesson, *, radius: int, loss: PairLoss
) -> tuple[EpochRecord, ...]:
    """Train a network in place on random crops and their labels.

    Args:
        network: On its device, the backbone filled with trained weights.
        lesson: What it learns from.
        radius: Pairs in the loss are closer than this many of the network's cells.
        loss: The loss.

    Returns:
        One record per epoch.

    Raises:
        ConfigError: If crops are too small for the radius.
        DataError: If an image has no labels, labels of another size, or one that is neither the data set's nor 255.
        TrainingDiverged: If the loss is not finite.
    """
    _require_room(lesson.augmentation.crop_px, radius=radius, stride=network.stride)
    tell_own_pairs()
    return train_on_crops(
        network,
        CropSet(lesson.train, lesson.augmentation, seed=lesson.seed, masks=lesson.labels),
        lesson.plan,
        loss=partial(loss, radius=radius, num_labels=lesson.train.classes.num_labels),
        hooks=lesson.hooks,
    )


def sample_labels(batch: Batch, size_hw: tuple[int, int]) -> Tensor:
    """Return the labels (N, h, w) int64 of a batch that has some, at the centres of h x w cells (nearest)."""
    assert batch.labels is not None, "a batch without labels"
    labels = nn.functional.interpolate(batch.labels[:, None].float(), size_hw, mode="nearest-exact")
    return labels[:, 0].long()


def _require_room(crop_px: int, *, radius: int, stride: int) -> None:
    """Raise a `ConfigError` if a crop holds no pixel whose pairs all lie within it."""
    cells = 2 * radius - 1
    if math.ceil(crop_px / stride) < cells:
        raise ConfigError(
            f"crop_px {crop_px} is too small for radius {radius}: pairs need {cells} cells of {stride} px, that is "
            f"crops of at least {stride * (cells - 1) + 1} px; choose larger crops or a smaller radius"
        )
