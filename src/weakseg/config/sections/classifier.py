"""Settings of the stage `classify`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from weakseg.config.sections.training import AugmentConfig, OptimConfig

ClassifierName = Literal[
    "critter",
    "critter38",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "resnet18",
    "resnet38",
    "resnet50",
    "resnet101",
]


@dataclass(frozen=True)
class SEAMConfig:
    """SEAM's second view and its losses; used when `classifier.method` is `seam`. The defaults are the paper's.

    Args:
        shrink: Factor of the second view's size.
        hardest_share: Share of the values that count in the cross loss, the worst ones.
        lowest_share: Share of the positions whose strongest class the pooling loss pushes down.
        classification_weight: Weight of the classification loss; networks from random weights want more than 1.
    """

    shrink: float = 0.3
    hardest_share: float = 0.2
    lowest_share: float = 0.25
    classification_weight: float = 1.0


@dataclass(frozen=True)
class CDAConfig:
    """Context decoupling augmentation: objects pasted into images without their class. The defaults are as released.

    Args:
        masks: Run folder whose masks the objects are cut out by; null switches the augmentation off.
        area_share: Objects cover a share of their image within this range.
        max_per_class: At most so many objects of a class are kept, chosen at random.
        angle_degrees: Range of the rotation.
        side_share: Range of a pasted object's size, as a share of the host's height or width.
        blur_px: Softens the edges of pasted objects; standard deviation in pixels, 0 for hard edges.
        compat: `released` counts steps as the released code does, so that the second half of the training learns next
            to nothing; `none` decays the rate over all steps.
    """

    masks: str | None = None
    area_share: tuple[float, float] = (0.1, 0.7)
    max_per_class: int = 200
    angle_degrees: tuple[float, float] = (-90.0, 90.0)
    side_share: tuple[float, float] = (0.3, 0.7)
    blur_px: float = 0.0
    compat: Literal["none", "released"] = "none"


@dataclass(frozen=True)
class ClassifierConfig:
    """Stage `classify`: the multi-label classifier.

    Args:
        method: `plain`: trained on tags alone; `seam`: also on its maps being the same at another size. The seeds of a
            SEAM are its refined maps.
        name: Backbone. `resnet38` is that of AffinityNet and SEAM. Or a backbone of `transformers`: `hf:` and a
            repository of the Hugging Face hub, a folder or a config.json (docs/hf.md).
        weights: `imagenet`, `none`, a path to a checkpoint (torchvision's layout, or weakseg's safetensors), or
            `auto`: `imagenet` where they can be had, else `none` with a warning. For `hf:` backbones `pretrained`, the
            weights they come with, takes the place of `imagenet`.
        released: A released checkpoint, already trained, that takes the place of the training: IRN's or RIB's
            (`resnet50`), PSA's (`resnet38`) or SEAM's (`resnet38` with `seam`). `weights` and all settings of the
            training are then without effect. Null trains a classifier.
        freeze_trunk: Train only the layers above the trunk, with the trunk's output detached, as IRN does.
        fixed_norm: Keep batch norm on its running statistics while training, as IRN does.
        training_stride_px: Train at this stride instead of the one that scores images: 32, at which ImageNet's weights
            were learnt, takes half the time of an EfficientNet-Lite's 16 and learns weights that are as good at 16
            (docs/photographs.md). Only an EfficientNet-Lite without SEAM has the choice, 8, 16 or 32; for others
            it has no effect, and a line says so. Null for the one that scores.
        epochs: Passes over the training split.
        min_updates: Where images are few, as many passes more as make so many updates, at most five times `epochs`;
            null for none. Whoever says `epochs` on the command line or in Python switches it off.
        batch_size: Images per step over all processes together.
        augment: Random changes of the training images.
        optim: Optimiser and schedule.
        seam: Settings of the method `seam`.
        cda: Context decoupling augmentation, for every method.
    """

    method: Literal["plain", "seam"] = "plain"
    name: ClassifierName | str = "resnet50"
    weights: str = "imagenet"
    released: str | None = None
    freeze_trunk: bool = True
    fixed_norm: bool = True
    training_stride_px: int | None = None
    epochs: int = 5
    min_updates: int | None = None
    batch_size: int = 16
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    seam: SEAMConfig = field(default_factory=SEAMConfig)
    cda: CDAConfig = field(default_factory=CDAConfig)
