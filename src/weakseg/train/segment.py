"""Training of the segmentation network from pseudo masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.crops import Batch, CropSet
from weakseg.data.transforms import Augmentation
from weakseg.models.deeplab import EveryScale, Segmenter
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.spelling import require_option
from weakseg.train.distributed import sum_over_ranks, world_size
from weakseg.train.loop import EpochRecord
from weakseg.train.parts import whole_of
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan, train_on_crops
from weakseg.types import IGNORE_LABEL

Balance = Literal["none", "foreground_background"]
"""How pixels weigh: all alike, or background and foreground half each."""


def train_segmenter(
    segmenter: SegmentationNetwork,
    train: Dataset,
    masks: MaskReader,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    balance: Balance = "none",
    often: Sequence[int] = (),
    times: int = 1,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a segmenter in place with cross-entropy, 255 left out.

    A network that sees several scales learns at each of them and at their fusion, see `segmentation_loss`.

    Args:
        segmenter: On its device.
        train: Images; their tags are not used.
        masks: Reads the pseudo mask of each image.
        augmentation: Random changes of images and masks.
        plan: How to train; may pass batches in parts.
        seed: Seed of order and augmentation.
        balance: How pixels weigh in the loss.
        often: Places in `train` of images that are drawn more often than others.
        times: How many times as often. Epochs have as many steps as without: others are drawn less often.
        hooks: Where to report to and go on from. With several scales the states are those of an `EveryScale`.

    Returns:
        One record per epoch.

    Raises:
        ConfigError: If there is no such balance.
        DataError: If an image has no mask, one of another size, or one with a label that is none of the data set's.
        TrainingDiverged: If the loss is not finite.
    """
    require_option(balance, ("none", "foreground_background"), what="segmenter.balance")
    crops = CropSet(train, augmentation, seed=seed, masks=masks, often=often, times=times)
    model = EveryScale(segmenter) if isinstance(segmenter, Segmenter) and segmenter.multi_scale else segmenter
    return train_on_crops(model, crops, plan, loss=partial(segmentation_loss, balance=balance), hooks=hooks)


def segmentation_loss(model: nn.Module, batch: Batch, *, balance: Balance = "none") -> Tensor:
    """Return the cross-entropy of a batch's labelled pixels, computed at the size of the logits.

    The mask is sampled at the centres of the logits' cells (nearest), as DeepLab-v2 trains at its output stride. Where
    the model answers with several maps, as `EveryScale` does, the result is the sum of their losses, each at its own
    size; DeepLab-v2 adds them so.

    With the balance `none` it is the mean over the labelled pixels. With `foreground_background` it is the mean of two
    means, over the background's pixels and over those of all classes together (docs/sources.md#deeplab-v2; RIB's
    authors name as source DSRG, Huang et al., CVPR 2018, which adds the two means where we halve their sum). If only
    one of the two occurs in the batch, it is that one's mean. A batch without any labelled pixel has loss 0.

    With several processes the means are over the pixels of all of them: the average of the processes' losses, and so of
    their gradients, is that of one process with the whole batch. The loss of a `BatchPart` is its share: the losses of
    a batch's parts add up to that of the batch.

    Args:
        model: Turns images (N, 3, H, W) into logits (N, L, h, w), or a tuple of them.
        batch: On the model's device, with labels.
        balance: How pixels weigh.

    Returns:
        Scalar, in nats.
    """
    answer = model(batch.images)
    maps = answer if isinstance(answer, tuple) else (answer,)
    losses = [_loss_of_map(logits, batch, balance) for logits in maps]
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def _loss_of_map(logits: Tensor, batch: Batch, balance: Balance) -> Tensor:
    """Return the loss of one map of logits (N, L, h, w)."""
    size_hw = (logits.shape[2], logits.shape[3])
    labels = _sample_labels(batch, size_hw).flatten()
    whole = _sample_labels(whole_of(batch), size_hw)
    # One row per pixel: the loss of whole maps has no deterministic implementation on a GPU.
    rows = logits.movedim(1, -1).flatten(end_dim=2)
    if balance == "none":
        total = nn.functional.cross_entropy(rows, labels, ignore_index=IGNORE_LABEL, reduction="sum")
        return total * world_size() / sum_over_ranks((whole != IGNORE_LABEL).sum()).clamp(min=1)
    losses = nn.functional.cross_entropy(rows, labels, ignore_index=IGNORE_LABEL, reduction="none")
    # Where a label is ignored the loss is 0, so that it does no harm among the foreground's.
    sums = torch.stack([losses.where(labels == 0, 0).sum(), losses.where(labels != 0, 0).sum()])
    foreground = (whole != 0) & (whole != IGNORE_LABEL)
    counts = sum_over_ranks(torch.stack([(whole == 0).sum(), foreground.sum()]))
    return (sums * world_size() / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def _sample_labels(batch: Batch, size_hw: tuple[int, int]) -> Tensor:
    """Return the labels (N, h, w) int64 at the centres of the cells of maps of that size."""
    assert batch.labels is not None, "a segmentation batch without masks"
    sampled = nn.functional.interpolate(batch.labels[:, None].float(), size_hw, mode="nearest-exact")
    return sampled[:, 0].long()
