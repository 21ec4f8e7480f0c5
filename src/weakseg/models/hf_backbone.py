"""Backbones of the library `transformers`, behind the interface of all backbones.

Images come in as weakseg normalises them and in any size: they are continued at the right and bottom by their last row
and column to whole cells. How a network behaves (its stride, the forms of its stages, which parameters its output
depends on, whether it can be cut in two) is not looked up but found by passing small images through it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.models.backbone import Backbone, StageForm, require_images
from weakseg.models.hf_chain import Chain, WholeChain, find_chains
from weakseg.models.hf_config import describe_architecture
from weakseg.models.hf_dense import FILLED_FAMILIES, fill_last_stage, find_patch_filters
from weakseg.models.hf_source import ConvertPixels, InputFormat, first_line
from weakseg.models.modes import evaluating

PROBE_PX = 224
"""Side of the image that the strides are measured on: a multiple of every usual patch (8, 14, 16) and of 32."""

PROBE_CELLS_HW = (2, 5)
"""Cells of the image that a cut is tried on; the sides differ, so that they cannot be confused."""

NUM_STAGES, FINEST_STRIDE = 5, 4
"""What `run_stages` returns: so many outputs, the first at this stride or a finer one."""

CUT_TOLERANCE = 1e-3
"""A cut network gives what the whole one gives within this, relative to the largest value."""

_POSITIONS = "rope_embeddings"
"""Part that draws at random where patches are, in training mode; it stays in evaluation mode."""


class HFBackbone(Backbone):
    """A backbone of `transformers`; the state dict holds `network.*` under that library's names.

    Parameters that the output does not depend on, such as those of norms that other stages would have, are frozen, so
    that several processes can train it.

    Args:
        network: On the CPU; called as `network(pixel_values=images).feature_maps`.
        config: The configuration that it is rebuilt from.
        input_format: The values it expects images in.
        fixed_norm: Keep batch norms on their running statistics while training.

    Attributes:
        stride: Ratio of the input's size to the output's: the patch's side for a transformer of one stride, 16 for
            ResNet and ConvNeXt, whose last stage is kept from halving, 32 for other pyramids.
        out_channels: Channels of the output.
        network: The network.
        is_cut: Whether the network could be cut in two; otherwise all of it is the trunk.

    Raises:
        ConfigError: If the network returns no feature maps for images of any size.
    """

    def __init__(
        self, network: nn.Module, *, config: Mapping[str, JsonValue], input_format: InputFormat, fixed_norm: bool
    ) -> None:
        super().__init__()
        if config.get("model_type") in FILLED_FAMILIES:
            fill_last_stage(network)
        self.network = network
        self.convert = ConvertPixels(input_format)
        self._config = dict(config)
        self._fixed_norm = fixed_norm
        with evaluating(network):
            maps = _probe(network)
            self.stride, self.out_channels = PROBE_PX // maps[-1].shape[2], maps[-1].shape[1]
            self._chain: Chain = _choose_chain(network, self.stride)
            self._freeze_unused()
        self.is_cut = not isinstance(self._chain, WholeChain)
        self._stages = _Stages(network, maps, patch_px=self.stride)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but fixed batch norms and positions, which stay in evaluation mode."""
        super().train(mode)
        for name, module in self.network.named_modules():
            if name == _POSITIONS or (self._fixed_norm and isinstance(module, _BatchNorm)):
                module.eval()
        return self

    def trunk_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules `trunk` runs: embeddings and early stages, or the whole network if it is not cut."""
        return self._chain.trunk_modules()

    def trunk(self, x: Tensor) -> Tensor:
        """Turn normalised images (N, 3, H, W) into the features (N, D, h', w') the tail reads.

        Those of a transformer of one stride have a row or more in front, see `weakseg.models.hf_chain.TokenChain`.
        """
        require_images(x)
        return self._chain.trunk(self._prepare(x))

    def tail(self, features: Tensor) -> Tensor:
        """Turn the trunk's features into the output (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return self._chain.tail(features)

    def stage_forms(self) -> tuple[StageForm, ...]:
        """Return the forms of the five outputs of `run_stages`, from fine to coarse."""
        return self._stages.forms

    def run_stages(self, x: Tensor) -> list[Tensor]:
        """Turn normalised images (N, 3, H, W) into five outputs, from fine to coarse.

        Of a pyramid they are the embeddings and the stages. Of a network with one stride the first is what its patch
        filters see at every fourth pixel, the others are taken at even depths and, where the patch is no power of 2,
        resampled to the nearest one (14 to 16).
        """
        require_images(x)
        prepared = self._prepare(x)
        return self._stages.read(prepared, size_hw=(x.shape[2], x.shape[3]))

    def architecture(self) -> dict[str, JsonValue]:
        """Return the network's configuration and input format as the entry `transformers`."""
        return describe_architecture(self._config, self.convert.input_format)

    def _prepare(self, x: Tensor) -> Tensor:
        """Convert images and continue them by their own last row and column to whole cells."""
        bottom, right = ((side + self.stride - 1) // self.stride * self.stride - side for side in x.shape[2:])
        return nn.functional.pad(self.convert(x), (0, right, 0, bottom), mode="replicate")

    def _freeze_unused(self) -> None:
        """Take the gradient from parameters that the output does not depend on."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        with torch.enable_grad():
            output = self(torch.zeros(1, 3, *(cells * self.stride for cells in PROBE_CELLS_HW)))
            gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)


class _Stages:
    """Reads five outputs of a network, at strides that are powers of 2.

    Args:
        network: The network; more than its last feature map are returned.
        maps: Those of an image of `PROBE_PX`.
        patch_px: Side of the patch of a network with one stride.
    """

    def __init__(self, network: nn.Module, maps: tuple[Tensor, ...], *, patch_px: int) -> None:
        self._network = network
        self._chosen = [round(k * (len(maps) - 1) / (NUM_STAGES - 1)) for k in range(NUM_STAGES)]
        self._strides = [PROBE_PX // maps[index].shape[2] for index in self._chosen]
        self._filters = None
        forms = [
            StageForm(maps[i].shape[1], _round_stride(s)) for i, s in zip(self._chosen, self._strides, strict=True)
        ]
        if forms[0].stride > FINEST_STRIDE:
            self._filters = find_patch_filters(network, patch_px=patch_px)
            channels = forms[0].channels if self._filters is None else self._filters.out_channels
            forms[0] = StageForm(channels, FINEST_STRIDE)
        self.forms = tuple(forms)

    def read(self, images: Tensor, *, size_hw: tuple[int, int]) -> list[Tensor]:
        """Return the outputs for images (N, 3, H', W'), which images of a size (H, W) were continued to."""
        maps = self._network(pixel_values=images).feature_maps
        outputs = []
        for slot, (index, stride) in enumerate(zip(self._chosen, self._strides, strict=True)):
            form = self.forms[slot]
            wanted_hw = (-(-size_hw[0] // form.stride), -(-size_hw[1] // form.stride))
            if slot == 0 and self._filters is not None:
                outputs.append(_filter_closely(self._filters, images, wanted_hw))
            else:
                outputs.append(_resample(maps[index], wanted_hw, ratio=stride / form.stride))
        return outputs


def _round_stride(stride: int) -> int:
    """Return the nearest power of 2."""
    return int(2 ** round(math.log2(stride)))


def _filter_closely(filters: nn.Conv2d, images: Tensor, wanted_hw: tuple[int, int]) -> Tensor:
    """Run the filters of patches around every fourth pixel, centred on the cells of that stride."""
    side = filters.kernel_size[0]
    before = (side - FINEST_STRIDE) // 2
    behind = side - 1 - before  # enough for a last cell of which the image holds a single pixel
    padded = nn.functional.pad(images, (before, behind, before, behind), mode="replicate")
    found = nn.functional.conv2d(padded, filters.weight, filters.bias, stride=FINEST_STRIDE)
    return found[:, :, : wanted_hw[0], : wanted_hw[1]]


def _resample(maps: Tensor, wanted_hw: tuple[int, int], *, ratio: float) -> Tensor:
    """Change the stride of maps (N, D, h, w) by a factor, each place staying where it is, and cut them to a size."""
    if ratio != 1:
        more = 2  # the outermost new cells may end behind the last old ones
        maps = nn.functional.pad(maps, (0, more, 0, more), mode="replicate")
        maps = nn.functional.interpolate(maps, scale_factor=ratio, mode="bilinear", recompute_scale_factor=False)
    return maps[:, :, : wanted_hw[0], : wanted_hw[1]]


def _probe(network: nn.Module) -> tuple[Tensor, ...]:
    """Return the feature maps of a square, having seen that images of other sizes have the maps they should have."""
    kind = type(network).__name__
    try:
        maps = _call(network, (PROBE_PX, PROBE_PX))
        strides = [PROBE_PX // side for part in maps for side in part.shape[2:]]
        if any(PROBE_PX % stride for stride in strides) or any(part.shape[2] != part.shape[3] for part in maps):
            raise ValueError(f"expected maps at whole strides, got {[tuple(part.shape) for part in maps]}")
        for cells_hw in ((1, 1), PROBE_CELLS_HW):
            last = _call(network, (cells_hw[0] * strides[-1], cells_hw[1] * strides[-1]))[-1]
            if tuple(last.shape[2:]) != cells_hw:
                raise ValueError(f"expected {cells_hw} cells at stride {strides[-1]}, got {tuple(last.shape[2:])}")
    except Exception as error:  # whatever a network's code raises on a size it was not made for
        raise ConfigError(
            f"{kind} with this configuration gives no feature maps for images of any size ({first_line(error)}); "
            "choose another backbone, such as a ResNet, ConvNeXt, Swin, DINOv2 or DINOv3 (docs/hf.md)"
        ) from error
    return maps


def _call(network: nn.Module, size_hw: tuple[int, int]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        maps: tuple[Tensor, ...] = tuple(network(pixel_values=torch.zeros(1, 3, *size_hw)).feature_maps)
    if not maps or any(part.ndim != 4 for part in maps):
        raise ValueError(f"expected maps (N, D, h, w), got {[tuple(part.shape) for part in maps]}")
    return maps


def _choose_chain(network: nn.Module, stride: int) -> Chain:
    """Return the first way to cut a network that gives what the whole network gives."""
    image = torch.rand(2, 3, *(cells * stride for cells in PROBE_CELLS_HW), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(pixel_values=image).feature_maps[-1]
        for chain in find_chains(network, patch_px=stride):
            try:
                found = chain.tail(chain.trunk(image))
            except Exception:  # whatever a network's code raises when it is called in another way than it was made for
                continue
            tolerance = CUT_TOLERANCE * float(expected.abs().max())
            if found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=tolerance):
                return chain
    return WholeChain(network)
