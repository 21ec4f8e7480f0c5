"""The layers of EfficientNet-Lite (`weakseg.models.efficientnet_lite`): convolutions told where to read, and blocks.

Where a CPU learns, two kinds of convolution take the same sums in another order, which is several times faster to
differentiate (`filter_phases`, `mix_channels`); without gradients it is the second kind, on channels-last input. On a
GPU and in exports they run as written.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

NORM_EPS = 1e-3
"""Added to batch norm's variances, as released."""

Place = Literal["first", "second", "tensorflow"]
"""Which pixel of a pair a strided convolution is centred on, see `StridedConv2d`."""


class StridedConv2d(nn.Conv2d):
    """A convolution without bias to ceil(H / stride) x ceil(W / stride), padded by what its place asks for.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_px: Side of the odd kernel.
        stride: 1 or 2.
        dilation: Distance of the kernel's taps; 1 at stride 2.
        groups: As for `torch.nn.Conv2d`.
        place: At stride 2, which of the neighbouring pixels 2 i and 2 i + 1 output i is centred on: the `first`, the
            `second`, or as `tensorflow` does the second where the size is even, else the first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        place: Place = "tensorflow",
    ) -> None:
        reach = (kernel_px - 1) * dilation // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_px,
            stride,
            padding=reach if stride == 1 else 0,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, in_channels, H, W) into (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self.run(x, self.weight, None)

    def run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve as `forward` does, with another weight of the same shape and a bias (out_channels,)."""
        is_on_cpu, is_learning = x.device.type == "cpu", torch.is_grad_enabled()
        if self.stride[0] > 1:
            return self._run_strided(x, weight, bias)
        if is_on_cpu and is_learning and self.dilation[0] > 1:
            return filter_phases(x, weight, bias, dilation=self.dilation[0])
        if is_on_cpu and self.kernel_size[0] == 1 and (is_learning or _is_channels_last(x)):
            return mix_channels(x, weight, bias)
        return self._convolve(x, weight, bias)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        maps: Tensor = self._conv_forward(x, weight, bias)
        return maps

    def _run_strided(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve at a stride; where the place does not hang on the size, without a padded copy of the input."""
        reach = self.kernel_size[0] // 2
        if self.place == "tensorflow":
            top, bottom = self._pad(x.shape[2])
            left, right = self._pad(x.shape[3])
            return self._convolve(nn.functional.pad(x, (left, right, top, bottom)), weight, bias)
        # One zero more before the first pixel moves all centres back by one: the first output lies outside.
        skipped = 1 if self.place == "second" else 0
        padding = reach + skipped
        maps = nn.functional.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)
        return maps[:, :, skipped:, skipped:]

    def _pad(self, length: int) -> tuple[int, int]:
        """Return TensorFlow's zeros before and behind a side, by arithmetic that keeps the size open in ONNX files."""
        is_odd = length % 2
        total = self.kernel_size[0] - 2 + is_odd
        before = total // 2
        return before, total - before


def _is_channels_last(x: Tensor) -> bool:
    """Say whether a product with the channels copies nothing; never in an export, whose graph is to stay plain."""
    return not torch.compiler.is_compiling() and x.is_contiguous(memory_format=torch.channels_last)


def mix_channels(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run a 1x1 convolution as one matrix product, which a CPU differentiates faster.

    Args:
        x: (N, C, H, W) float; best laid out channels last, where nothing is copied. Not modified.
        weight: (D, C, 1, 1).
        bias: (D,), or None.

    Returns:
        (N, D, H, W), channels last.
    """
    return nn.functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def filter_phases(x: Tensor, weight: Tensor, bias: Tensor | None, *, dilation: int) -> Tensor:
    """Filter each channel by a dilated kernel at stride 1, as undilated ones on every `dilation`-th row and column.

    The same sums as `torch.nn.functional.conv2d` takes, whose gradient is 4 to 10 times slower on a CPU where a
    depthwise kernel is dilated (`benchmarks/chain.py`).

    Args:
        x: (N, C, H, W) float. Not modified.
        weight: (C, 1, k, k), k odd.
        bias: (C,), or None.
        dilation: Distance of the kernel's taps.

    Returns:
        (N, C, H, W), channels last.
    """
    count, channels, height, width = x.shape
    rows, columns = math.ceil(height / dilation), math.ceil(width / dilation)
    padded = nn.functional.pad(x, (0, columns * dilation - width, 0, rows * dilation - height))
    split = padded.permute(0, 2, 3, 1).reshape(count, rows, dilation, columns, dilation, channels)
    phases = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
    filtered = nn.functional.conv2d(phases, weight, bias, padding=weight.shape[-1] // 2, groups=channels)
    joined = filtered.permute(0, 2, 3, 1).reshape(dilation, dilation, count, rows, columns, channels)
    joined = joined.permute(2, 3, 0, 4, 1, 5).reshape(count, rows * dilation, columns * dilation, channels)
    return joined[:, :height, :width].permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm and, if asked for, ReLU6.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm: Class of the batch norm layer.
        convolution: The convolution; a 1x1 one if None.
        rectify: Bound the result to 0..6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: type[nn.BatchNorm2d],
        convolution: StridedConv2d | None = None,
        rectify: bool = True,
    ) -> None:
        super().__init__()
        self.conv = StridedConv2d(in_channels, out_channels, 1) if convolution is None else convolution
        self.norm = norm(out_channels, eps=NORM_EPS)
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers on (N, in_channels, H, W)."""
        x = self.norm(self.conv(x)) if self.norm.training else self._run_fixed(x)
        # What the layers return is theirs: without gradients nobody needs it as it was.
        return nn.functional.relu6(x, inplace=not torch.is_grad_enabled()) if self.rectify else x

    def _run_fixed(self, x: Tensor) -> Tensor:
        """Convolve and normalise by running statistics in one step: the norm's factors go into the weight."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        return self.conv.run(x, self.conv.weight * scale[:, None, None, None], shift)


class InvertedBottleneck(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow by a 1x1 convolution; a shortcut where the sizes agree.

    The result is neither rectified nor bounded.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_px: Side of the depthwise kernel.
        expansion: Factor of the channels inside; with 1 the first convolution is left out.
        stride: Stride of the depthwise convolution.
        dilation: Dilation of the depthwise convolution.
        place: See `StridedConv2d`.
        norm: Class of the batch norm layers.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_px: int,
        expansion: int,
        stride: int,
        dilation: int,
        place: Place,
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvNorm(in_channels, inner, norm=norm) if expansion > 1 else None
        depthwise = StridedConv2d(inner, inner, kernel_px, stride=stride, dilation=dilation, groups=inner, place=place)
        self.depthwise = ConvNorm(inner, inner, convolution=depthwise, norm=norm)
        self.project = ConvNorm(inner, out_channels, norm=norm, rectify=False)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, in_channels, H, W) into (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        branch: Tensor = x if self.expand is None else self.expand(x)
        branch = self.project(self.depthwise(branch))
        return x + branch if self.has_shortcut else branch
