"""The residual blocks of `weakseg.models.resnet`, and the batch norm in them; parameters are named as torchvision's."""

from __future__ import annotations

from torch import Tensor, nn


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that always uses its running statistics, also after `.train()`; its scale and shift still learn.

    The released IRN and RIB codes train this way: batches are small and the statistics are those of ImageNet.
    Parameters, buffers and their names are those of `torch.nn.BatchNorm2d`.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps)
        self.training = False

    def train(self, mode: bool = True) -> FixedBatchNorm2d:
        """Stay in evaluation mode whatever `mode` is, which is what keeps the statistics fixed."""
        super().train(False)
        return self


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, in_channels, H, W) -> (N, width, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: Channels of the input.
        width: Channels inside and at the output.
        stride: Stride of the first convolution and of the shortcut.
        dilation: Dilation of both convolutions.
        norm: Class of the batch norm layers.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int, norm: type[nn.BatchNorm2d]) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride=stride, dilation=dilation)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride=1, dilation=dilation)
        self.bn2 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride=stride, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(branch(x) + shortcut(x))."""
        branch: Tensor = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        return _add_shortcut(self.relu, branch, x, self.downsample)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the output has 4 x `width` channels.

    Args:
        in_channels: Channels of the input.
        width: Channels of the two inner convolutions.
        stride: Stride of the 3x3 convolution and of the shortcut.
        dilation: Dilation of the 3x3 convolution.
        norm: Class of the batch norm layers.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int, norm: type[nn.BatchNorm2d]) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = conv3x3(width, width, stride=stride, dilation=dilation)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, out_channels, stride=stride, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(branch(x) + shortcut(x))."""
        branch: Tensor = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return _add_shortcut(self.relu, branch, x, self.downsample)


class CaffeBottleneck(Bottleneck):
    """The bottleneck as He et al. released it for Caffe: the stride sits in the first 1x1 convolution.

    Published weights of DeepLab-v2 descend from those and want it there. Parameters and their names are those of
    `Bottleneck`, and so are its arguments.
    """

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int, norm: type[nn.BatchNorm2d]) -> None:
        super().__init__(in_channels, width, stride=stride, dilation=dilation, norm=norm)
        self.conv1.stride, self.conv2.stride = self.conv2.stride, self.conv1.stride


def conv3x3(in_channels: int, out_channels: int, *, stride: int, dilation: int) -> nn.Conv2d:
    """Return a 3x3 convolution without bias that keeps the size at stride 1, whatever the dilation."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


def _shortcut(in_channels: int, out_channels: int, *, stride: int, norm: type[nn.BatchNorm2d]) -> nn.Sequential | None:
    """Return the 1x1 convolution of a shortcut, or None where input and output agree and nothing is needed."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels))


def _add_shortcut(relu: nn.Module, branch: Tensor, x: Tensor, downsample: nn.Module | None) -> Tensor:
    total: Tensor = relu(branch + (x if downsample is None else downsample(x)))
    return total
