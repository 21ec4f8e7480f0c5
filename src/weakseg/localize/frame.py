"""Maps of networks that see an image as a whole, brought to the frame in which `ScoreMaps` keeps them.

`ScoreMaps` sees a map as that of whole strides of 16 px, of which the last may stick out of the image. Networks that
resize an image to what they like give maps that cover it just so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FRAME_PX = 16
"""`ScoreMaps` is rebuilt at the next multiple of this, and cropped."""

CELL_PX = 8
"""Half a stride: hardly anything blurs when maps of strides are resampled."""


def fit_frame(maps: Tensor, size_hw: tuple[int, int], *, cell_px: int = CELL_PX) -> Tensor:
    """Resample maps that cover an image just so.

    Args:
        maps: (K, h, w) float, K at least 1. Not modified.
        size_hw: (height, width) of the image in pixels.
        cell_px: Side of a cell of the result, a divisor of 16.

    Returns:
        (K, h', w') with a cell for every `cell_px` of the image rounded up to strides of 16; what sticks out of the
        image repeats its border.
    """
    lines = []
    for side_px in reversed(size_hw):
        cells = math.ceil(side_px / FRAME_PX) * FRAME_PX // cell_px
        lines.append((torch.arange(cells, device=maps.device) + 0.5) * 2 * cell_px / side_px - 1)
    columns, rows = lines
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    return nn.functional.grid_sample(maps[None], places[None], padding_mode="border", align_corners=False)[0]
