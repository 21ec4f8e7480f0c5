"""What a network must offer to carry a head, and what all networks with a head share: a trunk that may be frozen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.files import JsonValue

IMAGE_CHANNELS = 3


def require_images(x: Tensor) -> None:
    """Raise a `ShapeError` unless `x` is a batch (N, 3, H, W) of float images with at least a pixel; N may be 0."""
    if x.ndim != 4 or x.shape[1] != IMAGE_CHANNELS or 0 in x.shape[2:] or not x.is_floating_point():
        raise ShapeError(
            f"expected normalised images (N, 3, H, W) float of at least 1 x 1 px, got {x.dtype} {tuple(x.shape)}; "
            "weakseg.ops.images.normalise makes one"
        )


class Backbone(nn.Module, ABC):
    """A network in two parts: a trunk, which may stay frozen, and a tail, which always learns.

    Attributes:
        stride: Ratio of the input's size to the output's; an input (H, W) gives (ceil(H / stride), ceil(W / stride)).
        out_channels: Channels of the output.
        spare_parts: Prefixes of weights that another form of the network has and this one leaves out.
        other_strides_px: Strides that `at_stride` can give the network, with the same trunk.
    """

    stride: int
    out_channels: int
    spare_parts: tuple[str, ...] = ()
    other_strides_px: tuple[int, ...] = ()

    @abstractmethod
    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules `trunk` runs; no other module holds parameters of the trunk."""

    @abstractmethod
    def trunk(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into the features (N, D, h', w') the tail reads."""

    @abstractmethod
    def tail(self, features: Tensor) -> Tensor:
        """Turn the trunk's features into the output (N, out_channels, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into the output (N, out_channels, h, w)."""
        return self.tail(self.trunk(x))

    def architecture(self) -> dict[str, JsonValue]:
        """Return what, beside its name, a weights file must say to rebuild the backbone: nothing, by default."""
        return {}

    def at_stride(self, stride_px: int) -> Backbone:
        """Return the same network with another stride: it shares this one's tensors, so that what one learns both know.

        Raises:
            ConfigError: If it is none of `other_strides_px`.
        """
        strides = ", ".join(map(str, self.other_strides_px)) or "no other stride"
        raise ConfigError(
            f"expected a stride that {type(self).__name__} has beside {self.stride}, {strides}, got {stride_px}"
        )


@dataclass(frozen=True)
class StageForm:
    """What one stage of a backbone puts out.

    Args:
        channels: Number of channels.
        stride: Ratio of the image's size to the output's.
    """

    channels: int
    stride: int


@dataclass(frozen=True, eq=False)
class Levels:
    """Features of three depths, all at the network's stride.

    Args:
        conv4: (N, channels.conv4, h, w), of a ResNet-38 what the first unit of stage 5 reads.
        conv5: (N, channels.conv5, h, w), of a ResNet-38 what stage 6 reads.
        conv6: (N, channels.conv6, h, w), the output.
    """

    conv4: Tensor
    conv5: Tensor
    conv6: Tensor


@dataclass(frozen=True)
class LevelChannels:
    """Channels of the three features in `Levels`."""

    conv4: int
    conv5: int
    conv6: int


class NetworkOnBackbone(nn.Module):
    """A backbone, and in derived classes a head on it.

    Args:
        backbone: The network below the head.
        freeze_trunk: Leave the backbone's trunk as it is: it gets no gradient, its batch norms stay on their running
            statistics, and `trunk` returns a tensor without history.

    Attributes:
        backbone: The network below the head.
        stride: The backbone's stride.
        freeze_trunk: Whether the trunk is frozen.
    """

    def __init__(self, backbone: Backbone, *, freeze_trunk: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.stride = backbone.stride
        self.freeze_trunk = freeze_trunk
        if freeze_trunk:
            for module in backbone.trunk_modules():
                module.requires_grad_(False)
            self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but a frozen trunk, which stays in evaluation mode."""
        super().train(mode)
        if self.freeze_trunk:
            for module in self.backbone.trunk_modules():
                module.eval()
        return self

    def trunk(self, x: Tensor) -> Tensor:
        """Run the backbone's trunk.

        Args:
            x: (N, 3, H, W) float32 images, normalised as `weakseg.ops.images.normalise` does.

        Returns:
            Features (N, D, h', w'); without gradient history when the trunk is frozen.

        Raises:
            ShapeError: If the images are not that.
        """
        require_images(x)
        if self.freeze_trunk:
            with torch.no_grad():
                return self.backbone.trunk(x)
        return self.backbone.trunk(x)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters that learn; with a frozen trunk those of its tail."""
        return [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]
