"""Training of the multi-label classifier from image-level tags."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.data.transforms import Augmentation
from weakseg.data.whole_images import iterate_images
from weakseg.models.classifier import Classifier
from weakseg.models.modes import evaluating
from weakseg.ops.images import normalise
from weakseg.ops.losses import multilabel_soft_margin
from weakseg.ops.ranking import mean_average_precision
from weakseg.train.cda import Pasting, train_on_tags
from weakseg.train.distributed import rank, sum_over_ranks, world_size
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan

VALIDATION_BATCH = 16
"""Whole images of one size per forward pass when mAP is measured; changes no number beyond rounding."""


def train_classifier(
    classifier: Classifier,
    train: Dataset,
    val: Dataset | None,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    max_side_px: int | None = None,
    pasting: Pasting | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a classifier in place with the multi-label soft-margin loss, unknown tags left out.

    Args:
        classifier: On its device.
        train: Images and tags to learn from.
        val: Images whose tags give the mean average precision after each epoch, or None.
        augmentation: Random changes of the training images.
        plan: How to train.
        seed: Seed of order and augmentation.
        max_side_px: Larger images of `val` are shrunk to this longer side; None for no limit.
        pasting: Donors of context decoupling (`weakseg.train.cda`), or None for plain images.
        hooks: Where to report to and go on from.

    Returns:
        One record per epoch; `metrics["map"]` is the mean average precision on `val`, 0..1.
    """
    return train_on_tags(
        classifier,
        train,
        plan,
        augmentation=augmentation,
        seed=seed,
        pasting=pasting,
        loss=classification_loss,
        validate=watch_map(classifier, val, workers=plan.workers, max_side_px=max_side_px),
        hooks=hooks,
    )


def classification_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the scalar multi-label soft-margin loss of a batch."""
    return multilabel_soft_margin(model(batch.images), batch.tags, batch.known)


@torch.no_grad()
def predict_logits(classifier: Classifier, dataset: Dataset, *, workers: int, max_side_px: int | None = None) -> Tensor:
    """Return the logits (N, C) float32 on the CPU of a dataset's whole images, shared out over the processes.

    Args:
        classifier: On its device; runs in evaluation mode and gets its modes back.
        dataset: The images.
        workers: Processes that decode.
        max_side_px: Larger images are shrunk to this longer side; None for no limit.
    """
    device = next(classifier.parameters()).device
    logits = torch.zeros(len(dataset), len(dataset.classes), device=device)
    mine = range(rank(), len(dataset), world_size())
    samples = [dataset.samples[position] for position in mine]
    done = 0
    with evaluating(classifier):
        for held, images in iterate_images(
            dataset, samples, batch_size=VALIDATION_BATCH, workers=workers, max_side_px=max_side_px
        ):
            batch = torch.stack([normalise(image) for image in images]).to(device)
            logits[list(mine[done : done + len(held)])] = classifier(batch)
            done += len(held)
    return sum_over_ranks(logits).cpu()


def measure_map(classifier: Classifier, dataset: Dataset, *, workers: int, max_side_px: int | None = None) -> float:
    """Return the mean average precision 0..1 over the classes that some image shows; NaN if none does.

    See `predict_logits` for the arguments.
    """
    scores = predict_logits(classifier, dataset, workers=workers, max_side_px=max_side_px).numpy()
    tags = np.stack([sample.tags for sample in dataset])
    known = np.stack([sample.known for sample in dataset])
    return mean_average_precision(scores, tags, known)


def watch_map(
    classifier: Classifier, val: Dataset | None, *, workers: int, max_side_px: int | None
) -> Callable[[], dict[str, float]] | None:
    """Return what measures the mean average precision on some images after each epoch; None without images."""
    if val is None:
        return None
    return lambda: {"map": measure_map(classifier, val, workers=workers, max_side_px=max_side_px)}


def constant_guess_loss(train: Dataset) -> float:
    """Return the loss of a classifier that only knows how frequent each tag is.

    A training that ends near it has learned nothing of the images. Crops keep the tags of their image.

    Args:
        train: Images and tags; unknown tags are left out as in `multilabel_soft_margin`.

    Returns:
        The loss in nats, at least 0: 0 where every class is in all images or in none, or where nothing is known.
    """
    if not len(train):
        return 0.0
    tags, known = np.stack([sample.tags for sample in train]), np.stack([sample.known for sample in train])
    share = tags.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    likelihood = np.where(tags == 1, share, 1 - share)
    losses = -np.log(np.where(known, likelihood, 1.0))
    known_per_image = known.sum(axis=1)
    per_image = losses.sum(axis=1) / np.maximum(known_per_image, 1)
    return float(per_image.sum() / max(1, np.count_nonzero(known_per_image)))
