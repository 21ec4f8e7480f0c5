"""SEAM's network: a classifier, as released on ResNet-38, and the module that refines its maps.

Wang et al., CVPR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from weakseg.models.backbones import LEVELLED_NAMES, build_levelled
from weakseg.models.classifier import Classifier
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.pixel_correlation import RELEASED_WIDTHS, CorrelationWidths, PixelCorrelation
from weakseg.models.resnet38 import ResNet38

SEAM_NAMES: tuple[str, ...] = LEVELLED_NAMES
"""Names `build_seam` knows."""

NARROW_WIDTHS = CorrelationWidths(conv4=16, conv5=32, embedding=48)
"""For `critter38`, whose stages 4 and 5 have 64 and 96 channels."""


class SEAM(Classifier):
    """A classifier whose score maps can be refined by pixel correlation.

    As a `Classifier` it scores, pools and is adapted by RIB; the refinement takes no part in that. The state dict holds
    `backbone.*`, `classifier.weight`, `correlation.*` and `background_weight`.

    Args:
        backbone: The network below.
        num_classes: Number of classes C, background not counted.
        freeze_trunk: See `Classifier`.
        widths: Channels of the refinement.
        generator: Source of the random weights above the backbone; torch's global one if None.

    Attributes:
        correlation: What refines the maps; its parameters are in no group of `Classifier`'s, see
            `weakseg.train.seam.Siamese`.
        background_weight: (1, D, 1, 1) buffer that gives the background's own score map. The released network has it,
            but neither a loss nor the refinement reads it: it never learns, and is 0 unless loaded.

    Raises:
        ShapeError: If `num_classes` is not in 1..254.
    """

    backbone: ResNet38 | EfficientNetLite
    background_weight: Tensor

    def __init__(
        self,
        backbone: ResNet38 | EfficientNetLite,
        *,
        num_classes: int,
        freeze_trunk: bool,
        widths: CorrelationWidths = RELEASED_WIDTHS,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(backbone, num_classes=num_classes, freeze_trunk=freeze_trunk, generator=generator)
        channels = backbone.channels
        self.correlation = PixelCorrelation(channels.conv4, channels.conv5, widths=widths, generator=generator)
        self.register_buffer("background_weight", torch.zeros(1, backbone.out_channels, 1, 1))

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Score images and refine the scores.

        Args:
            x: (N, 3, H, W) float32 images, normalised as `weakseg.ops.images.normalise` does; not modified.

        Returns:
            Raw score maps and refined maps in 0..1, both (N, C + 1, H, W), background first; `strided_maps` enlarged to
            the images bilinearly, corners aligned, as the released network does. The raw background's own map means
            nothing (see `background_weight`); that of the refined maps comes from 1 - the strongest class.

        Raises:
            ShapeError: If the images are not (N, 3, H, W) float.
        """
        scores, refined = self.strided_maps(x)  # refuses what is no batch of images
        size_hw = (x.shape[2], x.shape[3])
        enlarged = [
            nn.functional.interpolate(maps, size_hw, mode="bilinear", align_corners=True) for maps in (scores, refined)
        ]
        return enlarged[0], enlarged[1]

    def strided_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Score images and refine the scores, at the network's stride.

        Args:
            x: See `maps`.

        Returns:
            Raw score maps and refined maps in 0..1, both (N, C + 1, h, w), background first. Without the background
            the raw ones are `head(trunk(x))`. No gradient leads from the refined maps back to the scores.

        Raises:
            ShapeError: If the images are not (N, 3, H, W) float.
        """
        levels = self.backbone.levels(self.trunk(x))
        dropout = getattr(self.backbone, "dropout", None)  # a ResNet-38 has one behind its last level
        features = levels.conv6 if dropout is None else dropout(levels.conv6)
        scores = self.classifier(features)
        background = nn.functional.conv2d(features.detach(), self.background_weight)
        refined = self.correlation(scores, x, levels.conv4, levels.conv5)
        return torch.cat((background, scores), dim=1), refined


def build_seam(
    name: str,
    *,
    num_classes: int,
    freeze_trunk: bool,
    fixed_norm: bool,
    generator: torch.Generator | None = None,
) -> SEAM:
    """Build a SEAM with random weights, in training mode.

    Args:
        name: Backbone, one of `SEAM_NAMES`; `resnet38` is the released one. `critter38` has a narrow refinement.
        num_classes: Number of classes C, background not counted.
        freeze_trunk: Train only the backbone's tail and what is above it.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
        ShapeError: If `num_classes` is not in 1..254.
    """
    backbone = build_levelled(name, fixed_norm=fixed_norm, generator=generator)
    widths = NARROW_WIDTHS if name == "critter38" else RELEASED_WIDTHS
    return SEAM(backbone, num_classes=num_classes, freeze_trunk=freeze_trunk, widths=widths, generator=generator)
