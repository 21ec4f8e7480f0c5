"""SEAM's pixel correlation module: maps averaged over the positions that look alike (Wang et al., CVPR 2020, sec. 3.3).

The paper gives the formula and the three inputs; what it leaves open was found by trying the possibilities against a
recording of the released network (`tests/golden/seam_forward.npz`). `docs/seam.md` lists what that settles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weakseg.models.backbone import IMAGE_CHANNELS
from weakseg.ops.equivariance import compete, normalise_maps

PAIRS_AT_ONCE = 2**25
"""Correlations held at a time, 128 MiB in float32, when no gradient is asked for; changes no number beyond rounding."""

_EPS = 1e-5
"""Keeps positions without features from dividing by 0. The recording does not tell one value from another."""


@dataclass(frozen=True)
class CorrelationWidths:
    """Channels of the module's convolutions; the defaults are the released ones.

    Args:
        conv4: What the features of stage 4 are reduced to.
        conv5: What the features of stage 5 are reduced to.
        embedding: What positions are compared by.
    """

    conv4: int = 64
    conv5: int = 128
    embedding: int = 192


RELEASED_WIDTHS = CorrelationWidths()
"""For ResNet-38, whose stages 4 and 5 have 512 and 1024 channels."""


class PixelCorrelation(nn.Module):
    """Refines score maps: each position becomes the average of all positions, weighted by how alike they look.

    Two positions are as alike as the cosine between their embeddings, 0 where that is negative. Embeddings are a 1x1
    convolution of the image, shrunk, and of two reduced feature maps. Convolutions have no bias.

    The module is no part of what it refines: scores and features count as constants, so that only its own three
    convolutions get a gradient.

    Args:
        conv4_channels: Channels of the features of stage 4.
        conv5_channels: Channels of the features of stage 5.
        widths: Channels inside.
        generator: Source of the random weights (He-normal); torch's global one if None.
    """

    def __init__(
        self,
        conv4_channels: int,
        conv5_channels: int,
        *,
        widths: CorrelationWidths = RELEASED_WIDTHS,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.reduce_conv4 = nn.Conv2d(conv4_channels, widths.conv4, 1, bias=False)
        self.reduce_conv5 = nn.Conv2d(conv5_channels, widths.conv5, 1, bias=False)
        self.embed = nn.Conv2d(IMAGE_CHANNELS + widths.conv4 + widths.conv5, widths.embedding, 1, bias=False)
        for convolution in (self.reduce_conv4, self.reduce_conv5, self.embed):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)

    def forward(self, scores: Tensor, image: Tensor, conv4: Tensor, conv5: Tensor) -> Tensor:
        """Refine score maps.

        Args:
            scores: (N, C, h, w) raw score maps of the classes, C at least 1. They are normalised and compete for
                positions before they are averaged, see `weakseg.ops.equivariance`. Not modified.
            image: (N, 3, H, W) the images they are of, normalised.
            conv4: (N, D4, h, w) features.
            conv5: (N, D5, h, w) features.

        Returns:
            (N, C + 1, h, w) background first, in 0..1.
        """
        maps = compete(normalise_maps(scores.detach())).flatten(2)
        embedding = nn.functional.normalize(self._look(image, conv4.detach(), conv5.detach()).flatten(2), eps=_EPS)
        positions = embedding.shape[2]
        portion = positions if torch.is_grad_enabled() else max(1, PAIRS_AT_ONCE // (len(maps) * positions))
        parts = [embedding[:, :, start : start + portion] for start in range(0, positions, portion)]
        refined = [_average(maps, embedding, part) for part in parts]
        return torch.cat(refined, dim=2).view(len(scores), -1, *scores.shape[2:])

    def _look(self, image: Tensor, conv4: Tensor, conv5: Tensor) -> Tensor:
        """Return the embedding (N, E, h, w) of every position."""
        shrunk = nn.functional.interpolate(image, conv4.shape[2:], mode="bilinear", align_corners=True)
        embedded: Tensor = self.embed(
            torch.cat((shrunk, self.reduce_conv4(conv4).relu(), self.reduce_conv5(conv5).relu()), dim=1)
        )
        return embedded


def _average(maps: Tensor, embedding: Tensor, part: Tensor) -> Tensor:
    """Average maps (N, L, P) for some positions, whose unit embeddings are (N, E, p): (N, L, p)."""
    correlation = torch.bmm(embedding.transpose(1, 2), part).relu()
    averaged: Tensor = torch.bmm(maps, correlation) / (correlation.sum(dim=1, keepdim=True) + _EPS)
    return averaged
