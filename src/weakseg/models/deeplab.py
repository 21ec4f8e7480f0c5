"""The segmentation network of DeepLab-v2 (Chen et al., TPAMI 2018): a dilated ResNet under dilated convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.resnet import BACKBONE_NAMES, ResNet, build_backbone
from weakseg.types import MAX_CLASSES

SEGMENTER_NAMES: tuple[str, ...] = BACKBONE_NAMES
"""Names `build_segmenter` knows."""

HEAD_INIT_STD = 0.01
"""Standard deviation of the fresh ASPP convolutions; their biases start at 0."""


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLab-v2: the sum of 3x3 convolutions that differ in dilation.

    Args:
        in_channels: Channels D of the features.
        out_channels: Channels L of the result.
        rates: Dilation of each convolution; the paper's are 6, 12, 18, 24 at stride 8.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If there is no rate or one below 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, rates: Sequence[int], generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not rates or min(rates) < 1:
            raise ConfigError(f"aspp_rates: expected one or more dilations of at least 1, got {tuple(rates)}")
        branches = [nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate) for rate in rates]
        for branch in branches:
            nn.init.normal_(branch.weight, std=HEAD_INIT_STD, generator=generator)
            assert branch.bias is not None
            nn.init.zeros_(branch.bias)
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (N, D, h, w) into the sum of the branches (N, L, h, w)."""
        first, *others = self.branches
        total: Tensor = first(features)
        for branch in others:
            total = total + branch(features)
        return total


class Segmenter(nn.Module):
    """Backbone and ASPP; the state dict holds `backbone.*` and `aspp.branches.*`.

    Args:
        backbone: A network at stride 8, see `build_backbone(..., dense=True)`.
        num_labels: Number of labels L, background included.
        aspp_rates: Dilations of the parallel convolutions.
        generator: Source of the random weights of the convolutions; torch's global one if None.

    Attributes:
        num_labels: Number of labels L.
        stride: Ratio of the input's size to the logits'.

    Raises:
        ShapeError: If `num_labels` is not in 2..255.
        ConfigError: If a rate is below 1.
    """

    def __init__(
        self,
        backbone: ResNet,
        *,
        num_labels: int,
        aspp_rates: Sequence[int],
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 2 <= num_labels <= MAX_CLASSES + 1:
            raise ShapeError(f"a segmenter has 2 to {MAX_CLASSES + 1} labels with the background, got {num_labels}")
        self.backbone = backbone
        self.aspp = ASPP(backbone.out_channels, num_labels, rates=aspp_rates, generator=generator)
        self.num_labels = num_labels
        self.stride = backbone.stride

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into logits (N, L, ceil(H / stride), ceil(W / stride))."""
        logits: Tensor = self.aspp(self.backbone(x))
        return logits

    def predict_logits(self, x: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Return the logits (N, L, *size_hw) of normalised images, upsampled bilinearly (`align_corners=False`)."""
        return nn.functional.interpolate(self(x), size_hw, mode="bilinear", align_corners=False)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters."""
        return list(self.backbone.parameters())

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the ASPP convolutions, which DeepLab-v2 trains 10 times faster."""
        return list(self.aspp.parameters())


def build_segmenter(
    name: str,
    *,
    num_labels: int,
    aspp_rates: Sequence[int],
    fixed_norm: bool,
    generator: torch.Generator | None = None,
) -> Segmenter:
    """Build a segmentation network with random weights, in training mode, with logits at stride 8.

    Args:
        name: Backbone, one of `SEGMENTER_NAMES`.
        num_labels: Number of labels L, background included.
        aspp_rates: Dilations of the parallel convolutions.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown or a rate is below 1.
        ShapeError: If `num_labels` is not in 2..255.
    """
    backbone = build_backbone(name, dense=True, fixed_norm=fixed_norm, generator=generator)
    return Segmenter(backbone, num_labels=num_labels, aspp_rates=aspp_rates, generator=generator)
