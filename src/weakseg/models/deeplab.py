"""The segmentation network of DeepLab-v2 (Chen et al., TPAMI 2018): a dilated ResNet under dilated convolutions.

With `multi_scale` the network looks at its input at several scales and takes, per label and cell, the largest logit
(section 4.1 of the paper). `docs/deeplab.md` says what of this is the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.models.backbone import Backbone, require_images
from weakseg.models.backbones import STAGED_NAMES, build_staged
from weakseg.models.resnet import CaffeBottleneck, ResNet
from weakseg.models.segmenter import SegmentationNetwork

SEGMENTER_NAMES: tuple[str, ...] = STAGED_NAMES
"""Names `build_segmenter` knows."""

ASPP_STD = 0.01
"""Standard deviation of the fresh ASPP convolutions as DeepLab-v2 has it; their biases start at 0."""


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLab-v2: the sum of 3x3 convolutions that differ in dilation.

    Args:
        in_channels: Channels D of the features.
        out_channels: Channels L of the result.
        rates: Dilation of each convolution; the paper's are 6, 12, 18, 24 at stride 8.
        std: Standard deviation of the fresh weights.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If there is no rate or one below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        std: float = ASPP_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not rates or min(rates) < 1:
            raise ConfigError(f"aspp_rates: expected one or more dilations of at least 1, got {tuple(rates)}")
        branches = [nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate) for rate in rates]
        for branch in branches:
            nn.init.normal_(branch.weight, std=std, generator=generator)
            assert branch.bias is not None
            nn.init.zeros_(branch.bias)
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (N, D, h, w) into the sum of the branches (N, L, h, w)."""
        first, *others = self.branches
        total: Tensor = first(features)
        for branch in others:
            total = total + branch(features)
        return total


class Segmenter(SegmentationNetwork):
    """Backbone and ASPP; the state dict holds `backbone.*` and `aspp.branches.*`, whatever the scales.

    Args:
        backbone: The network below, see `weakseg.models.backbones.build_staged(..., dense=True)`.
        num_labels: Number of labels L, background included.
        aspp_rates: Dilations of the parallel convolutions.
        multi_scale: Further scales, above 0 and below 1, at which the same network sees its input; the paper's are 0.75
            and 0.5. None by default.
        freeze_trunk: Leave the backbone's trunk as it is: it gets no gradient.
        aspp_std: Standard deviation of the fresh convolutions' weights.
        generator: Source of the random weights of the convolutions; torch's global one if None.

    Attributes:
        num_labels: Number of labels L.
        stride: Ratio of the input's size to the logits'.
        aspp_rates: Dilations of the parallel convolutions.
        multi_scale: The further scales.

    Raises:
        ShapeError: If `num_labels` is not in 2..255.
        ConfigError: If a rate is below 1 or a scale out of range.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_labels: int,
        aspp_rates: Sequence[int],
        multi_scale: Sequence[float] = (),
        freeze_trunk: bool = False,
        aspp_std: float = ASPP_STD,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(num_labels=num_labels, stride=backbone.stride)
        if not all(0 < scale < 1 for scale in multi_scale):
            raise ConfigError(f"multi_scale: expected factors above 0 and below 1, got {tuple(multi_scale)}")
        self.backbone = backbone
        self.aspp = ASPP(backbone.out_channels, num_labels, rates=aspp_rates, std=aspp_std, generator=generator)
        self.aspp_rates = tuple(aspp_rates)
        self.multi_scale = tuple(multi_scale)
        if freeze_trunk:
            for module in backbone.trunk_modules():
                module.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into logits (N, L, ceil(H / stride), ceil(W / stride)).

        With further scales they are the fused ones, see `fuse_scales`.
        """
        return fuse_scales(self.scaled_logits(x))

    def scaled_logits(self, x: Tensor) -> tuple[Tensor, ...]:
        """Look at normalised images at every scale.

        Args:
            x: (N, 3, H, W); shrunk bilinearly (`align_corners=False`) to floor(H * scale) x floor(W * scale) pixels.

        Returns:
            Logits (N, L, h, w) at the stride, of scale 1 first and then of the further scales in their order.

        Raises:
            ShapeError: If the images are not (N, 3, H, W) float.
        """
        require_images(x)
        sizes_hw = [_scale_size((x.shape[2], x.shape[3]), scale) for scale in self.multi_scale]
        views = [x, *(nn.functional.interpolate(x, size_hw, mode="bilinear") for size_hw in sizes_hw)]
        return tuple(self.aspp(self.backbone(view)) for view in views)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters that learn; with a frozen trunk those of its tail."""
        return [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the ASPP convolutions, which DeepLab-v2 trains 10 times faster."""
        return list(self.aspp.parameters())

    def architecture(self) -> dict[str, JsonValue]:
        """Return `aspp_rates`, `multi_scale` and `caffe_form`, and what rebuilds the backbone."""
        return {
            **self.backbone.architecture(),
            "aspp_rates": list(self.aspp_rates),
            "multi_scale": list(self.multi_scale),
            "caffe_form": self.caffe_form,
        }

    @property
    def caffe_form(self) -> bool:
        """Whether strides sit where Caffe's networks have them."""
        return isinstance(self.backbone, ResNet) and isinstance(self.backbone.layer1[0], CaffeBottleneck)


class EveryScale(nn.Module):
    """A segmenter that answers with the logits of every scale in one call, as its training wants them.

    Several processes share the gradient of one call only, hence a module; its state's names begin with `segmenter.`.

    Args:
        segmenter: The network; its parameters are this module's.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of `Segmenter.scaled_logits` and, last, the fused ones."""
        logits = self.segmenter.scaled_logits(x)
        return (*logits, fuse_scales(logits))

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return those of the segmenter."""
        return self.segmenter.backbone_parameters()

    def head_parameters(self) -> list[nn.Parameter]:
        """Return those of the segmenter."""
        return self.segmenter.head_parameters()


def fuse_scales(logits: Sequence[Tensor]) -> Tensor:
    """Return the largest logit of every label and cell, after all are upsampled to the size of the first.

    Args:
        logits: (N, L, h, w) each, the first of the largest size.

    Returns:
        (N, L, h, w) of the first one's size; the first itself when it is alone.
    """
    fused = logits[0]
    for other in logits[1:]:
        fused = torch.maximum(fused, _upsample(other, (fused.shape[2], fused.shape[3])))
    return fused


def _scale_size(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return a scaled size, rounded down, of at least one pixel.

    By torch's own functions: `int` and `max` would write the size of the traced image into an ONNX file.
    """
    height, width = (torch.sym_max(1, torch.sym_int(side * scale)) for side in size_hw)  # type: ignore[no-untyped-call]
    return height, width


def _upsample(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize maps (N, L, h, w) bilinearly (`align_corners=False`).

    As two matrix products: on a GPU `interpolate` has a deterministic gradient only as indexing, which is slow.
    """
    rows, columns = (
        nn.functional.interpolate(torch.eye(old, device=maps.device, dtype=maps.dtype)[None], new, mode="linear")[0]
        for old, new in zip(maps.shape[2:], size_hw, strict=True)
    )
    return rows.T @ maps @ columns


def build_segmenter(
    name: str,
    *,
    num_labels: int,
    aspp_rates: Sequence[int],
    fixed_norm: bool,
    multi_scale: Sequence[float] = (),
    caffe_form: bool = False,
    freeze_trunk: bool = False,
    aspp_std: float = ASPP_STD,
    generator: torch.Generator | None = None,
) -> Segmenter:
    """Build a segmentation network with random weights, in training mode.

    Logits are at stride 8; those of an EfficientNet-Lite at stride 16.

    Args:
        name: Backbone, one of `SEGMENTER_NAMES`.
        num_labels: Number of labels L, background included.
        aspp_rates: Dilations of the parallel convolutions.
        fixed_norm: Keep every batch norm on its running statistics while training; scale and shift still learn.
        multi_scale: Further scales at which the network sees its input, see `Segmenter`.
        caffe_form: Put strides where the published weights of DeepLab-v2 have them, see `CaffeBottleneck`.
        freeze_trunk: Leave the backbone's trunk as it is: it gets no gradient. Its batch norms should be fixed, too.
        aspp_std: Standard deviation of the fresh convolutions' weights.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ConfigError: If the name is unknown, a rate is below 1, a scale out of range, or there are no bottlenecks to put
            into Caffe's form.
        ShapeError: If `num_labels` is not in 2..255.
    """
    backbone = build_staged(name, dense=True, fixed_norm=fixed_norm, caffe_form=caffe_form, generator=generator)
    return Segmenter(
        backbone,
        num_labels=num_labels,
        aspp_rates=aspp_rates,
        multi_scale=multi_scale,
        freeze_trunk=freeze_trunk,
        aspp_std=aspp_std,
        generator=generator,
    )
