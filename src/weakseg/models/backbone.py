"""What a network must offer to stand under a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """A network in two parts: a trunk, which may stay frozen, and a tail, which always learns.

    Attributes:
        stride: Ratio of the input's size to the output's; an input (H, W) gives (ceil(H / stride), ceil(W / stride)).
        out_channels: Channels of the output.
    """

    stride: int
    out_channels: int

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
