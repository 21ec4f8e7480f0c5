"""Training of IRNet from confident labels, and the mean displacement that its inference subtracts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.data.whole_images import iterate_images
from weakseg.models.irnet import IRNet
from weakseg.ops.affinity import affinity_displacement_losses
from weakseg.ops.images import normalise
from weakseg.train.distributed import rank, sum_over_ranks, world_size
from weakseg.train.lesson import Lesson, sample_labels, train_on_lesson
from weakseg.train.loop import EpochRecord

TRAINING_RADIUS = 10
"""Pairs in the losses are closer than this many cells of 4 px (Ahn et al., CVPR 2019); the walk's radius is 5."""

WHOLE_IMAGES_BATCH = 16
"""Whole images of one size per forward pass when displacements are averaged; changes no number beyond rounding."""


def train_irn(
    irnet: IRNet, lesson: Lesson, *, radius: int = TRAINING_RADIUS, crop_size: int | None = None
) -> tuple[EpochRecord, ...]:
    """Train the branches of an IRNet in place, then set its `mean_displacement` from the training images.

    The edge branch learns at the plan's base rate, the displacement branch `head_multiplier` times faster (10 in the
    paper, which amplifies that branch's gradients). A training that is taken up after its last epoch only averages.

    Args:
        irnet: See `train_on_lesson`, as for what is returned and raised.
        lesson: What it learns from.
        radius: Pairs in the losses are closer than this many cells of 4 px.
        crop_size: What `IRNet.infer` will be called with: displacements are averaged under the same padding.

    Returns:
        One record per epoch; the loss is `IRNLosses.total()`.
    """
    history = train_on_lesson(irnet, lesson, radius=radius, loss=irn_loss)
    mean = estimate_mean_displacement(
        irnet, lesson.train, crop_size=crop_size, workers=lesson.plan.workers, max_side_px=lesson.max_side_px
    )
    irnet.mean_displacement.copy_(mean)
    return history


def irn_loss(model: nn.Module, batch: Batch, *, radius: int, num_labels: int) -> Tensor:
    """Return the scalar loss of a batch, computed at the network's stride; see `weakseg.train.lesson.PairLoss`.

    Args:
        model: Turns images into edge logits and displacements, see `IRNet.forward`.
        batch: Crops with labels.
        radius: Pairs are closer than this many cells.
        num_labels: Number of labels, background included.
    """
    logits, displacement = model(batch.images)
    labels = sample_labels(batch, (logits.shape[1], logits.shape[2]))
    losses = affinity_displacement_losses(logits.sigmoid(), displacement, labels, radius=radius, num_labels=num_labels)
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
