"""Semantic segmentation networks of the library `transformers`, behind the interface of all segmenters.

Whatever the architecture, images come in as weakseg normalises them and in any size, and logits leave at the network's
own stride. How a network behaves (its stride, whether it takes any size, which parameters its logits depend on) is not
looked up but found by passing a small image through it, so that new families need no code here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.models.backbone import require_images
from weakseg.models.checkpoints import fit_state
from weakseg.models.hf_config import describe_architecture
from weakseg.models.hf_source import ConvertPixels, InputFormat, first_line
from weakseg.models.modes import evaluating
from weakseg.models.segmenter import SegmentationNetwork

SIZE_MULTIPLE_PX = 32
"""Images are padded to multiples of this, the stride at the deepest place of these networks."""

PROBE_HW = (64, 160)
"""Size of the image passed through a network to learn how it behaves. On patches of 14 pixels, which drop what is left
over and stretch the rest, the two sides give different strides."""

_ONE_VALUE = "Expected more than 1 value per channel"
"""How torch begins its complaint of a batch norm that is to learn from a single number."""


@dataclass(frozen=True)
class Geometry:
    """What sizes a network takes and returns.

    Args:
        square: Whether it takes squares alone.
        stride: Ratio of the input's size to the logits'.
        least_px: Smallest height and width it takes.
    """

    square: bool
    stride: int
    least_px: int = SIZE_MULTIPLE_PX

    def pad(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the smallest size the network takes that an image of another size fits into."""
        height, width = (_divide_up(side, SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX for side in size_hw)
        if self.least_px > SIZE_MULTIPLE_PX:  # an ONNX file need not hold a comparison that is always true
            height, width = max(height, self.least_px), max(width, self.least_px)
        return (max(height, width),) * 2 if self.square else (height, width)


class HFSegmenter(SegmentationNetwork):
    """A semantic segmentation network of `transformers`; the state dict holds `network.*` under that library's names.

    Parameters that the logits do not depend on, such as those of a norm that only a classifier reads, are frozen, so
    that several processes can train it.

    Args:
        network: On the CPU; called as `network(pixel_values=images).logits`.
        config: The configuration that it is rebuilt from.
        num_labels: Number of labels L, background included.
        input_format: The values it expects images in.
        fixed_norm: Keep the backbone's batch norms on their running statistics while training. Those of the head, which
            is new to the labels, always learn theirs.

    Attributes:
        num_labels: Number of labels L.
        stride: Ratio of the input's size to the logits', which is 1 for families that upsample by themselves.
        network: The network.

    Raises:
        ConfigError: If the network is not of the kind that labels pixels, or takes images of one size alone.
        ShapeError: If `num_labels` is not in 2..255.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        config: Mapping[str, JsonValue],
        num_labels: int,
        input_format: InputFormat,
        fixed_norm: bool,
    ) -> None:
        geometry = probe_geometry(network, num_labels=num_labels)
        super().__init__(num_labels=num_labels, stride=geometry.stride)
        self.network = network
        self._config = dict(config)
        self._geometry = geometry
        self._fixed_norm = fixed_norm
        self._backbone_name = find_backbone(network)
        self.convert = ConvertPixels(input_format)
        _freeze_unused(network, geometry.pad(PROBE_HW))
        self.train()

    @property
    def backbone(self) -> nn.Module:
        """The part of the network below its head."""
        return self.network.get_submodule(self._backbone_name)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but fixed batch norms, which stay in evaluation mode."""
        super().train(mode)
        if self._fixed_norm:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Turn images into logits; see `SegmentationNetwork.forward`.

        The image is padded at the right and bottom by its own last column and row to a size the network takes; logits
        of what was added are cut off.

        Raises:
            ConfigError: If it is in training mode, gets a single image, and has a batch norm behind a pooling over
                whole images, which then has but one value to learn from.
        """
        require_images(x)
        height, width = x.shape[2:]
        padded_hw = self._geometry.pad((height, width))
        x = nn.functional.pad(self.convert(x), (0, padded_hw[1] - width, 0, padded_hw[0] - height), mode="replicate")
        try:
            logits: Tensor = self.network(pixel_values=x).logits
        except ValueError as error:
            if _ONE_VALUE not in str(error):
                raise
            raise ConfigError(
                f"segmenter.batch_size: {type(self.network).__name__} has a batch norm behind a pooling over whole "
                f"images, so each process must see two images at once or more, got {len(x)}; raise it, lower "
                "segmenter.accumulate, or start fewer processes"
            ) from error
        return logits[:, :, : _divide_up(height, self.stride), : _divide_up(width, self.stride)]

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters that learn."""
        return [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all other parameters that learn."""
        below = {id(parameter) for parameter in self.backbone.parameters()}
        return [p for p in self.network.parameters() if p.requires_grad and id(p) not in below]

    def architecture(self) -> dict[str, JsonValue]:
        """Return the network's configuration and input format as the entry `transformers`."""
        return describe_architecture(self._config, self.convert.input_format)

    def load_backbone(self, state: Mapping[str, Tensor], *, where: str) -> None:
        """Fill the backbone from the state of a segmenter of the same architecture and any labels.

        Args:
            state: Tensors by name; those outside the backbone are not looked at.
            where: File or description for error messages.

        Raises:
            ArtifactError: If it is another network's.
        """
        prefix = f"network.{self._backbone_name}."
        below = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        fit_state(self.backbone, below, where=f"{where} as the backbone of {type(self.network).__name__}")


def probe_geometry(network: nn.Module, *, num_labels: int) -> Geometry:
    """Pass small images through a network to learn its stride, its least size, and whether it takes squares alone.

    Raises:
        ConfigError: If it takes neither images of any size nor squares of any size, or returns no logits of pixels.
    """
    try:
        stride = _measure_stride(network, num_labels, PROBE_HW)
        return Geometry(square=False, stride=stride, least_px=_find_least(network, num_labels, stride))
    except Exception as error:  # whatever a network's code raises on a size it was not made for
        problem = error
    try:
        strides = {_measure_stride(network, num_labels, (side, side)) for side in PROBE_HW}
    except Exception:  # the first error tells more
        strides = set()
    if len(strides) == 1:
        stride = strides.pop()
        return Geometry(square=True, stride=stride, least_px=_find_least(network, num_labels, stride))
    raise ConfigError(
        f"segmenter.name: {type(network).__name__} with this configuration cannot label images of any size (on "
        f"{PROBE_HW[0]} x {PROBE_HW[1]} pixels: {first_line(problem)}); choose another network, see docs/hf.md"
    ) from problem


def _find_least(network: nn.Module, num_labels: int, stride: int) -> int:
    """Return the least height and width of an image that a network labels as it labels larger ones.

    MobileViTV2 parts the deepest features, at stride 32, into patches of 2 x 2 and has none to part below 64 pixels.
    """
    side = SIZE_MULTIPLE_PX
    try:
        return side if _measure_stride(network, num_labels, (side, side)) == stride else PROBE_HW[0]
    except Exception:  # whatever a network's code raises on too small an image
        return PROBE_HW[0]


def _measure_stride(network: nn.Module, num_labels: int, size_hw: tuple[int, int]) -> int:
    with evaluating(network), torch.no_grad():
        logits: Tensor = network(pixel_values=torch.zeros(1, 3, *size_hw)).logits
    height, width = logits.shape[2:]
    stride = size_hw[0] // height
    if logits.shape[1] != num_labels or (height * stride, width * stride) != size_hw:
        raise ValueError(f"expected logits of {num_labels} labels at a whole stride, got {tuple(logits.shape)}")
    return stride


def _freeze_unused(network: nn.Module, size_hw: tuple[int, int]) -> None:
    """Take the gradient from parameters that the logits do not depend on."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with evaluating(network), torch.enable_grad():
        logits: Tensor = network(pixel_values=torch.zeros(1, 3, *size_hw)).logits
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def find_backbone(network: nn.Module) -> str:
    """Return the name of the submodule below the head, by the library's two conventions."""
    for name in (getattr(network, "base_model_prefix", ""), "backbone"):
        if name and isinstance(getattr(network, name, None), nn.Module):
            return str(name)
    raise ConfigError(f"segmenter.name: {type(network).__name__} does not say which of its parts is the backbone")


def _divide_up(size: int, by: int) -> int:
    """Return ceil(size / by); unlike -(-size // by) also in an ONNX file, which rounds negative numbers towards 0."""
    return (size + by - 1) // by
