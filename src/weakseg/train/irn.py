"""Training of IRNet from confident labels, and the mean displacement that its inference subtracts."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.loaders import Batch, CropSet, iterate_images
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError
from weakseg.models.irnet import IRNet
from weakseg.ops.affinity import affinity_displacement_losses
from weakseg.ops.images import normalise
from weakseg.train.distributed import rank, sum_over_ranks, tell_own_pairs, world_size
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan, train_on_crops

TRAINING_RADIUS = 10
"""Pairs in the losses are closer than this many cells of 4 px (Ahn et al., CVPR 2019); the walk's radius is 5."""

WHOLE_IMAGES_BATCH = 16
"""Whole images of one size per forward pass when displacements are averaged; changes no number beyond rounding."""


def train_irn(
    irnet: IRNet,
    train: Dataset,
    labels: MaskReader,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    radius: int = TRAINING_RADIUS,
    crop_size: int | None = None,
    max_side_px: int | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train the branches of an IRNet in place, then set its `mean_displacement` from the training images.

    The edge branch learns at the plan's base rate, the displacement branch `head_multiplier` times faster (10 in the
    paper, which amplifies that branch's gradients). A training that is taken up after its last epoch only averages.

    Args:
        irnet: On its device, the backbone filled with trained weights.
        train: Images; their tags are not used.
        labels: Reads the confident labels of each image: (H, W) uint8, 255 where unsure.
        augmentation: Random changes of images and labels.
        plan: How to train.
        seed: Seed of order and augmentation.
        radius: Pairs in the losses are closer than this many cells of 4 px.
        crop_size: What `IRNet.infer` will be called with: displacements are averaged under the same padding.
        max_side_px: Larger images are shrunk to this longer side when displacements are averaged; None for no limit.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch; the loss is `IRNLosses.total()`.

    Raises:
        ConfigError: If crops are too small for the radius.
        DataError: If an image has no labels, labels of another size, or one that is neither the data set's nor 255.
        TrainingDiverged: If the loss is not finite.
    """
    _require_room(augmentation.crop_px, radius=radius, stride=irnet.stride)
    tell_own_pairs()
    history = train_on_crops(
        irnet,
        CropSet(train, augmentation, seed=seed, masks=labels),
        plan,
        loss=partial(irn_loss, radius=radius, num_labels=train.classes.num_labels),
        hooks=hooks,
    )
    mean = estimate_mean_displacement(irnet, train, crop_size=crop_size, workers=plan.workers, max_side_px=max_side_px)
    irnet.mean_displacement.copy_(mean)
    return history


def irn_loss(model: nn.Module, batch: Batch, *, radius: int, num_labels: int) -> Tensor:
    """Return the scalar loss of a batch, computed at the network's stride.

    Labels are sampled at the centres of the outputs' cells (nearest). Means are over the pairs of this process's share
    of the batch: with several processes, the mean of their losses is not quite the loss of the whole batch.

    Args:
        model: Turns images into edge logits and displacements, see `IRNet.forward`.
        batch: Crops with labels.
        radius: Pairs are closer than this many cells.
        num_labels: Number of labels, background included.
    """
    assert batch.labels is not None, "a batch for IRNet without labels"
    logits, displacement = model(batch.images)
    labels = nn.functional.interpolate(batch.labels[:, None].float(), logits.shape[1:], mode="nearest-exact")
    losses = affinity_displacement_losses(
        logits.sigmoid(), displacement, labels[:, 0].long(), radius=radius, num_labels=num_labels
    )
    return losses.total()


@torch.no_grad()
def estimate_mean_displacement(
    irnet: IRNet,
    dataset: Dataset,
    *,
    crop_size: int | None = None,
    workers: int = 0,
    max_side_px: int | None = None,
) -> Tensor:
    """Average the displacements of all cells of a dataset's whole images, shared out over the processes.

    The losses bind differences of displacements only, so that a constant is left over; this is it. The images are
    neither mirrored nor cropped at random, and `mean_displacement` takes no part.

    Args:
        irnet: On its device; not modified.
        dataset: The images.
        crop_size: Padding, see `IRNet.look`; cells of the padding do not count.
        workers: Processes that decode.
        max_side_px: Larger images are shrunk to this longer side; None for no limit.

    Returns:
        (2,) float32 on the network's device: mean (dy, dx) in cells, the same on every process.
    """
    device = irnet.mean_displacement.device
    # Doubles: a data set has more cells than a float32 can count.
    total, cells = (torch.zeros(count, dtype=torch.float64, device=device) for count in (2, 1))
    mine = dataset.samples[rank() :: world_size()]
    for _, images in iterate_images(
        dataset, mine, batch_size=WHOLE_IMAGES_BATCH, workers=workers, max_side_px=max_side_px
    ):
        batch = torch.stack([normalise(image) for image in images]).to(device)
        _, displacement = irnet.look(batch, crop_size=crop_size)
        total += displacement.double().sum(dim=(0, 2, 3))
        cells += displacement[:, 0].numel()
    return (sum_over_ranks(total) / sum_over_ranks(cells)).float()


def _require_room(crop_px: int, *, radius: int, stride: int) -> None:
    """Raise a `ConfigError` if a crop holds no pixel whose pairs all lie within it."""
    cells = 2 * radius - 1
    if math.ceil(crop_px / stride) < cells:
        raise ConfigError(
            f"crop_px {crop_px} is too small for radius {radius}: pairs need {cells} cells of {stride} px, that is "
            f"crops of at least {stride * (cells - 1) + 1} px; choose larger crops or a smaller radius"
        )
