"""Training of AffinityNet from the labels that two CRFs agree on (Ahn and Kwak, CVPR 2018, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.data.crops import Batch
from weakseg.errors import ConfigError, ShapeError
from weakseg.models.affinitynet import AffinityNet
from weakseg.ops.affinity import LOG_EPS, feature_affinity
from weakseg.ops.paths import SourceGrid, list_offsets, other_ends
from weakseg.train.lesson import Lesson, sample_labels, train_on_lesson
from weakseg.train.loop import EpochRecord
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


def train_affinity(network: AffinityNet, lesson: Lesson, *, radius: int = TRAINING_RADIUS) -> tuple[EpochRecord, ...]:
    """Train an AffinityNet in place: the backbone at the plan's base rate, its own convolutions faster.

    Args:
        network: See `train_on_lesson`, as for what is raised.
        lesson: What it learns from; the labels are those of `weakseg.refine.psa.psa_labels`.
        radius: Pairs in the losses are closer than this many cells of 8 px.

    Returns:
        One record per epoch; the loss is `AffinityLosses.total()`.
    """
    return train_on_lesson(network, lesson, radius=radius, loss=affinity_loss)


def affinity_loss(model: nn.Module, batch: Batch, *, radius: int, num_labels: int) -> Tensor:
    """Return the scalar loss of a batch, computed at the network's stride; see `weakseg.train.lesson.PairLoss`.

    Args:
        model: Turns images into features, see `AffinityNet.forward`.
        batch: Crops with labels.
        radius: Pairs are closer than this many cells.
        num_labels: Number of labels, background included.
    """
    features = model(batch.images)
    labels = sample_labels(batch, (features.shape[2], features.shape[3]))
    return affinity_losses(features, labels, radius=radius, num_labels=num_labels).total()


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
