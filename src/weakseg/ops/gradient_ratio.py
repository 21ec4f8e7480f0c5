"""High gradient ratio (HGR): how much of a region an output depends on, read off the gradient of that output.

From RIB (Lee et al., NeurIPS 2021, section 3): a map of absolute gradients with respect to the image is divided by its
maximum, and the HGR of a region is the share of its pixels above a threshold, 0.3 in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.errors import ShapeError

HIGH_GRADIENT = 0.3
"""The paper's threshold."""


def normalise_gradients(gradients: Tensor) -> Tensor:
    """Divide the magnitudes of every image's gradients by their maximum.

    Args:
        gradients: (N, H, W) float. Not modified.

    Returns:
        (N, H, W) in 0..1, in the dtype and on the device of `gradients`; all 0 for an image without any gradient.

    Raises:
        ShapeError: If `gradients` is not (N, H, W) float.
    """
    _require_maps(gradients)
    magnitudes = gradients.abs()
    highest = magnitudes.amax(dim=(1, 2), keepdim=True)
    return magnitudes / torch.where(highest > 0, highest, 1)


def high_gradient_ratio(maps: Tensor, regions: Tensor, *, threshold: float = HIGH_GRADIENT) -> Tensor:
    """Return the share of every image's region in which a normalised gradient map exceeds a threshold.

    Args:
        maps: (N, H, W) float in 0..1, see `normalise_gradients`.
        regions: (N, H, W) bool on the device of `maps`.
        threshold: Pixels strictly above it count.

    Returns:
        (N,) float32 in 0..1 on the device of `maps`; NaN for an image whose region has no pixel.

    Raises:
        ShapeError: If the maps are not (N, H, W) float or the regions not bool of that shape.
    """
    _require_maps(maps)
    if regions.shape != maps.shape or regions.dtype != torch.bool:
        raise ShapeError(
            f"expected bool regions of shape {tuple(maps.shape)}, got {regions.dtype} {tuple(regions.shape)}"
        )
    high = ((maps > threshold) & regions).sum(dim=(1, 2))
    return high.float() / regions.sum(dim=(1, 2)).float()


def _require_maps(maps: Tensor) -> None:
    if maps.ndim != 3 or not maps.is_floating_point():
        raise ShapeError(f"expected float gradient maps (N, H, W), got {maps.dtype} {tuple(maps.shape)}")
