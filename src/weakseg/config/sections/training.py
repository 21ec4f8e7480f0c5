"""Settings that every training has: backbone, augmentation and optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from weakseg.config.bounds import NOT_NEGATIVE, SHARE, SIDE_PX, Range, setting

BackboneName = Literal[
    "critter", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "resnet18", "resnet50", "resnet101"
]
"""For help texts: those of ours that show their stages."""
LevelledName = Literal["critter38", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "resnet38"]
"""For help texts: those of ours that show features of three depths. Which may be used, the registry knows."""
OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["poly", "one_cycle"]


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training image.

    Args:
        long_side_px: Range of the length the longer side is resized to.
        crop_px: Side of the square crop; smaller images are padded.
        flip: Whether to mirror left-right with probability one half.
        colour: Strength of random contrast and tint, 0 for none. The released codes use none.
    """

    long_side_px: tuple[int, int] = setting((320, 640), SIDE_PX, ascending=True)
    crop_px: int = setting(512, SIDE_PX)
    flip: bool = True
    colour: float = setting(0.0, SHARE)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and its schedule.

    Args:
        optimizer: `sgd`, stochastic gradient descent; or `adamw`, which transformers are usually trained with.
        schedule: `poly` decays by (1 - step / steps)^power as the released codes do; `one_cycle` is for training
            from random weights.
        learning_rate: Base rate; the peak for `one_cycle`.
        head_multiplier: The classifier layer learns this many times faster than the backbone.
        momentum: Momentum of `sgd`; `adamw` has no use for it. The released codes pass their weight decay
            here by mistake, hence 1e-4.
        weight_decay: L2 penalty; with `adamw` the share, times the rate, that a step takes off every parameter.
        power: Exponent of the polynomial decay.
        warmup_share: Share of the steps in which `one_cycle` rises.
        max_gradient_norm: Gradients with a larger L2 norm, over all parameters together, are scaled down to it; null
            for no limit. A training whose gradients explode forgets all it knew. The released codes have no limit.
    """

    optimizer: OptimizerName = "sgd"
    schedule: ScheduleName = "poly"
    learning_rate: float = setting(0.1, NOT_NEGATIVE)
    head_multiplier: float = setting(10.0, NOT_NEGATIVE)
    momentum: float = setting(1e-4, Range(0, 0.9999))
    weight_decay: float = setting(1e-4, NOT_NEGATIVE)
    power: float = setting(0.9, NOT_NEGATIVE)
    warmup_share: float = setting(0.25, SHARE)
    max_gradient_norm: float | None = setting(None, Range(1e-3))


class TrainingSettings(Protocol):
    """The settings that every network of a refiner has, whatever it learns."""

    @property
    def name(self) -> str:
        """Backbone."""
        ...

    @property
    def weights(self) -> str:
        """Where its first weights come from."""
        ...

    @property
    def released(self) -> str | None:
        """A released checkpoint that takes the place of the training."""
        ...

    @property
    def epochs(self) -> int:
        """Passes over the training split."""
        ...

    @property
    def batch_size(self) -> int:
        """Images per step over all processes together."""
        ...

    @property
    def augment(self) -> AugmentConfig:
        """Random changes of the training images."""
        ...

    @property
    def optim(self) -> OptimConfig:
        """Optimiser and schedule."""
        ...
