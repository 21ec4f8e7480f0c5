"""The wide ResNet-38 that AffinityNet and SEAM stand on (Wu et al., "Wider or Deeper", arXiv 1611.10080, model A1).

Its units normalise and rectify before they convolve, so that a unit's shortcut carries sums that were never rectified.
Parameter names are those of the released PSA and SEAM checkpoints (`conv1a`, `b2.bn_branch2a`, `b2_1.conv_branch2b1`,
..., `bn7`); widths, strides and dilations were found by comparing with recorded outputs (`tests/golden`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from weakseg.models.backbone import IMAGE_CHANNELS, Backbone, LevelChannels, Levels
from weakseg.models.resnet_blocks import FixedBatchNorm2d, conv3x3
from weakseg.spelling import require_option

RESNET38_STRIDE = 8
"""Ratio of the image's size to the output's: stages 2, 3 and 4 halve it each, in every form."""


class PlainUnit(nn.Module):
    """Two times norm, ReLU and 3x3 convolution, and a shortcut: (N, in_channels, H, W) -> (N, out_channels, h, w).

    The shortcut is the input itself, or, where stride or channels change, a 1x1 convolution of the rectified input.
    h = ceil(H / stride), w = ceil(W / stride).

    Args:
        in_channels: Channels of the input.
        inner: Channels between the convolutions.
        out_channels: Channels of the output.
        stride: Stride of the first convolution and of the shortcut.
        dilations: Of the first and of the second convolution.
        norm: Class of the batch norm layers.
    """

    def __init__(
        self,
        in_channels: int,
        inner: int,
        out_channels: int,
        *,
        stride: int,
        dilations: tuple[int, int],
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        self.bn_branch2a = norm(in_channels)
        self.conv_branch2a = conv3x3(in_channels, inner, stride=stride, dilation=dilations[0])
        self.bn_branch2b1 = norm(inner)
        self.conv_branch2b1 = conv3x3(inner, out_channels, stride=1, dilation=dilations[1])
        self.conv_branch1 = _shortcut(in_channels, out_channels, stride=stride)

    def activate(self, x: Tensor) -> Tensor:
        """Return the normalised and rectified input, which the convolutions read."""
        return torch.relu(self.bn_branch2a(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return branch(x) + shortcut(x)."""
        return self.add_branch(x, self.activate(x))

    def add_branch(self, x: Tensor, activated: Tensor) -> Tensor:
        """Return the unit's output from its input and `activate` of it."""
        branch: Tensor = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(torch.relu(self.bn_branch2b1(branch)))
        shortcut: Tensor = x if self.conv_branch1 is None else self.conv_branch1(activated)
        return branch + shortcut


class BottleneckUnit(nn.Module):
    """As `PlainUnit`, with 1x1, 3x3 and 1x1 convolutions at stride 1; the shortcut is always a convolution.

    Args:
        in_channels: Channels of the input.
        widths: Channels after each of the three convolutions; the last is the output's.
        dilation: Of the 3x3 convolution.
        dropout: Probability by which whole channels are dropped in training before the last convolution.
        norm: Class of the batch norm layers.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, int, int],
        *,
        dilation: int,
        dropout: float,
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        first, second, last = widths
        self.bn_branch2a = norm(in_channels)
        self.conv_branch2a = nn.Conv2d(in_channels, first, 1, bias=False)
        self.bn_branch2b1 = norm(first)
        self.conv_branch2b1 = conv3x3(first, second, stride=1, dilation=dilation)
        self.bn_branch2b2 = norm(second)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_branch2b2 = nn.Conv2d(second, last, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(in_channels, last, 1, bias=False)

    def activate(self, x: Tensor) -> Tensor:
        """Return the normalised and rectified input, which the convolutions read."""
        return torch.relu(self.bn_branch2a(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return branch(x) + shortcut(x)."""
        return self.add_branch(self.activate(x))

    def add_branch(self, activated: Tensor) -> Tensor:
        """Return the unit's output from `activate` of its input."""
        branch: Tensor = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(torch.relu(self.bn_branch2b1(branch)))
        branch = self.conv_branch2b2(self.dropout(torch.relu(self.bn_branch2b2(branch))))
        shortcut: Tensor = self.conv_branch1(activated)
        return branch + shortcut


@dataclass(frozen=True)
class ResNet38Form:
    """Depths and widths of a network of this family; the defaults are the published ones.

    Args:
        stem: Channels of the first convolution.
        depths: Units of stages 2, 3, 4 and 5; stages 6 and 7 have one each.
        widths: Channels of stages 2, 3 and 4, inside and out.
        stage5: Channels inside and out.
        stage6: Channels after each of its three convolutions.
        stage7: Channels after each of its three convolutions.
        dilations: Of stages 5, 6 and 7. The first convolution of stage 5 has none.
        dropout: Probabilities by which channels are dropped in training: in stage 6, in stage 7, after the network.
    """

    stem: int = 64
    depths: tuple[int, int, int, int] = (3, 3, 6, 3)
    widths: tuple[int, int, int] = (128, 256, 512)
    stage5: tuple[int, int] = (512, 1024)
    stage6: tuple[int, int, int] = (512, 1024, 2048)
    stage7: tuple[int, int, int] = (1024, 2048, 4096)
    dilations: tuple[int, int, int] = (2, 4, 4)
    dropout: tuple[float, float, float] = (0.3, 0.5, 0.5)


class ResNet38(Backbone):
    """Convolution, stages 2 to 7 and a last norm: (N, 3, H, W) -> (N, out_channels, ceil(H / 8), ceil(W / 8)).

    The trunk is the first convolution and stage 2. Convolutions start He-normal (fan-out), batch norms at scale 1 and
    shift 0. Rates of dropout are not recorded: they are those known of this network in other frameworks.

    Args:
        form: Depths and widths.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        generator: Source of the random weights; torch's global one if None.

    Attributes:
        stride: 8.
        out_channels: Channels of the output, those of `Levels.conv6`.
        channels: Channels of the features in `Levels`.
    """

    def __init__(
        self,
        form: ResNet38Form = ResNet38Form(),
        *,
        fixed_norm: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        norm = FixedBatchNorm2d if fixed_norm else nn.BatchNorm2d
        self.conv1a = conv3x3(IMAGE_CHANNELS, form.stem, stride=1, dilation=1)
        channels = form.stem
        names: list[tuple[str, ...]] = []
        for stage, depth in zip((2, 3, 4, 5), form.depths, strict=True):
            inner, out = form.stage5 if stage == 5 else (form.widths[stage - 2],) * 2
            dilation = form.dilations[0] if stage == 5 else 1
            names.append(_unit_names(stage, depth))
            for index, name in enumerate(names[-1]):
                unit = PlainUnit(
                    channels,
                    inner,
                    out,
                    stride=2 if stage < 5 and index == 0 else 1,
                    dilations=(1 if index == 0 else dilation, dilation),
                    norm=norm,
                )
                self.add_module(name, unit)
                channels = out
        self._stage2, self._stage3, self._stage4, self._stage5 = names
        drop6, drop7, drop = form.dropout
        self.b6 = BottleneckUnit(channels, form.stage6, dilation=form.dilations[1], dropout=drop6, norm=norm)
        self.b7 = BottleneckUnit(form.stage6[-1], form.stage7, dilation=form.dilations[2], dropout=drop7, norm=norm)
        self.bn7 = norm(form.stage7[-1])
        self.dropout = nn.Dropout2d(drop)
        self.stride = RESNET38_STRIDE
        self.out_channels = form.stage7[-1]
        self.channels = LevelChannels(conv4=form.widths[-1], conv5=form.stage5[-1], conv6=form.stage7[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules `trunk` runs: the first convolution and the units of stage 2."""
        return (self.conv1a, *self._units(self._stage2))

    def trunk(self, x: Tensor) -> Tensor:
        """Run the first convolution and stage 2 on normalised images (N, 3, H, W); the result is not rectified."""
        for module in self.trunk_modules():
            x = module(x)
        return x

    def levels(self, features: Tensor) -> Levels:
        """Run stages 3 to 7 on the output of `trunk` and return features of three depths, without the last dropout."""
        x = features
        for unit in self._units(self._stage3 + self._stage4):
            x = unit(x)
        first, *rest = self._units(self._stage5)
        conv4 = first.activate(x)
        x = first.add_branch(x, conv4)
        for unit in rest:
            x = unit(x)
        conv5 = self.b6.activate(x)
        x = self.b7(self.b6.add_branch(conv5))
        return Levels(conv4=conv4, conv5=conv5, conv6=torch.relu(self.bn7(x)))

    def tail(self, features: Tensor) -> Tensor:
        """Run stages 3 to 7 on the output of `trunk`; in training, channels are dropped at the end."""
        dropped: Tensor = self.dropout(self.levels(features).conv6)
        return dropped

    def _units(self, names: tuple[str, ...]) -> list[PlainUnit]:
        return [cast("PlainUnit", self.get_submodule(name)) for name in names]


_FORMS = {
    # Made like `critter` for images of about 128 px on a CPU, where dilated kernels would reach beyond the image.
    "critter38": ResNet38Form(
        stem=16,
        depths=(1, 1, 2, 1),
        widths=(32, 48, 64),
        stage5=(64, 96),
        stage6=(64, 96, 128),
        stage7=(64, 96, 192),
        dilations=(1, 2, 2),
        dropout=(0.0, 0.0, 0.0),
    ),
    "resnet38": ResNet38Form(),
}

RESNET38_NAMES: tuple[str, ...] = tuple(_FORMS)
"""Names `build_resnet38` knows."""


def build_resnet38(name: str, *, fixed_norm: bool = False, generator: torch.Generator | None = None) -> ResNet38:
    """Build a named network with random weights.

    Args:
        name: `resnet38`, the published network with 105 million parameters, or `critter38`, a narrow one for small
            images on a CPU.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
    """
    require_option(name, RESNET38_NAMES, what="backbone")
    return ResNet38(_FORMS[name], fixed_norm=fixed_norm, generator=generator)


def _unit_names(stage: int, depth: int) -> tuple[str, ...]:
    """Return the official names of a stage's units: `b4`, `b4_1`, `b4_2`, ..."""
    return tuple(f"b{stage}" if index == 0 else f"b{stage}_{index}" for index in range(depth))


def _shortcut(in_channels: int, out_channels: int, *, stride: int) -> nn.Conv2d | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
