"""Score maps averaged over the positions that look alike, by features that nothing has to be trained for.

Each position takes the average of all positions of its image, weighted by the softmax of the cosine between their
features. It is the idea of SEAM's pixel correlation module (Wang et al., CVPR 2020, section 3.3) without its learnt
convolutions, and of CLIP-ES's attention refinement (Lin et al., CVPR 2023) with a convolutional network's features in
place of attention. docs/lpcam.md says what it gives, and how the temperature was chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from weakseg.errors import ShapeError
from weakseg.ops.kinds import require_tensor

PAIRS_AT_ONCE = 2**24
"""Cosines held at a time, 64 MiB in float32; changes no number beyond rounding."""


def average_over_similar(maps: Tensor, features: Tensor, *, temperature: float) -> Tensor:
    """Replace every position of score maps by the average of all positions, weighted by how alike they look.

    Args:
        maps: (K, h, w) float; K may be 0. Not modified.
        features: (D, H, W) float on the same device, H >= h and W >= w; averaged down to h x w. Not modified.
        temperature: What the cosines, -1..1, are divided by before the softmax; above 0. Low ones change little, high
            ones blur: at 0.1 a position with the opposite features weighs 2e-9 times as much as the position itself.

    Returns:
        (K, h, w) in the dtype of `maps`; each value lies between its map's minimum and maximum. Features that are all
        alike, or all zero, give the map's mean everywhere. Differentiable in both inputs.

    Raises:
        ShapeError: If maps or features have another number of dimensions or are not float, the features are coarser
            than the maps, or the temperature is not above 0.
    """
    require_tensor(maps, "maps")
    require_tensor(features, "features")
    if maps.ndim != 3 or features.ndim != 3:
        raise ShapeError(
            f"expected maps (K, h, w) and features (D, H, W), got {tuple(maps.shape)} and {tuple(features.shape)}"
        )
    if not (maps.is_floating_point() and features.is_floating_point()):
        raise ShapeError(f"expected float maps and features, got {maps.dtype} and {features.dtype}")
    if features.shape[1] < maps.shape[1] or features.shape[2] < maps.shape[2]:
        raise ShapeError(f"features of {tuple(features.shape[1:])} are coarser than maps of {tuple(maps.shape[1:])}")
    if not temperature > 0:
        raise ShapeError(f"expected a temperature above 0, got {temperature}")
    count, height, width = maps.shape
    if count * height * width == 0:
        return maps.clone()
    pooled = features if features.shape[1:] == maps.shape[1:] else adaptive_avg_pool2d(features, (height, width))
    directions = normalize(pooled.flatten(1).to(maps.dtype), dim=0)
    values = maps.flatten(1)
    rows = max(1, PAIRS_AT_ONCE // values.shape[1])
    averaged = [
        values @ (directions[:, start : start + rows].T @ directions / temperature).softmax(dim=1).T
        for start in range(0, values.shape[1], rows)
    ]
    return torch.cat(averaged, dim=1).view(count, height, width)
