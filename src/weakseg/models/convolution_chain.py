"""A plain chain of convolutions: the smallest backbone there is, for experiments whose layers must be easy to name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weakseg.errors import ShapeError
from weakseg.models.backbone import IMAGE_CHANNELS, Backbone

KERNEL_PX = 3


class ConvolutionChain(Backbone):
    """3x3 convolutions one after another, each followed by batch norm, ReLU and, where its stride says so, an average.

    A convolution with a stride sees some pixels more often than their neighbours, which draws a grid over gradients
    with respect to the image; an average over disjoint squares does not.

    The trunk, which RIB leaves as it is, is empty unless `trunk_layers` says otherwise, so that every layer is adapted.
    Convolutions start He-normal (fan-out), batch norms at scale 1 and shift 0.

    Args:
        widths: Output channels of each layer.
        strides: Side of the squares that each layer's output is averaged over; 1 for none.
        norm: Whether layers have a batch norm; without it their convolutions have a bias, which starts at 0.
        trunk_layers: Number of layers that belong to the trunk.
        generator: Source of the random weights; torch's global one if None.

    Attributes:
        stride: Ratio of the input's size to the output's.
        out_channels: Channels of the output.

    Raises:
        ShapeError: If there is no layer, not one stride per layer, or fewer layers than the trunk should have.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        norm: bool = True,
        trunk_layers: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(strides):
            raise ShapeError(f"expected one stride for each of some widths, got {tuple(widths)} and {tuple(strides)}")
        if not 0 <= trunk_layers <= len(widths):
            raise ShapeError(f"expected a trunk of 0 to {len(widths)} layers, got {trunk_layers}")
        inputs = (IMAGE_CHANNELS, *widths[:-1])
        self.layers = nn.ModuleList(
            _make_layer(channels, width, stride=stride, norm=norm, generator=generator)
            for channels, width, stride in zip(inputs, widths, strides, strict=True)
        )
        self.trunk_layers = trunk_layers
        self.stride = math.prod(strides)
        self.out_channels = widths[-1]

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the first `trunk_layers` layers."""
        return tuple(self.layers[: self.trunk_layers])

    def trunk(self, x: Tensor) -> Tensor:
        """Run the first `trunk_layers` layers on normalised images (N, 3, H, W); none returns the images."""
        for layer in self.layers[: self.trunk_layers]:
            x = layer(x)
        return x

    def tail(self, features: Tensor) -> Tensor:
        """Run the other layers on the output of `trunk`."""
        for layer in self.layers[self.trunk_layers :]:
            features = layer(features)
        return features

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the output of every layer, after its ReLU and its average, for normalised images (N, 3, H, W)."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return tuple(found)


def _make_layer(
    channels: int, width: int, *, stride: int, norm: bool, generator: torch.Generator | None
) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, KERNEL_PX, padding=KERNEL_PX // 2, bias=not norm)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    norms = [nn.BatchNorm2d(width)] if norm else []
    averages = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
    # ReLU in place would overwrite what the batch norm needs to go backward.
    return nn.Sequential(convolution, *norms, nn.ReLU(), *averages)
