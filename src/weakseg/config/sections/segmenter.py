"""Settings of the stage `segment`."""

from __future__ import annotations

from dataclasses import dataclass, field

from weakseg.config.sections.training import AugmentConfig, BackboneName, OptimConfig


@dataclass(frozen=True)
class SegmenterConfig:
    """Stage `segment`: the segmentation network trained on the pseudo masks.

    Args:
        name: Backbone of the DeepLab-v2 network.
        weights: As for the classifier; or `classifier`: the backbone of the run's own classifier.
        aspp_rates: Dilations of the parallel 3x3 convolutions that predict the labels.
        fixed_norm: Keep batch norm on its running statistics while training.
        epochs: Passes over the training split.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images; masks follow.
        optim: Optimiser and schedule.
    """

    name: BackboneName = "resnet101"
    weights: str = "imagenet"
    aspp_rates: tuple[int, ...] = (6, 12, 18, 24)
    fixed_norm: bool = True
    epochs: int = 30
    batch_size: int = 10
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
