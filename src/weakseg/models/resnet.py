"""The residual networks every classifier and segmenter stands on (He et al., "Deep Residual Learning", CVPR 2016).

Parameter names and order are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.downsample.0`, ...), so that
published ImageNet weights load as they are. As there, a bottleneck's stride sits in its 3x3 convolution. Strides,
dilations, widths and the stem are arguments; `build_backbone` knows the named forms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.backbone import IMAGE_CHANNELS, Backbone, StageForm
from weakseg.models.resnet_blocks import BasicBlock as BasicBlock
from weakseg.models.resnet_blocks import Bottleneck as Bottleneck
from weakseg.models.resnet_blocks import CaffeBottleneck as CaffeBottleneck
from weakseg.models.resnet_blocks import FixedBatchNorm2d as FixedBatchNorm2d
from weakseg.spelling import require_option

NUM_LAYERS = 4


@dataclass(frozen=True)
class Stem:
    """The first convolution of a network, with padding that keeps the centre aligned.

    Args:
        channels: Output channels.
        kernel_px: Side of the odd square kernel.
        stride: Stride of the convolution.
        max_pool: Whether a 3x3 max-pool of stride 2 follows, as in the ImageNet networks.
    """

    channels: int = 64
    kernel_px: int = 7
    stride: int = 2
    max_pool: bool = True


class ResNet(Backbone):
    """A stem and four layers of residual blocks, without pooling and classifier.

    Convolutions start He-normal (fan-out), batch norms at scale 1 and shift 0, as in torchvision.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        depths: Blocks per layer, four numbers.
        widths: Width per layer; the output channels are `block.expansion` times as many.
        strides: Stride of the first block of each layer.
        dilations: Dilation of each layer, in all its blocks, the first one too (DeepLab-v2's way; torchvision's
            dilated networks give the first block the dilation of the layer before).
        stem: The first convolution.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        generator: Source of the random weights; torch's global one if None.

    Attributes:
        stride: Ratio of the input's size to the output's; an input (H, W) gives (ceil(H / stride), ceil(W / stride)).
        out_channels: Channels of the output.

    Raises:
        ShapeError: If one of the four sequences does not hold four numbers.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        *,
        depths: Sequence[int],
        widths: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        stem: Stem = Stem(),
        fixed_norm: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for what, values in (("depths", depths), ("widths", widths), ("strides", strides), ("dilations", dilations)):
            if len(values) != NUM_LAYERS:
                raise ShapeError(f"a ResNet has {NUM_LAYERS} layers: expected {NUM_LAYERS} {what}, got {tuple(values)}")
        norm = FixedBatchNorm2d if fixed_norm else nn.BatchNorm2d
        self.conv1 = nn.Conv2d(
            IMAGE_CHANNELS, stem.channels, stem.kernel_px, stem.stride, padding=stem.kernel_px // 2, bias=False
        )
        self.bn1 = norm(stem.channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem.max_pool else nn.Identity()
        layers = []
        channels = stem.channels
        for depth, width, stride, dilation in zip(depths, widths, strides, dilations, strict=True):
            blocks: list[nn.Module] = []
            for index in range(depth):
                first_stride = stride if index == 0 else 1
                blocks.append(block(channels, width, stride=first_stride, dilation=dilation, norm=norm))
                channels = width * block.expansion
            layers.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_channels = channels
        self.stride = stem.stride * (2 if stem.max_pool else 1) * math.prod(strides)
        self._reset_convolutions(generator)

    def _reset_convolutions(self, generator: torch.Generator | None) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules `trunk` runs: the stem, `layer1` and `layer2`."""
        return (self.conv1, self.bn1, self.layer1, self.layer2)

    def stem(self, x: Tensor) -> Tensor:
        """Run the first convolution, its norm, ReLU and, where there is one, the max-pool on images (N, 3, H, W)."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return features

    def trunk(self, x: Tensor) -> Tensor:
        """Run the stem, `layer1` and `layer2` on normalised images (N, 3, H, W)."""
        features: Tensor = self.layer2(self.layer1(self.stem(x)))
        return features

    def tail(self, features: Tensor) -> Tensor:
        """Run `layer3` and `layer4` on the output of `trunk`."""
        features = self.layer4(self.layer3(features))
        return features

    def stage_forms(self) -> tuple[StageForm, ...]:
        """Return the forms of `run_stages`: the stem and the four layers."""
        stride = self.conv1.stride[0] * (2 if isinstance(self.maxpool, nn.MaxPool2d) else 1)
        stages = [StageForm(self.conv1.out_channels, stride)]
        for layer in self._layers():
            block = cast("BasicBlock | Bottleneck", layer[0])
            stride *= block.conv1.stride[0] * block.conv2.stride[0]
            stages.append(StageForm(block.conv1.out_channels * block.expansion, stride))
        return tuple(stages)

    def run_stages(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the stem and of the four layers for normalised images (N, 3, H, W)."""
        outputs = [self.stem(x)]
        for layer in self._layers():
            outputs.append(layer(outputs[-1]))
        return outputs

    def _layers(self) -> tuple[nn.Sequential, ...]:
        return (self.layer1, self.layer2, self.layer3, self.layer4)


@dataclass(frozen=True)
class _Form:
    """What sets one named network apart, for scoring images and, dilated, for segmenting them."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: Stem = Stem()
    strides: tuple[int, int, int, int] = (1, 2, 2, 1)
    dense_strides: tuple[int, int, int, int] = (1, 2, 1, 1)
    dense_dilations: tuple[int, int, int, int] = (1, 1, 2, 4)


_FORMS = {
    # Made for images of about 128 px on a CPU: its output is at stride 8 without dilation.
    "critter": _Form(
        BasicBlock,
        depths=(1, 1, 1, 1),
        widths=(32, 64, 64, 128),
        stem=Stem(channels=16, kernel_px=5, stride=2, max_pool=False),
        strides=(2, 2, 1, 1),
        dense_strides=(2, 2, 1, 1),
        dense_dilations=(1, 1, 1, 1),
    ),
    "resnet18": _Form(BasicBlock, depths=(2, 2, 2, 2)),
    "resnet50": _Form(Bottleneck, depths=(3, 4, 6, 3)),
    "resnet101": _Form(Bottleneck, depths=(3, 4, 23, 3)),
}

BACKBONE_NAMES: tuple[str, ...] = tuple(_FORMS)
"""Names `build_backbone` knows."""


def build_backbone(
    name: str,
    *,
    dense: bool = False,
    fixed_norm: bool = False,
    caffe_form: bool = False,
    generator: torch.Generator | None = None,
) -> ResNet:
    """Build a named network with random weights.

    Args:
        name: One of `BACKBONE_NAMES`.
        dense: False for the form that scores images: stride 16 without dilation, because the last layer's stride
            is 1, as in IRN's ResNet-50. True for the form that segments: stride 8, with dilations 2 and 4 in the
            last two layers, as in DeepLab-v2. `critter` has stride 8 and no dilation in both.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        caffe_form: Put strides where Caffe's networks have them, see `CaffeBottleneck`.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown, or the network has no bottlenecks to put into Caffe's form.
    """
    require_option(name, BACKBONE_NAMES, what="backbone")
    form = _FORMS[name]
    if caffe_form and form.block is not Bottleneck:
        deep = ", ".join(other for other, its in _FORMS.items() if its.block is Bottleneck)
        raise ConfigError(f"caffe_form: '{name}' has no bottlenecks, so Caffe's form is for {deep}")
    return ResNet(
        CaffeBottleneck if caffe_form else form.block,
        depths=form.depths,
        widths=form.widths,
        strides=form.dense_strides if dense else form.strides,
        dilations=form.dense_dilations if dense else (1, 1, 1, 1),
        stem=form.stem,
        fixed_norm=fixed_norm,
        generator=generator,
    )
