"""The pieces of an adaptation: what it pushes up, the layers that learn and get their values back, the partners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from weakseg.errors import ShapeError
from weakseg.models.classifier import Classifier
from weakseg.models.modes import evaluating
from weakseg.ops.pooling import AverageOver, gap, gndrp
from weakseg.train.optim import build_sgd, poly_factor

Pooling = Literal["gndrp", "gap"]
"""How score maps become logits while a classifier is adapted."""

PartnerBatch = tuple[Tensor | NDArray[np.floating], Tensor | NDArray[np.generic]]
"""Normalised images (B, 3, S, S) and their tags (B, C)."""

HEAD_MULTIPLIER = 10.0
"""The 1x1 convolution learns this many times faster than the layers below it, as released."""

POLY_POWER = 0.9
"""Exponent of the polynomial decay of the rates over the iterations, as released."""


@dataclass(frozen=True)
class Goal:
    """What an adaptation pushes up: the sum of the tagged classes' logits.

    Args:
        pooling: How score maps become logits.
        threshold: GNDRP's threshold.
        average_over: What GNDRP divides by.
        first_classes: Number of classes GNDRP is applied to; None for all.
        margin: A logit counts up to this value and gets no gradient beyond it.
    """

    pooling: Pooling
    threshold: float
    average_over: AverageOver
    first_classes: int | None
    margin: float

    def __call__(self, scores: Tensor, tags: Tensor) -> Tensor:
        """Return the differentiable scalar of score maps (N, C, h, w) and float tags (N, C) of 0 and 1."""
        if self.pooling == "gap":
            logits = gap(scores)
        else:
            logits = gndrp(
                scores,
                tags,
                threshold=self.threshold,
                average_over=self.average_over,
                first_classes=self.first_classes,
            )
        return (logits.clamp(max=self.margin) * tags).sum()


class Adapter:
    """A classifier while it is adapted: its trunk is constant, the layers above it climb towards a goal.

    The optimiser is the released one: SGD whose momentum is the weight decay, the 1x1 convolution 10 times faster than
    the other layers, both rates decaying by (1 - step / steps)^0.9.

    Args:
        classifier: Lent by `borrowed`.
        goal: What to push up: a differentiable scalar of score maps (N, C, h, w) and tags (N, C), a sum over images. A
            `Goal` for RIB.
        lr: Learning rate of the first update.
        weight_decay: L2 penalty, and momentum.
        steps: Number of updates after which the rates would be 0.
        max_partners_at_once: Largest number of partners in one pass, at least 1; None for no limit.
        autocast: Compute convolutions in bfloat16.
        channels_last: Lay images out channels-last.
        loss_stride_px: Learn from maps of this stride, see `Classifier.at_stride`; None learns from the classifier's.

    Attributes:
        device: The classifier's device.
        num_classes: The classifier's number of classes C.
    """

    def __init__(
        self,
        classifier: Classifier,
        goal: Callable[[Tensor, Tensor], Tensor],
        *,
        lr: float,
        weight_decay: float,
        steps: int,
        max_partners_at_once: int | None = None,
        autocast: bool = False,
        channels_last: bool = False,
        loss_stride_px: int | None = None,
    ) -> None:
        self.device = classifier.classifier.weight.device
        self.num_classes = classifier.num_classes
        self._classifier = classifier
        # Of the maps alone: what both share is adapted, and lent, as a part of `classifier`.
        self._coarse = None if loss_stride_px is None else classifier.at_stride(loss_stride_px)
        self._goal = goal
        self._max_partners_at_once = max_partners_at_once
        self._autocast = autocast
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._optimizer = build_sgd(
            _layers_above_trunk(classifier),
            classifier.head_parameters(),
            learning_rate=lr,
            head_multiplier=HEAD_MULTIPLIER,
            momentum=weight_decay,
            weight_decay=weight_decay,
        )
        self._schedule = LambdaLR(self._optimizer, partial(poly_factor, steps=steps, power=POLY_POWER))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Run the trunk on normalised images (N, 3, H, W) of any device; the result (N, D, h', w') has no history."""
        images = images.to(self.device, torch.float32, non_blocking=True, memory_format=self._memory_format)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._autocast):
            return self._classifier.trunk(images)

    def scores(self, features: Tensor, *, learning: bool) -> Tensor:
        """Return score maps (N, C, h, w) float32 of a trunk's features.

        They have a history, if they are to be learnt from, unless those of another stride are.
        """
        return self._score(self._classifier, features, learning=learning and self._coarse is None)

    def loss_scores(self, features: Tensor, scores: Tensor, *, learning: bool) -> Tensor:
        """Return the score maps that are learnt from: those that `scores` gave, or those of another stride."""
        return scores if self._coarse is None else self._score(self._coarse, features, learning=learning)

    def _score(self, classifier: Classifier, features: Tensor, *, learning: bool) -> Tensor:
        with (
            torch.set_grad_enabled(learning),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._autocast),
        ):
            return classifier.head(features).float()

    def push(self, scores: Tensor, tags: Tensor) -> Tensor:
        """Add the goal's gradient to what the next update follows, if the scores have a history, and use that up.

        Since every set of maps goes backward as soon as it is there, no two histories are held at a time.

        Returns:
            The goal's value, a scalar without history.
        """
        with torch.set_grad_enabled(scores.requires_grad):
            loss = -self._goal(scores, tags.to(scores.device, scores.dtype))
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return -loss.detach()

    def push_partners(self, images: Tensor, tags: Tensor, *, learning: bool) -> Tensor:
        """Push the logits of partners (B, 3, S, S), tagged (B, C), in portions; B may be 0.

        Since the goal is a sum over images, its gradient is the sum of the portions' gradients.

        Returns:
            The goal's value, a scalar without history.
        """
        total = torch.zeros((), device=self.device)
        portion = self._max_partners_at_once or max(1, len(images))
        for start in range(0, len(images), portion):
            part = slice(start, start + portion)
            features = self.features(images[part])
            total += self.push(self._score(self._coarse or self._classifier, features, learning=learning), tags[part])
        return total

    def update(self) -> None:
        """Follow the gradient of everything pushed since the last update."""
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()


@contextmanager
def borrowed(classifier: Classifier) -> Iterator[None]:
    """Lend the layers above the trunk to a block, and give them back as they were, also after an error.

    Inside, the classifier is in evaluation mode and those layers ask for gradients. Afterwards their values, gradients
    and flags and all modes are as before. Only what an adaptation changes is copied: the trunk and all buffers are not.
    """
    parameters = [*_layers_above_trunk(classifier), *classifier.head_parameters()]
    lent = [
        (parameter, parameter.detach().clone(), parameter.grad, parameter.requires_grad) for parameter in parameters
    ]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
            parameter.grad = None
        with evaluating(classifier):
            yield
    finally:
        with torch.no_grad():
            for parameter, value, gradient, required in lent:
                parameter.copy_(value)
                parameter.grad = gradient
                parameter.requires_grad_(required)


def next_partners(batches: Iterator[PartnerBatch], iteration: int, *, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the next batch, checked, as tensors on the device they lie on.

    Args:
        batches: The partners.
        iteration: Number of those taken before, for the message.
        num_classes: C.

    Raises:
        ShapeError: If there is none, or it is not images (B, 3, S, S) float and tags (B, C) of 0 and 1.
    """
    batch = next(batches, None)
    if batch is None:
        raise ShapeError(f"expected a batch of partners for every iteration, but they ended after {iteration}")
    images, tags = torch.as_tensor(batch[0]), torch.as_tensor(batch[1])
    if images.ndim != 4 or images.shape[1] != 3 or tags.shape != (len(images), num_classes):
        raise ShapeError(
            f"expected partners (B, 3, S, S) and their tags (B, {num_classes}), got {tuple(images.shape)} "
            f"and {tuple(tags.shape)} in iteration {iteration + 1}"
        )
    if not images.is_floating_point():
        raise ShapeError(
            f"expected normalised float images of partners, got {images.dtype} in iteration {iteration + 1}; see "
            "`weakseg.ops.images.normalise`"
        )
    if not bool(((tags == 0) | (tags == 1)).all()):
        raise ShapeError(
            f"tags of partners are 0 or 1, got values {torch.unique(tags)[:5].tolist()} in iteration {iteration + 1}"
        )
    return images, tags


def _layers_above_trunk(classifier: Classifier) -> list[nn.Parameter]:
    """Return the backbone's parameters outside the trunk, whether or not the trunk learned in training."""
    trunk = {id(parameter) for module in classifier.backbone.trunk_modules() for parameter in module.parameters()}
    return [parameter for parameter in classifier.backbone.parameters() if id(parameter) not in trunk]
