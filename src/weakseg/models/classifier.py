"""The multi-label classifier: a backbone and a bias-free 1x1 convolution whose output maps are the class evidence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakseg.errors import ShapeError
from weakseg.models.backbone import Backbone, NetworkOnBackbone
from weakseg.models.backbones import STAGED_NAMES, build_levelled, build_staged
from weakseg.models.efficientnet_lite import LITE_NAMES, build_efficientnet_lite
from weakseg.models.registered import registered_names
from weakseg.models.resnet38 import RESNET38_NAMES
from weakseg.spelling import require_option
from weakseg.types import MAX_CLASSES

CLASSIFIER_NAMES: tuple[str, ...] = (*STAGED_NAMES, *RESNET38_NAMES)
"""Names `build_classifier` knows."""

HEAD_INIT_STD = 0.01
"""Standard deviation of the fresh 1x1 convolution: all logits start near 0, that is all probabilities near 0.5."""


class Classifier(NetworkOnBackbone):
    """A classifier whose logits are the global averages of its score maps.

    `classifier(x)` equals `gap(head(trunk(x)))`; since pooling and the 1x1 convolution commute, this is the released
    IRN network, and its class activation maps are `head(trunk(x))` itself. The state dict holds `backbone.*` and
    `classifier.weight` and nothing else.

    Args:
        backbone: The network below the 1x1 convolution.
        num_classes: Number of classes C, background not counted.
        freeze_trunk: Leave the backbone's trunk as it is: it gets no gradient, its batch norms stay on their running
            statistics, and `trunk` returns a tensor without history. The trunk is the stem, `layer1` and `layer2` of a
            ResNet (IRN and RIB train this way), the first convolution and stage 2 of a ResNet-38, the stem and three
            groups of an EfficientNet-Lite.
        generator: Source of the random weights of the 1x1 convolution; torch's global one if None.

    Attributes:
        num_classes: Number of classes C.
        stride: Ratio of the input's size to the score maps'.

    Raises:
        ShapeError: If `num_classes` is not in 1..254.
    """

    def __init__(
        self, backbone: Backbone, *, num_classes: int, freeze_trunk: bool, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(backbone, freeze_trunk=freeze_trunk)
        if not 1 <= num_classes <= MAX_CLASSES:
            raise ShapeError(f"a classifier has 1 to {MAX_CLASSES} classes, got {num_classes}")
        self.classifier = nn.Conv2d(backbone.out_channels, num_classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=HEAD_INIT_STD, generator=generator)
        self.num_classes = num_classes

    def head(self, features: Tensor) -> Tensor:
        """Turn the trunk's features into score maps (N, C, h, w) at `stride`: raw, neither pooled nor rectified."""
        scores: Tensor = self.classifier(self.backbone.tail(features))
        return scores

    def at_stride(self, stride_px: int) -> Classifier:
        """Return the same classifier with another stride: both share all tensors, modes are those of this one now.

        Raises:
            ConfigError: If its backbone has no such stride.
        """
        backbone = self.backbone.at_stride(stride_px)
        with torch.device("meta"):  # neither weights of its own nor a draw
            other = Classifier(backbone, num_classes=self.num_classes, freeze_trunk=self.freeze_trunk)
        other.classifier = self.classifier
        return other.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, C) of normalised images (N, 3, H, W)."""
        return self.head(self.trunk(x)).mean(dim=(2, 3))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the 1x1 convolution, which the released codes train 10 times faster."""
        return list(self.classifier.parameters())


def build_classifier(
    name: str,
    *,
    num_classes: int,
    freeze_trunk: bool,
    fixed_norm: bool,
    stride_px: int | None = None,
    generator: torch.Generator | None = None,
) -> Classifier:
    """Build a classifier with random weights, in training mode.

    Args:
        name: One of `CLASSIFIER_NAMES`. `efficientnet_lite0`, `1` and `2`, `resnet18`, `resnet50` (IRN's network) and
            `resnet101` score at stride 16; `resnet38` (AffinityNet's and SEAM's network), `critter` and `critter38` at
            stride 8.
        num_classes: Number of classes C, background not counted.
        freeze_trunk: Train only the backbone's tail and the 1x1 convolution.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        stride_px: Pixels per position of the maps: 8, 16 or 32 for an EfficientNet-Lite, whose weights fit all of them;
            None for the stride above.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown, or the network has no such stride.
        ShapeError: If `num_classes` is not in 1..254.
    """
    if stride_px is not None:
        require_option(name, LITE_NAMES, what="backbone with a choice of strides")
        lite = build_efficientnet_lite(name, stride=stride_px, fixed_norm=fixed_norm, generator=generator)
        return Classifier(lite, num_classes=num_classes, freeze_trunk=freeze_trunk, generator=generator)
    staged, levelled = registered_names(stages=True), registered_names(levels=True)
    require_option(name, (*CLASSIFIER_NAMES, *staged, *levelled), what="backbone")
    build = build_levelled if name in RESNET38_NAMES or name in set(levelled) - set(staged) else build_staged
    backbone = build(name, fixed_norm=fixed_norm, generator=generator)
    return Classifier(backbone, num_classes=num_classes, freeze_trunk=freeze_trunk, generator=generator)
