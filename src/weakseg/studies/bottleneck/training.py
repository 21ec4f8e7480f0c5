"""The classifiers of the study of the bottleneck: twins that differ in the activation they are trained with, only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from weakseg.data.crops import Batch
from weakseg.data.marked_digits import MARKED_DIGITS, MarkedDigits
from weakseg.models.classifier import Classifier
from weakseg.models.convolution_chain import ConvolutionChain
from weakseg.models.modes import evaluating
from weakseg.ops.losses import multilabel_soft_margin
from weakseg.pipeline.runtime import make_generator
from weakseg.studies.bottleneck.gradients import normalise_grey, to_grey
from weakseg.studies.bottleneck.settings import STRIDES, WIDTHS, Activation
from weakseg.train.loop import Tick, fit
from weakseg.train.optim import build_optimizer, build_schedule

NUM_CLASSES = len(MARKED_DIGITS)

BATCH_SIZE = 32

PEAK_RATE, PEAK_RATE_WITHOUT_NORM = 0.1, 3e-3
"""Highest learning rate of the one-cycle schedule: of SGD, and of AdamW without batch norms. SGD at 0.02 left nine of
ten trainings without them at chance (scikit-learn's digits, 12 epochs)."""

MOMENTUM, WEIGHT_DECAY, WARMUP_SHARE = 0.9, 1e-4, 0.25

ORDER_STREAM = 1
"""Keeps the order of the training images apart from the other random numbers of a seed."""


def train_twin(
    scenes: MarkedDigits, activation: Activation, *, norm: bool, epochs: int, seed: int, tick: Tick | None = None
) -> Classifier:
    """Train a classifier to tell the digits apart; twins start from the same weights and see the same batches.

    Args:
        scenes: The training images.
        activation: `sigmoid` with the binary cross-entropy of each class, or `softmax` with the cross-entropy.
        norm: Whether the convolutions have batch norms.
        epochs: Passes over the images; 0 returns the initial weights.
        seed: Seed of the initial weights and of the order.
        tick: Progress.

    Returns:
        The classifier, in training mode on the CPU.

    Raises:
        TrainingDiverged: If the loss is not finite.
    """
    generator = make_generator(seed)
    chain = ConvolutionChain(widths=WIDTHS, strides=STRIDES, norm=norm, generator=generator)
    classifier = Classifier(chain, num_classes=NUM_CLASSES, freeze_trunk=False, generator=generator)
    optimizer = build_optimizer(
        classifier.backbone_parameters(),
        classifier.head_parameters(),
        name="sgd" if norm else "adamw",
        learning_rate=PEAK_RATE if norm else PEAK_RATE_WITHOUT_NORM,
        head_multiplier=1.0,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
    )

    def load_epoch(epoch: int) -> Sequence[Batch]:
        order = np.random.default_rng([seed, ORDER_STREAM, epoch]).permutation(len(scenes))
        return [_make_batch(scenes, order[start : start + BATCH_SIZE]) for start in range(0, len(order), BATCH_SIZE)]

    steps = epochs * len(load_epoch(0))
    fit(
        classifier,
        loss=_sigmoid_loss if activation == "sigmoid" else _softmax_loss,
        load_epoch=load_epoch,
        optimizer=optimizer,
        schedule=build_schedule(optimizer, name="one_cycle", steps=steps, power=1.0, warmup_share=WARMUP_SHARE),
        epochs=epochs,
        tick=tick,
    )
    return classifier


@torch.no_grad()
def measure_accuracy(classifier: Classifier, scenes: MarkedDigits) -> float:
    """Return the share 0..1 of images whose own class has the highest logit; on a tie class 0 counts as highest."""
    with evaluating(classifier):
        logits = classifier(normalise_grey(to_grey(scenes.images)))
    return float((logits.argmax(dim=1) == torch.from_numpy(scenes.classes)).float().mean())


def one_hot(classes: Tensor) -> Tensor:
    """Turn class indices (N,) into float tags (N, C)."""
    return torch.nn.functional.one_hot(classes, NUM_CLASSES).float()


def _make_batch(scenes: MarkedDigits, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Batch:
    tags = one_hot(torch.from_numpy(scenes.classes[places]))
    return Batch(
        images=normalise_grey(to_grey(scenes.images[places])),
        tags=tags,
        known=torch.ones_like(tags, dtype=torch.bool),
        labels=None,
    )


def _sigmoid_loss(model: nn.Module, batch: Batch) -> Tensor:
    return multilabel_soft_margin(model(batch.images), batch.tags, batch.known)


def _softmax_loss(model: nn.Module, batch: Batch) -> Tensor:
    return cross_entropy(model(batch.images), batch.tags)
