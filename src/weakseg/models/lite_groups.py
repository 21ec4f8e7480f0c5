"""Which blocks an EfficientNet-Lite of a name is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from weakseg.spelling import require_option


@dataclass(frozen=True)
class Group:
    """Blocks of one size: the first changes stride and channels, the others have a shortcut.

    Args:
        kernel_px: Side of the depthwise kernel.
        stride: Stride of the first block.
        expansion: Factor of the channels inside a block.
        channels: Channels of the output.
        repeats: Number of blocks.
    """

    kernel_px: int
    stride: int
    expansion: int
    channels: int
    repeats: int


LITE0_GROUPS = (
    Group(3, 1, 1, 16, 1),
    Group(3, 2, 6, 24, 2),
    Group(5, 2, 6, 40, 2),
    Group(3, 2, 6, 80, 3),
    Group(5, 1, 6, 112, 3),
    Group(5, 2, 6, 192, 4),
    Group(3, 1, 6, 320, 1),
)
"""The groups of `efficientnet_lite0`; the others scale them."""

_SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
"""Factors of width and depth."""

LITE_NAMES: tuple[str, ...] = tuple(_SCALES)
"""Names `build_efficientnet_lite` and `imagenet_network` know."""


def scale_groups(name: str) -> tuple[Group, ...]:
    """Return the groups of a named network; the first and the last keep their depth, the first its width, too.

    Raises:
        ConfigError: If the name is unknown.
    """
    require_option(name, LITE_NAMES, what="backbone")
    width, depth = _SCALES[name]
    last = len(LITE0_GROUPS) - 1
    return tuple(
        replace(
            group,
            channels=_round_channels(group.channels * width),
            repeats=group.repeats if index in (0, last) else math.ceil(group.repeats * depth),
        )
        for index, group in enumerate(LITE0_GROUPS)
    )


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, not by more than a tenth downwards."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
