"""Training of SEAM (Wang et al., CVPR 2020): a classifier whose maps must shrink as its images do.

Every image passes through the network twice, as it is and shrunk. Both views learn to classify; their plain maps are
held equal (equivariant regularisation, ER), and the refined maps of each view are held to the plain ones of the other
(equivariant cross regularisation, ECR). `docs/seam.md` says what comes from the paper and what does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from weakseg.data.base import Dataset
from weakseg.data.crops import Batch
from weakseg.data.transforms import Augmentation
from weakseg.errors import ConfigError
from weakseg.models.seam import SEAM
from weakseg.ops.equivariance import (
    adaptive_min_pooling_loss,
    compete,
    cross_equivariance_loss,
    equivariance_loss,
    normalise_maps,
)
from weakseg.ops.losses import multilabel_soft_margin
from weakseg.ops.pooling import gap
from weakseg.train.cda import Pasting, train_on_tags
from weakseg.train.classify import watch_map
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import NO_HOOKS, TrainingHooks, TrainingPlan

SHRINK = 0.3
"""Factor of the second view's size (section 4.2 of the paper)."""

HARDEST_SHARE = 0.2
"""Share of the values that count in the cross loss, the worst ones (section 4.2 of the paper)."""

LOWEST_SHARE = 0.25
"""Share of the positions whose strongest class is pushed down, where it is weakest; not in the paper."""


@dataclass(frozen=True, eq=False)
class View:
    """What SEAM makes of one view of N images.

    Args:
        logits: (N, C).
        scores: (N, C, h, w) raw score maps of the classes at the network's stride.
        refined: (N, C + 1, h, w) refined maps, background first.
        size_hw: Height and width of the view in pixels.
    """

    logits: Tensor
    scores: Tensor
    refined: Tensor
    size_hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SEAMLosses:
    """The terms of a batch's loss, differentiable scalars.

    Args:
        classification: Multi-label soft-margin loss, mean of the two views.
        equivariance: Difference of the two views' plain maps (ER).
        cross: Difference of each view's refined maps from the other's plain ones, both added (ECR).
        pooling: Refined maps where they are weakest, mean of the two views.
    """

    classification: Tensor
    equivariance: Tensor
    cross: Tensor
    pooling: Tensor

    def total(self, *, classification_weight: float = 1.0) -> Tensor:
        """Return the sum of all terms, the classification weighted, the others not."""
        return classification_weight * self.classification + self.equivariance + self.cross + self.pooling


class Siamese(nn.Module):
    """SEAM on two views of the same images in one call, which is all that several processes may share a gradient of.

    Args:
        seam: The network; its parameters are this module's.
        shrink: Factor of the second view's size, above 0 and below 1.

    Raises:
        ConfigError: If the factor is not that.
    """

    def __init__(self, seam: SEAM, *, shrink: float) -> None:
        super().__init__()
        if not 0 < shrink < 1:
            raise ConfigError(f"shrink: the second view is smaller by a factor above 0 and below 1, got {shrink}")
        self.seam = seam
        self.shrink = shrink

    def forward(self, images: Tensor) -> tuple[View, View]:
        """Look at normalised images (N, 3, H, W) and at their shrunk copies (bilinear, corners aligned)."""
        small_hw = (max(1, int(images.shape[2] * self.shrink)), max(1, int(images.shape[3] * self.shrink)))
        return self._look(images), self._look(_resize(images, small_hw))

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return those of the network that learn at the base rate."""
        return self.seam.backbone_parameters()

    def head_parameters(self) -> list[nn.Parameter]:
        """Return those that learn faster: the 1x1 convolution's and the refinement's, which start at random."""
        return [*self.seam.head_parameters(), *self.seam.correlation.parameters()]

    def _look(self, images: Tensor) -> View:
        scores, refined = self.seam.strided_maps(images)
        size_hw = (images.shape[2], images.shape[3])
        return View(logits=gap(scores[:, 1:]), scores=scores[:, 1:], refined=refined, size_hw=size_hw)


def train_seam(
    seam: SEAM,
    train: Dataset,
    val: Dataset | None,
    *,
    augmentation: Augmentation,
    plan: TrainingPlan,
    seed: int,
    shrink: float = SHRINK,
    hardest_share: float = HARDEST_SHARE,
    lowest_share: float = LOWEST_SHARE,
    classification_weight: float = 1.0,
    max_side_px: int | None = None,
    pasting: Pasting | None = None,
    hooks: TrainingHooks = NO_HOOKS,
) -> tuple[EpochRecord, ...]:
    """Train a SEAM in place. An unknown tag is left out of the classification and else counts as absent.

    Args:
        seam: On its device.
        train: Images and tags to learn from.
        val: Images whose tags give the mean average precision after each epoch, or None.
        augmentation: Random changes of the training images.
        plan: How to train.
        seed: Seed of order and augmentation.
        shrink: Factor, above 0 and below 1, of the second view's size.
        hardest_share: Share of the values that count in the cross loss, see `cross_equivariance_loss`.
        lowest_share: Share of the positions that count in the pooling loss, see `adaptive_min_pooling_loss`.
        classification_weight: Factor, above 0, of the classification loss: 1 as released. Networks that start from
            random weights need more: without good maps to keep, they make ER small by making maps flat.
        max_side_px: Larger images of `val` are shrunk to this longer side; None for no limit.
        pasting: Donors of context decoupling (`weakseg.train.cda`), or None for plain images.
        hooks: Where to report to and go on from. The states are those of a `Siamese`, whose names begin with `seam.`.

    Returns:
        One record per epoch; the loss is `SEAMLosses.total()`, `metrics["map"]` the mean average precision on `val`,
        0..1.

    Raises:
        ConfigError: If `shrink`, a share or the weight is out of its range.
        TrainingDiverged: If the loss is not finite.
    """
    if not classification_weight > 0:
        raise ConfigError(f"classification_weight: expected a factor above 0, got {classification_weight}")
    return train_on_tags(
        Siamese(seam, shrink=shrink),  # type: ignore[arg-type]
        train,
        plan,
        augmentation=augmentation,
        seed=seed,
        pasting=pasting,
        loss=partial(
            seam_loss,
            hardest_share=hardest_share,
            lowest_share=lowest_share,
            classification_weight=classification_weight,
        ),
        validate=watch_map(seam, val, workers=plan.workers, max_side_px=max_side_px),
        hooks=hooks,
    )


def seam_loss(
    model: nn.Module,
    batch: Batch,
    *,
    hardest_share: float = HARDEST_SHARE,
    lowest_share: float = LOWEST_SHARE,
    classification_weight: float = 1.0,
) -> Tensor:
    """Return the scalar loss of a batch.

    Args:
        model: A `Siamese`, perhaps wrapped.
        batch: Crops and tags.
        hardest_share: See `cross_equivariance_loss`.
        lowest_share: See `adaptive_min_pooling_loss`.
        classification_weight: Factor of the classification loss.
    """
    whole, small = model(batch.images)
    losses = compare_views(
        whole, small, batch.tags, batch.known, hardest_share=hardest_share, lowest_share=lowest_share
    )
    return losses.total(classification_weight=classification_weight)


def compare_views(
    whole: View,
    small: View,
    tags: Tensor,
    known: Tensor,
    *,
    hardest_share: float = HARDEST_SHARE,
    lowest_share: float = LOWEST_SHARE,
) -> SEAMLosses:
    """Compute the losses of two views of the same images.

    Maps are normalised, brought to the size of the small view in pixels (bilinear, corners aligned), and those of
    classes without a tag set to 0.

    Args:
        whole: The images as they are.
        small: The images shrunk.
        tags: (N, C) of 0 and 1, float.
        known: (N, C) bool, False where the tag counts for nothing in the classification.
        hardest_share: See `cross_equivariance_loss`.
        lowest_share: See `adaptive_min_pooling_loss`.
    """
    own = tags[:, :, None, None]
    own_labels = torch.cat((torch.ones_like(own[:, :1]), own), dim=1)  # every image has a background
    plain = [_resize(normalise_maps(view.scores), small.size_hw) * own for view in (whole, small)]
    refined = [_resize(normalise_maps(view.refined), small.size_hw) * own_labels for view in (whole, small)]
    targets = [compete(maps.detach()) for maps in plain]
    classification = [multilabel_soft_margin(view.logits, tags, known) for view in (whole, small)]
    pooling = [
        adaptive_min_pooling_loss(view.refined[:, 1:] * own, lowest_share=lowest_share) for view in (whole, small)
    ]
    return SEAMLosses(
        classification=(classification[0] + classification[1]) / 2,
        equivariance=equivariance_loss(plain[0], plain[1]),
        cross=cross_equivariance_loss(refined[0], targets[1], hardest_share=hardest_share)
        + cross_equivariance_loss(refined[1], targets[0], hardest_share=hardest_share),
        pooling=(pooling[0] + pooling[1]) / 2,
    )


def _resize(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return nn.functional.interpolate(maps, size_hw, mode="bilinear", align_corners=True)
