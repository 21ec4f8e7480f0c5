"""How a network's weights lie in memory: channels last where convolutions do most of the work."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

CONVOLVED_SHARE = 0.5
"""A network is laid out channels last if its 2D convolutions hold more of its weights than this; a transformer's do
not."""


def lay_out(network: Network) -> Network:
    """Lay the weights of a convolutional network out channels last, in place; others stay as they are.

    Its features then are laid out so, too, whatever the images are: convolutions follow their weights. Values are the
    same up to the rounding of sums; names and shapes do not change, nor do files, which are written contiguously.

    Returns:
        The network itself.
    """
    convolved = sum(
        module.weight.numel() for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    )
    total = sum(parameter.numel() for parameter in network.parameters())
    if convolved > CONVOLVED_SHARE * total:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
