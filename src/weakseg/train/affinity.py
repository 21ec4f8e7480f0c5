"""Training of AffinityNet from the labels that two CRFs agree on (Ahn and Kwak, CVPR 2018, section 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.loaders import Batch, CropSet
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError, ShapeError
from weakseg.models.affinitynet import AffinityNet
from weakseg.ops.affinity import LOG_EPS, feature_affinity
from weakseg.ops.paths import SourceGrid, list_offsets, other_ends
from weakseg.train.distributed import tell_own_pairs
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan, train_on_crops
from weakseg.types import IGNORE_LABEL

TRAINING_RADIUS = 5
"""Pairs in the losses are closer than this many cells of 8 px, as in the paper; the walk's radius is the same."""


@dataclass(frozen=True, eq=False)
class AffinityLosses:
    """The three losses of AffinityNet, each a scalar; 0 with a gradient of 0 where it has no pair.

    The constant in the logarithms lets each fall to -1e-5.

    Args:
        background: Mean of -log(affinity + 1e-5) over pairs of background.
        foreground: Mean of -log(affinity + 1e-5) over pairs of one foreground class.
        negative: Mean of -log(1 - affinity + 1e-5) over pairs of two labels.
    """

    background: Tensor
    foreground: Tensor
    negative: Tensor

    def total(self) -> Tensor:
        """Return a quarter of the paper's sum, background + foreground + 2 negative.

        A quarter makes it a weighted mean, of the size of each; it only scales the learning rate.
        """
        return (self.background + self.foreground + 2 * self.negative) / 4


def train_affinity(
    network: AffinityNet,
    train: Dataset,
    labels: MaskReader,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    radius: int = TRAINING_RADIUS,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train an AffinityNet in place: the backbone at the plan's base rate, its own convolutions faster.

    Args:
        network: On its device, the backbone filled with trained weights.
        train: Images; their tags are not used.
        labels: Reads the labels of each image, `weakseg.refine.psa.psa_labels`: (H, W) uint8, 255 where unsure.
        augmentation: Random changes of images and labels.
        plan: How to train.
        seed: Seed of order and augmentation.
        radius: Pairs in the losses are closer than this many cells of 8 px.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch; the loss is `AffinityLosses.total()`.

    Raises:
        ConfigError: If crops are too small for the radius.
        DataError: If an image has no labels, labels of another size, or one that is neither the data set's nor 255.
        TrainingDiverged: If the loss is not finite.
    """
    cells = math.ceil(augmentation.crop_px / network.stride)
    try:
        SourceGrid((cells, cells), radius)
    except ShapeError as error:
        raise ConfigError(
            f"crop_px {augmentation.crop_px} is too small for radius {radius}: it has {cells} cells of "
            f"{network.stride} px on a side, and {error}"
        ) from None
    tell_own_pairs()
    return train_on_crops(
        network,
        CropSet(train, augmentation, seed=seed, masks=labels),
        plan,
        loss=partial(affinity_loss, radius=radius, num_labels=train.classes.num_labels),
        hooks=hooks,
    )


def affinity_loss(model: nn.Module, batch: Batch, *, radius: int, num_labels: int) -> Tensor:
    """Return the scalar loss of a batch, computed at the network's stride.

    Labels are sampled at the centres of the features' cells (nearest). Means are over the pairs of this process's share
    of the batch: with several processes, the mean of their losses is not quite the loss of the whole batch.

    Args:
        model: Turns images into features, see `AffinityNet.forward`.
        batch: Crops with labels.
        radius: Pairs are closer than this many cells.
        num_labels: Number of labels, background included.
    """
    assert batch.labels is not None, "a batch for AffinityNet without labels"
    features = model(batch.images)
    labels = nn.functional.interpolate(batch.labels[:, None].float(), features.shape[2:], mode="nearest-exact")
    return affinity_losses(features, labels[:, 0].long(), radius=radius, num_labels=num_labels).total()


def affinity_losses(features: Tensor, labels: Tensor, *, radius: int, num_labels: int) -> AffinityLosses:
    """Compute AffinityNet's losses (equations 5 to 8 of the paper).

    A pair counts if both of its pixels have a label: as positive if the labels are equal, as negative if they differ.
    Each mean is over all pairs of the batch together.

    Args:
        features: (N, D, H, W) float. Nothing is computed in less than float32.
        labels: (N, H, W) integer: 0 background, 1..num_labels-1 classes, 255 ignored.
        radius: Pairs are closer than this, in cells.
        num_labels: Number of labels, background included. It only serves to check `labels`.

    Returns:
        Three scalars on the device of `features`.

    Raises:
        ShapeError: If the shapes or dtypes are others, a label is neither 0..num_labels-1 nor 255, or the maps are too
            small for the radius.
        ConfigError: If the radius is below 2.
    """
    _check_loss_inputs(features, labels, radius=radius, num_labels=num_labels)
    affinity = feature_affinity(features.to(torch.promote_types(features.dtype, torch.float32)), radius=radius)
    grid = SourceGrid((labels.shape[1], labels.shape[2]), radius)
    own = grid.view(labels)[:, None]
    other = other_ends(labels[:, None], list_offsets(radius), radius=radius)[:, 0]
    labelled = (own != IGNORE_LABEL) & (other != IGNORE_LABEL)
    positive = labelled & (own == other)
    affinity = affinity.reshape(labelled.shape)
    apart, together = -torch.log(1 - affinity + LOG_EPS), -torch.log(affinity + LOG_EPS)
    return AffinityLosses(
        background=_mean_over(together, positive & (own == 0)),
        foreground=_mean_over(together, positive & (own != 0)),
        negative=_mean_over(apart, labelled & (own != other)),
    )


def _mean_over(cost: Tensor, pairs: Tensor) -> Tensor:
    """Return the mean of a cost over some of its pairs, 0 if there is none."""
    return (cost * pairs).sum() / pairs.sum().clamp(min=1)


def _check_loss_inputs(features: Tensor, labels: Tensor, *, radius: int, num_labels: int) -> None:
    if radius < 2:
        raise ConfigError(f"radius: expected at least 2 cells, so that there are pairs, got {radius}")
    shape = tuple(features.shape)
    if len(shape) != 4 or labels.shape != (shape[0], *shape[2:]) or not features.is_floating_point():
        raise ShapeError(
            f"expected float features (N, D, H, W) and labels (N, H, W), got {features.dtype} {shape} and "
            f"{tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ShapeError(f"expected integer labels, got {labels.dtype}")
    wrong = (labels != IGNORE_LABEL) & ((labels < 0) | (labels >= num_labels))
    if bool(wrong.any()):
        found = sorted(set(labels[wrong].tolist()))
        raise ShapeError(f"labels must be 0..{num_labels - 1} or {IGNORE_LABEL} (ignored), got {found}")
