"""AffinityNet: features whose distance tells whether close pixels belong together (Ahn and Kwak, CVPR 2018, sec. 3.2).

The affinity of two cells is exp(-mean |difference of their features|) (`weakseg.ops.affinity.feature_affinity`); class
evidence walks along it (`weakseg.ops.walk.affinity_walk`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.models.backbone import NetworkOnBackbone
from weakseg.models.backbones import LEVELLED_NAMES, build_levelled
from weakseg.models.efficientnet_lite import EfficientNetLite
from weakseg.models.resnet38 import ResNet38

AFFINITYNET_NAMES: tuple[str, ...] = LEVELLED_NAMES
"""Names `build_affinitynet` knows."""


@dataclass(frozen=True)
class AffinityWidths:
    """Channels that the backbone's three features are reduced to; the defaults are the released ones."""

    conv4: int = 64
    conv5: int = 128
    conv6: int = 256


NARROW_WIDTHS = AffinityWidths(conv4=16, conv5=32, conv6=48)
"""For `critter38`."""


class AffinityNet(NetworkOnBackbone):
    """A backbone and four 1x1 convolutions: three reduce its features of three depths, the fourth mixes them.

    Each convolution has no bias and is followed by an ELU, as recorded outputs of the released network tell. The state
    dict holds `backbone.*`, `reduce_conv4.weight`, `reduce_conv5.weight`, `reduce_conv6.weight` and `mix.weight`.

    Args:
        backbone: The network below.
        widths: Channels of the reduced features.
        freeze_trunk: Leave the backbone's trunk as it is, see `NetworkOnBackbone`.
        generator: Source of the random weights of the four convolutions (He-normal); torch's global one if None.

    Attributes:
        stride: 8, the ratio of the image's size to the features'.
        out_channels: Channels D of the features, the sum of the widths: 448 as released.
    """

    backbone: ResNet38 | EfficientNetLite

    def __init__(
        self,
        backbone: ResNet38 | EfficientNetLite,
        *,
        widths: AffinityWidths = AffinityWidths(),
        freeze_trunk: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(backbone, freeze_trunk=freeze_trunk)
        self.out_channels = widths.conv4 + widths.conv5 + widths.conv6
        self.reduce_conv4 = nn.Conv2d(backbone.channels.conv4, widths.conv4, 1, bias=False)
        self.reduce_conv5 = nn.Conv2d(backbone.channels.conv5, widths.conv5, 1, bias=False)
        self.reduce_conv6 = nn.Conv2d(backbone.channels.conv6, widths.conv6, 1, bias=False)
        self.mix = nn.Conv2d(self.out_channels, self.out_channels, 1, bias=False)
        for parameter in self.head_parameters():
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into features (N, D, ceil(H / 8), ceil(W / 8)), none below -1."""
        levels = self.backbone.levels(self.trunk(x))
        reduced = (
            self.reduce_conv4(levels.conv4),
            self.reduce_conv5(levels.conv5),
            self.reduce_conv6(levels.conv6),
        )
        joined = torch.cat([nn.functional.elu(features) for features in reduced], dim=1)
        return nn.functional.elu(self.mix(joined))

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the four 1x1 convolutions, which begin at random."""
        convolutions = (self.reduce_conv4, self.reduce_conv5, self.reduce_conv6, self.mix)
        return [parameter for convolution in convolutions for parameter in convolution.parameters()]


def build_affinitynet(
    name: str, *, freeze_trunk: bool, fixed_norm: bool, generator: torch.Generator | None = None
) -> AffinityNet:
    """Build an AffinityNet with random weights, in training mode.

    Fill `backbone` with trained weights before use, see `weakseg.models.weights.load_backbone`.

    Args:
        name: Backbone, one of `AFFINITYNET_NAMES`; `resnet38` is the released one. `critter38` has narrow features.
        freeze_trunk: Train only the backbone's tail and the four 1x1 convolutions.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
    """
    backbone = build_levelled(name, dense=True, fixed_norm=fixed_norm, generator=generator)
    widths = NARROW_WIDTHS if name == "critter38" else AffinityWidths()
    return AffinityNet(backbone, widths=widths, freeze_trunk=freeze_trunk, generator=generator)
