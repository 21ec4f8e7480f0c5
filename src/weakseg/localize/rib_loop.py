"""RIB: adapt a classifier to one image, by which its maps spread from what tells a class apart to the whole object.

From Lee et al., "Reducing Information Bottleneck for Weakly Supervised Semantic Segmentation" (NeurIPS 2021). The
logits of the image's own classes, pooled so that the strongest positions do not count (`weakseg.ops.pooling.gndrp`),
are pushed up without the bound that a sigmoid sets; random images of other classes are pushed along, so that the
classifier does not forget them. The maps of all iterations are summed. `docs/rib.md` tells the loop step by step, with
what the released code does and the paper does not say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError
from weakseg.localize.adaptation import Adapter, Goal, PartnerBatch, Pooling, borrowed, next_partners
from weakseg.localize.score_maps import CAM_SCALES, flip_pair, merge_flip_pair, tagged_classes, zero_maps
from weakseg.models.classifier import Classifier
from weakseg.ops.images import normalise, require_image, resize_image, scaled_size_hw
from weakseg.spelling import require_option
from weakseg.types import NORMALISATION_EPS, ScoreMaps

Variant = Literal["released", "paper"]
"""Whose form of the loss and of the stop rules."""

StopReason = Literal["completed", "logit", "area", "diverged"]
"""Why an adaptation ended."""

AREA_SCALE = 1.0
"""The scale at which covered positions are counted. It is run first."""

MIN_LOSS_SCALE = 1.0
"""Smaller scales give maps but take no part in the loss; of the released scales that is 0.5."""


@dataclass(frozen=True, eq=False)
class RIBResult:
    """What an adaptation gives.

    Args:
        maps: Score maps of the image's own classes at every scale, summed over the iterations.
        iterations: Iterations whose maps are in the sum; one cut short by the area rule counts.
        losses: Loss of each whole iteration: minus the sum of the logits that are pushed up.
        target_losses: The image's own share in that sum, without the minus, as the released code reports it.
        stopped_by: `completed`: all iterations were run; `logit`, `area`: that rule ended it; `diverged`: a map or
            the loss was not finite, and what was collected until then is returned.
    """

    maps: ScoreMaps
    iterations: int
    losses: tuple[float, ...]
    target_losses: tuple[float, ...]
    stopped_by: StopReason


def adapt(
    classifier: Classifier,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    partners: Iterable[PartnerBatch],
    *,
    iterations: int = 10,
    lr: float = 8e-6,
    weight_decay: float = 1e-4,
    threshold: float = 0.4,
    logit_stop: float = 600.0,
    area_threshold: float = 0.3,
    area_ratio: float = 0.7,
    scales: Sequence[float] = CAM_SCALES,
    mirror: bool = True,
    variant: Variant = "released",
    pooling: Pooling = "gndrp",
    first_classes: int | None = None,
    max_partners_at_once: int | None = None,
    autocast: bool = False,
    channels_last: bool = False,
    loss_stride_px: int | None = None,
    after_iteration: Callable[[ScoreMaps], None] | None = None,
) -> RIBResult:
    """Adapt a classifier to one image, sum its maps on the way, and undo the adaptation.

    The layers above the trunk learn, also in a classifier whose trunk was not frozen in training; batch norm uses its
    running statistics. The defaults are the released settings for VOC.

    Args:
        classifier: Its parameters, gradients and modes are as before on return, also after an error. Everything is
            computed on its device.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        partners: One batch per iteration, asked for when its turn comes: images (B, 3, S, S) of other classes, float,
            normalised, and their tags (B, C) of 0 and 1. B may be 0 and may differ between batches.
        iterations: Number of maps that are summed; between each two lies an update.
        lr: Learning rate of the first update, 10 times as high in the 1x1 convolution; it decays by
            (1 - step / iterations)^0.9.
        weight_decay: L2 penalty, and momentum as well, since the released code passes it on as both.
        threshold: Share of a map's maximum from which on GNDRP leaves a position out.
        logit_stop: `released`: the adaptation ends once the image's own logits, summed over classes, scales and
            mirror images, exceed this in magnitude. `paper`: the margin m in `min(m, logit)`; it ends nothing.
        area_threshold: A position is covered where one of the image's own maps of the present iteration at scale 1,
            divided by (its maximum + 1e-5), exceeds this.
        area_ratio: From the second iteration on, the adaptation ends once the covered share exceeds this; the maps of
            scale 1 are then in the sum, those of the other scales are not. A ratio of 1 or more switches this off.
        scales: Factors the image is resized by (bicubic); 1 must be among them.
        mirror: Let the mirror image take part, in loss and maps, as released. Without it an adaptation takes about half
            the time, and the logits that `logit_stop` counts are half as many.
        variant: `released`: GNDRP divides by all positions. `paper`: by those that count. See also `logit_stop`.
        pooling: `gndrp`, or `gap`, with which all positions count.
        first_classes: Apply GNDRP to this many classes only: 20 for the released behaviour, None for all.
        max_partners_at_once: Largest number of partners that pass through the network together; less needs less
            memory, and changes gradients by no more than rounding. None for the whole batch.
        autocast: Compute convolutions in bfloat16, by `torch.autocast`.
        channels_last: Lay images out channels-last, which many devices convolve faster.
        loss_stride_px: Learn from maps of this stride, which is cheaper where it is coarser than the classifier's; the
            maps that are summed keep theirs. None, as released, learns from those. `logit_stop` counts the loss's
            logits.
        after_iteration: Receives the sum so far after every iteration whose maps are in it. It is there anyway, so
            that one adaptation shows every smaller number of iterations, though at the learning rates of this one.
            The classifier is still adapted then.

    Returns:
        The summed maps, float32 on the classifier's device, and how the adaptation went. An image without tags costs
        no network pass, asks for no partners, and gives maps with K = 0 after 0 iterations.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, a scale is not above 0, or
            the partners are not such batches or too few.
        ConfigError: If an option is unknown, scale 1 is missing, a number is below 1 that cannot be, or the classifier
            has no such stride.
    """
    require_image(image)
    require_option(variant, ("released", "paper"), what="variant")
    require_option(pooling, ("gndrp", "gap"), what="pooling")
    scales = tuple(float(scale) for scale in scales)  # NumPy's numbers would make NumPy's booleans, which torch refuses
    if AREA_SCALE not in scales:
        raise ConfigError(f"scales: RIB needs 1 among them, got {tuple(scales)}")
    if iterations < 1:
        raise ConfigError(f"iterations: an adaptation has at least 1, got {iterations}")
    if max_partners_at_once is not None and max_partners_at_once < 1:
        raise ConfigError(f"max_partners_at_once: expected 1 or more, or None for all, got {max_partners_at_once}")
    released = variant == "released"
    rules = _Rules(
        iterations=iterations,
        logit_stop=logit_stop if released else math.inf,
        area_threshold=area_threshold,
        area_ratio=area_ratio,
    )
    goal = Goal(
        pooling=pooling,
        threshold=threshold,
        average_over="all" if released else "kept",
        first_classes=first_classes,
        margin=math.inf if released else logit_stop,
    )
    size_hw = (image.shape[0], image.shape[1])
    keys = tagged_classes(tags, num_classes=classifier.num_classes)
    device = classifier.classifier.weight.device
    empty = zero_maps(keys, size_hw, scales=scales, stride_px=classifier.stride, device=device)
    record = _Record(empty, after_iteration)
    if not keys:
        return record.result("completed")
    with borrowed(classifier):
        adapter = Adapter(
            classifier,
            goal,
            lr=lr,
            weight_decay=weight_decay,
            steps=iterations,
            max_partners_at_once=max_partners_at_once,
            autocast=autocast,
            channels_last=channels_last,
            loss_stride_px=loss_stride_px,
        )
        views = [(scale, adapter.features(_view(image, scale, mirror=mirror))) for scale in scales]
        stopped_by = _iterate(adapter, views, iter(partners), rules, record)
    return record.result(stopped_by)


@dataclass(frozen=True)
class _Rules:
    """When an adaptation ends; see `adapt`."""

    iterations: int
    logit_stop: float
    area_threshold: float
    area_ratio: float

    def is_covered(self, maps: Tensor) -> bool:
        """Say whether maps (K, h, w) of one iteration at scale 1 cover a larger share of positions than they may."""
        normalised = maps / (maps.amax(dim=(1, 2), keepdim=True) + NORMALISATION_EPS)
        return bool((normalised > self.area_threshold).any(dim=0).float().mean() > self.area_ratio)


class _Record:
    """What an adaptation has collected so far."""

    def __init__(self, empty: ScoreMaps, after_iteration: Callable[[ScoreMaps], None] | None) -> None:
        self.maps = empty
        self._after_iteration = after_iteration
        self._iterations = 0
        self._losses: list[float] = []
        self._target_losses: list[float] = []

    def add_maps(self, by_scale: Mapping[int, Tensor]) -> None:
        """Add one iteration's maps; scales it did not come to are missing."""
        # Out of place, so that what `after_iteration` was given before stays as it was.
        sums = tuple(total + by_scale[i] if i in by_scale else total for i, total in enumerate(self.maps.scales))
        self.maps = replace(self.maps, scales=sums)
        self._iterations += 1
        if self._after_iteration is not None:
            self._after_iteration(self.maps)

    def add_loss(self, loss: float, target_loss: float) -> None:
        """Add one whole iteration's loss and the image's share in it."""
        self._losses.append(loss)
        self._target_losses.append(target_loss)

    def result(self, stopped_by: StopReason) -> RIBResult:
        """Return all of it."""
        return RIBResult(
            maps=self.maps,
            iterations=self._iterations,
            losses=tuple(self._losses),
            target_losses=tuple(self._target_losses),
            stopped_by=stopped_by,
        )


def _iterate(
    adapter: Adapter,
    views: Sequence[tuple[float, Tensor]],
    batches: Iterator[PartnerBatch],
    rules: _Rules,
    record: _Record,
) -> StopReason:
    """Run the iterations of one image, collect what they give, and say why they ended.

    Args:
        adapter: The network.
        views: Every scale and what the trunk makes of the image there, with its mirror image or alone, (2 or 1, D, h',
            w').
        batches: The partners.
        rules: When to stop.
        record: Receives maps and losses.
    """
    keys = list(record.maps.keys)
    own_tags = torch.zeros(len(views[0][1]), adapter.num_classes, device=adapter.device)
    own_tags[:, keys] = 1
    area_first = sorted(range(len(views)), key=lambda index: views[index][0] != AREA_SCALE)
    for iteration in range(rules.iterations):
        # The released code makes one more update, which no maps see.
        learning = iteration + 1 < rules.iterations
        maps: dict[int, Tensor] = {}
        target = torch.zeros((), device=adapter.device)
        for index in area_first:
            scale, features = views[index]
            in_loss = scale >= MIN_LOSS_SCALE
            scores = adapter.scores(features, learning=learning and in_loss)
            own = scores.detach()[:, keys]
            maps[index] = merge_flip_pair(own) if len(own) > 1 else own[0].relu()
            if scale == AREA_SCALE and iteration > 0 and rules.is_covered(maps[index]):
                record.add_maps(maps)
                return "area"
            if in_loss:
                target += adapter.push(adapter.loss_scores(features, scores, learning=learning), own_tags)
        if not all(bool(part.isfinite().all()) for part in maps.values()):
            return "diverged"
        record.add_maps(maps)
        images, tags = next_partners(batches, iteration, num_classes=adapter.num_classes)
        partners = adapter.push_partners(images, tags, learning=learning)
        target_loss, loss = float(target), -float(target + partners)
        if not math.isfinite(loss):
            return "diverged"
        record.add_loss(loss, target_loss)
        if not learning:
            break
        if abs(target_loss) > rules.logit_stop:
            return "logit"  # the released code checks after the update, which no maps see either
        adapter.update()
    return "completed"


def _view(image: NDArray[np.uint8], scale: float, *, mirror: bool) -> Tensor:
    """Return an image at a scale, normalised (1, 3, H', W'), with its mirror image (2, 3, H', W') if wanted."""
    view = normalise(resize_image(image, scaled_size_hw((image.shape[0], image.shape[1]), scale)))
    return flip_pair(view) if mirror else view[None]
