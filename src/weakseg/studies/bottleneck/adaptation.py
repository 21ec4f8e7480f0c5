"""Adapting a toy classifier to one image, and looking at it after every update.

Two of the three objectives are RIB itself, `weakseg.localize.rib.adapt`, at scale 1 with its stop rules off. The third,
the objective the classifier was trained for, is what RIB takes away, so that `adapt` does not offer it; `climb` is the
same loop with any objective, made of the same pieces. A test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from weakseg.localize.adaptation import Adapter, borrowed
from weakseg.localize.cam import flip_pair
from weakseg.localize.rib import adapt
from weakseg.models.classifier import Classifier
from weakseg.ops.images import normalise
from weakseg.ops.pooling import gap
from weakseg.studies.bottleneck.gradients import Regions, logit_gradients
from weakseg.studies.bottleneck.settings import Activation, Objective
from weakseg.studies.bottleneck.training import one_hot

PartnerTensors = tuple[Tensor, Tensor]
"""Normalised images (B, 3, H, W) and their tags (B, C)."""

WEIGHT_DECAY = 1e-4
"""L2 penalty and momentum of an adaptation, as released."""

GNDRP_THRESHOLD = 0.4
"""Share of a map's maximum from which on GNDRP leaves a position out, the released one for VOC."""


@dataclass(frozen=True)
class Watched:
    """What one image's adaptation showed.

    Args:
        ratios: HGR of digit, marker and background in the gradient of the image's logit, before the first update and
            after each.
        logits: The image's own logit at the same times.
    """

    ratios: tuple[tuple[float, float, float], ...]
    logits: tuple[float, ...]


def watch_adaptation(
    classifier: Classifier,
    target: Regions,
    partners: Iterable[PartnerTensors],
    *,
    objective: Objective,
    activation: Activation,
    updates: int,
    lr: float,
    threshold: float,
) -> Watched:
    """Adapt a classifier to one image, and measure the gradient of its logit before the first update and after each.

    Args:
        classifier: As before on return.
        target: The image, alone.
        partners: `updates` + 1 batches; the last is asked for and not learnt from, as in RIB.
        objective: What is pushed up.
        activation: What the classifier was trained with; only the objective `activation` asks.
        updates: Number of updates.
        lr: Learning rate of the first one.
        threshold: Of HGR.
    """
    ratios: list[tuple[float, float, float]] = []
    logits: list[float] = []

    def look() -> None:
        maps, own = logit_gradients(classifier, target.grey, target.classes)
        digit, marker, background = target.ratios(maps, threshold=threshold)[0].tolist()
        ratios.append((digit, marker, background))
        logits.append(float(own))

    grey = np.round(255 * target.grey[0].numpy()).astype(np.uint8)
    image = np.repeat(grey[:, :, None], 3, axis=2)
    tags = one_hot(target.classes)
    if objective == "activation":
        goal = FinalActivation(activation)
        pair = flip_pair(normalise(image))
        climb(classifier, goal, pair, tags[0], partners, updates=updates, lr=lr, look=look)
    else:
        adapt(
            classifier,
            image,
            tags[0],
            partners,
            iterations=updates + 1,  # the first maps are taken before the first update
            lr=lr,
            weight_decay=WEIGHT_DECAY,
            threshold=GNDRP_THRESHOLD,
            logit_stop=math.inf,
            area_ratio=1.0,
            scales=(1.0,),
            pooling=objective,
            after_iteration=lambda maps: look(),
        )
    return Watched(tuple(ratios), tuple(logits))


@dataclass(frozen=True)
class FinalActivation:
    """An objective that is bounded as in training: minus the cross-entropy behind the final activation.

    Args:
        activation: `sigmoid`: minus the sum of the binary cross-entropies of all classes; `softmax`: minus the
            cross-entropy.
    """

    activation: Activation

    def __call__(self, scores: Tensor, tags: Tensor) -> Tensor:
        """Return the differentiable scalar of score maps (N, C, h, w) and float tags (N, C): a sum over images."""
        logits = gap(scores)
        if self.activation == "sigmoid":
            return -binary_cross_entropy_with_logits(logits, tags, reduction="sum")
        return -cross_entropy(logits, tags, reduction="sum")


def climb(
    classifier: Classifier,
    goal: Callable[[Tensor, Tensor], Tensor],
    pair: Tensor,
    tags: Tensor,
    partners: Iterable[PartnerTensors],
    *,
    updates: int,
    lr: float,
    look: Callable[[], None],
) -> None:
    """Follow an objective as RIB follows its own, at one scale and without rules that end it early.

    Args:
        classifier: As before on return.
        goal: The objective, see `Adapter`.
        pair: The image and its mirror image (2, 3, H, W), normalised.
        tags: (C,) float, the image's.
        partners: See `watch_adaptation`.
        updates: Number of updates.
        lr: Learning rate of the first one.
        look: Called before the first update and after each, while the classifier is adapted.
    """
    with borrowed(classifier):
        adapter = Adapter(classifier, goal, lr=lr, weight_decay=WEIGHT_DECAY, steps=updates + 1)
        features = adapter.features(pair)
        own_tags = tags.expand(len(pair), -1)
        for iteration, (images, partner_tags) in zip(range(updates + 1), partners, strict=True):
            learning = iteration < updates
            adapter.push(adapter.scores(features, learning=learning), own_tags)
            look()
            adapter.push_partners(images, partner_tags, learning=learning)
            if learning:
                adapter.update()
