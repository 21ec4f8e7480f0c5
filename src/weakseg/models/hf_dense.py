"""Convolutions of `transformers` made to look more closely: the last stage of a pyramid, and the filters of patches."""

from __future__ import annotations

from torch import Tensor, nn

from weakseg.models.backbone import IMAGE_CHANNELS
from weakseg.models.hf_chain import STAGE_LISTS, find_list

FILLED_FAMILIES = ("convnext", "convnextv2", "dinov3_convnext", "resnet")
"""Values of `model_type` whose last stage `fill_last_stage` can keep from shrinking."""


class DenseDownsample(nn.Conv2d):
    """An even convolution that shrank maps by its side, at stride 1: outputs at even places are those it had there.

    Args:
        original: The convolution, whose parameters are taken over.
    """

    def __init__(self, original: nn.Conv2d) -> None:
        side = original.kernel_size[0]
        super().__init__(original.in_channels, original.out_channels, side, bias=original.bias is not None)
        self.weight, self.bias = original.weight, original.bias

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, C, h, w) into (N, D, h, w), continued at the right and bottom by the last column and row."""
        more = self.kernel_size[0] - 1
        return super().forward(nn.functional.pad(x, (0, more, 0, more), mode="replicate"))


def fill_last_stage(network: nn.Module) -> bool:
    """Keep the last stage of convolutions from halving its maps, in place: their stride is then half as large.

    Convolutions behind the one that halved are dilated by 2, so that the values at even places stay as they were.

    Returns:
        Whether the network has such a stage.
    """
    stages = find_list(network, STAGE_LISTS)
    if stages is None or len(stages) == 0:
        return False
    last, filled = stages[-1], False
    for name, module in list(last.named_modules()):
        if not isinstance(module, nn.Conv2d):
            continue
        if module.stride == (2, 2) and module.kernel_size == (2, 2):
            parent, _, child = name.rpartition(".")
            setattr(last.get_submodule(parent), child, DenseDownsample(module))
            filled = True
        elif module.stride == (2, 2):
            module.stride = (1, 1)
            filled = True
        elif filled and module.kernel_size != (1, 1):
            module.dilation = (2, 2)
            module.padding = tuple(2 * int(side) for side in module.padding)
    return filled


def find_patch_filters(network: nn.Module, *, patch_px: int) -> nn.Conv2d | None:
    """Return the convolution that embeds patches of this side, or None if there is none."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == IMAGE_CHANNELS:
            side = (patch_px, patch_px)
            return module if module.kernel_size == side == module.stride else None
    return None
