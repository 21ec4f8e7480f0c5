"""The two branches of IRNet, from the outputs of a backbone's stages to one map of edges and one of displacements.

Channels and layer order are those of the released network as its parameter names and shapes tell them. What these leave
open, the number of norm groups and upsampling before the ReLU, is fixed by recorded outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from weakseg.errors import ShapeError
from weakseg.models.backbone import StageForm

IRN_STRIDE = 4
"""Ratio of the image's size to that of edge and displacement."""

NUM_STAGES = 5
"""The stem and the four layers of a ResNet."""

MERGED_STAGE = 2
"""Index of the stage at whose stride the displacement branch first merges this stage and the later ones."""

CHANNELS_PER_GROUP, MAX_GROUPS = 8, 16
"""Groups of a group norm: 4, 8, 16 and 16 for the released widths 32, 64, 128 and 256."""


class Reduction(nn.Module):
    """1x1 convolution, group norm, change of stride, ReLU: (N, C, h, w) -> (N, out_channels, h', w').

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        from_stride: Stride of the input.
        to_stride: Stride of the output. Coarser inputs are upsampled bilinearly (`align_corners=False`) by the exact
            ratio, so that h' may exceed ceil(image height / to_stride); finer ones are averaged.
        generator: Source of the random weights; torch's global one if None.

    Raises:
        ShapeError: If neither stride is a multiple of the other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        from_stride: int,
        to_stride: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if from_stride % to_stride and to_stride % from_stride:
            raise ShapeError(f"a stage at stride {from_stride} cannot be brought to stride {to_stride}")
        self.upsampling, self.pooling = max(1, from_stride // to_stride), max(1, to_stride // from_stride)
        self.convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        _reset(self.convolution, generator)
        self.norm = nn.GroupNorm(max(1, min(MAX_GROUPS, out_channels // CHANNELS_PER_GROUP)), out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return the reduced features, non-negative."""
        features = self.norm(self.convolution(features))
        if self.upsampling > 1:
            features = nn.functional.interpolate(
                features, scale_factor=self.upsampling, mode="bilinear", align_corners=False
            )
        elif self.pooling > 1:
            features = nn.functional.avg_pool2d(features, self.pooling, ceil_mode=True, count_include_pad=False)
        reduced: Tensor = self.relu(features)
        return reduced


class EdgeBranch(nn.Module):
    """All stages reduced to stride 4, concatenated, and one 1x1 convolution.

    Args:
        stages: The backbone's stages.
        width: Channels of each reduced stage.
        generator: Source of the random weights; torch's global one if None.
    """

    def __init__(self, stages: Sequence[StageForm], *, width: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            Reduction(stage.channels, width, from_stride=stage.stride, to_stride=IRN_STRIDE, generator=generator)
            for stage in stages
        )
        self.predict = nn.Conv2d(width * len(stages), 1, 1)
        _reset(self.predict, generator)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Turn the stages' outputs into edge logits (N, h, w)."""
        levels = [level(stage) for level, stage in zip(self.levels, stages, strict=True)]
        logits: Tensor = self.predict(_concatenate(levels))
        return logits[:, 0]


class DisplacementBranch(nn.Module):
    """The three late stages merged at the first one's stride, then merged with the two early stages at stride 4.

    Args:
        stages: The backbone's stages.
        widths: Channels, see `BranchWidths`.
        generator: Source of the random weights; torch's global one if None.
    """

    def __init__(
        self, stages: Sequence[StageForm], *, widths: tuple[int, int, int], generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        first, second, wide = widths
        late_stride = stages[MERGED_STAGE].stride
        self.levels = nn.ModuleList(
            Reduction(
                stage.channels,
                width,
                from_stride=stage.stride,
                to_stride=IRN_STRIDE if index < MERGED_STAGE else late_stride,
                generator=generator,
            )
            for index, (stage, width) in enumerate(zip(stages, (first, second, wide, wide, wide), strict=True))
        )
        self.merge_late = Reduction(
            wide * (NUM_STAGES - MERGED_STAGE),
            wide,
            from_stride=late_stride,
            to_stride=IRN_STRIDE,
            generator=generator,
        )
        self.merge_all = Reduction(
            first + second + wide, wide, from_stride=IRN_STRIDE, to_stride=IRN_STRIDE, generator=generator
        )
        self.predict = nn.Conv2d(wide, 2, 1, bias=False)
        _reset(self.predict, generator)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Turn the stages' outputs into displacements (N, 2, h, w)."""
        levels = [level(stage) for level, stage in zip(self.levels, stages, strict=True)]
        late = self.merge_late(_concatenate(levels[MERGED_STAGE:]))
        displacement: Tensor = self.predict(self.merge_all(_concatenate([*levels[:MERGED_STAGE], late])))
        return displacement


def _concatenate(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate along the channels, cropped to the smallest: what upsampling has added lies at the far borders."""
    height, width = (min(features.shape[axis] for features in maps) for axis in (2, 3))
    return torch.cat([features[:, :, :height, :width] for features in maps], dim=1)


def _reset(convolution: nn.Conv2d, generator: torch.Generator | None) -> None:
    """Draw the weights as PyTorch does by default, but from a generator; a bias starts at 0."""
    nn.init.kaiming_uniform_(convolution.weight, a=math.sqrt(5), generator=generator)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
