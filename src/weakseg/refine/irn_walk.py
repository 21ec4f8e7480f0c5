"""From seeds to pseudo masks by IRN: class evidence walks at random between IRNet's edges (Ahn et al., CVPR 2019).

`weakseg.models.irnet` finds the edges, `weakseg.ops.walk` does the walk; here are the steps before and after it.
`docs/irn.md` tells them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.irnet_branches import IRN_STRIDE
from weakseg.ops.walk import random_walk
from weakseg.refine.masks import seed_to_mask

WALK_RADIUS, WALK_BETA, WALK_DOUBLINGS = 5, 10.0, 8
"""The released walk: pairs closer than 5 cells, affinities to the power 10, 2^8 steps."""


def irn_mask(
    maps: Tensor,
    keys: Sequence[int],
    edge: Tensor,
    *,
    image_size_hw: tuple[int, int],
    background: float,
    radius: int = WALK_RADIUS,
    beta: float = WALK_BETA,
    doublings: int = WALK_DOUBLINGS,
    seed_power: float = 1.0,
) -> NDArray[np.uint8]:
    """Label every pixel by the strongest class after the walk, or as background.

    Args:
        maps: (K, h, w) float in 0..1: the image's seed at stride 4, `ScoreMaps.strided(4)`. K may be 0.
        keys: The K class indices of the maps, distinct.
        edge: (h, w) float in 0..1, from `IRNet.infer`.
        image_size_hw: (height, width) of the image in pixels.
        background: Score of the background, 0..1: IRN 0.25, RIB 0.27 (COCO 0.22). A tie goes to the background.
        radius: Steps are shorter than this many cells.
        beta: Power of the affinities.
        doublings: The walk has 2^doublings steps.
        seed_power: Power of the maps before the walk: IRN 1, RIB 1.3.

    Returns:
        (H, W) uint8, 0 for the background and class index + 1 elsewhere; all 0 for an image without tags.

    Raises:
        ShapeError, ConfigError: See `walked_maps`; also if the keys do not fit.
    """
    walked = walked_maps(
        maps,
        edge,
        image_size_hw=image_size_hw,
        radius=radius,
        beta=beta,
        doublings=doublings,
        seed_power=seed_power,
    )
    return seed_to_mask(walked.cpu().numpy(), keys, background_threshold=background)


@torch.no_grad()
def walked_maps(
    maps: Tensor,
    edge: Tensor,
    *,
    image_size_hw: tuple[int, int],
    radius: int = WALK_RADIUS,
    beta: float = WALK_BETA,
    doublings: int = WALK_DOUBLINGS,
    seed_power: float = 1.0,
) -> Tensor:
    """Spread a seed up to the edges and bring it to the image's size.

    The result is upsampled bilinearly (`align_corners=False`): to 4 px per cell and cropped where maps and edge are at
    stride 4 of this very image; to the image's size where they are of a smaller copy (`max_side_px`). All maps are
    divided by the largest value of them all, so that classes still compare.

    Args:
        maps: (K, h, w) float in 0..1: the image's seed at stride 4, `ScoreMaps.strided(4)`. K may be 0. Not modified.
        edge: (h, w) float in 0..1, from `IRNet.infer`. Not modified. The walk runs on its device.
        image_size_hw: (height, width) of the image in pixels.
        radius: Steps are shorter than this many cells.
        beta: Power of the affinities.
        doublings: The walk has 2^doublings steps.
        seed_power: Power of the maps before the walk, above 0; more than 1 trusts strong evidence more.

    Returns:
        (K, H, W) float32 in 0..1 on the device of `edge`; the largest value is 1, unless the seed is 0 everywhere.

    Raises:
        ShapeError: If maps or edge have another shape or dtype or values outside 0..1, NaN included, or if they do
            not fit each other or the image.
        ConfigError: If the power or an option of the walk is outside its range.
    """
    _require_inputs(maps, edge, image_size_hw)
    if not 0 < seed_power < math.inf:
        raise ConfigError(f"seed_power: expected a power above 0, got {seed_power}")
    if maps.shape[0] == 0:
        return torch.zeros(0, *image_size_hw, device=edge.device)
    seed = maps.to(device=edge.device, dtype=torch.float32) ** seed_power
    walked = random_walk(seed, edge, radius=radius, beta=beta, doublings=doublings)
    walked = _upsample(walked, image_size_hw)
    largest = walked.amax()
    return walked / torch.where(largest > 0, largest, 1)


def _upsample(maps: Tensor, image_size_hw: tuple[int, int]) -> Tensor:
    """Bring maps (K, h, w) to the image's size."""
    height, width = image_size_hw
    rows, columns = maps.shape[1:]
    exact_hw = (IRN_STRIDE * rows, IRN_STRIDE * columns)
    at_stride = all(0 <= full - side < IRN_STRIDE for full, side in zip(exact_hw, image_size_hw, strict=True))
    size_hw = exact_hw if at_stride else image_size_hw
    upsampled = torch.nn.functional.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)
    return upsampled[0, :, :height, :width]


def _require_inputs(maps: Tensor, edge: Tensor, image_size_hw: tuple[int, int]) -> None:
    if maps.ndim != 3 or not maps.is_floating_point():
        raise ShapeError(f"expected seed maps (K, h, w) float, got {maps.dtype} {tuple(maps.shape)}")
    if not bool(((maps >= 0) & (maps <= 1)).all()):  # false for NaN
        found = "NaN" if bool(maps.isnan().any()) else f"{float(maps.min()):.3g}..{float(maps.max()):.3g}"
        raise ShapeError(f"expected seed maps in 0..1, got {found}; delete the image's seed and localize it again")
    if edge.ndim != 2 or maps.shape[1:] != edge.shape:
        raise ShapeError(
            f"seed maps {tuple(maps.shape[1:])} and edge {tuple(edge.shape)} differ in size (height, width); make both "
            f"from one image, the maps with ScoreMaps.strided({IRN_STRIDE})"
        )
    if edge.numel() == 0 or min(image_size_hw) < 1:
        raise ShapeError(
            f"expected an image of at least 1 x 1 pixel, got {image_size_hw} and {tuple(edge.shape)} cells"
        )
    bounds = [_copy_scales(side, cells) for side, cells in zip(image_size_hw, edge.shape, strict=True)]
    if max(least for least, _ in bounds) > min(1.0, *(most for _, most in bounds)):
        raise ShapeError(
            f"maps of {tuple(edge.shape)} cells do not fit an image of {image_size_hw} pixels (height, width), which "
            f"has {tuple(math.ceil(side / IRN_STRIDE) for side in image_size_hw)} at stride {IRN_STRIDE}"
        )


def _copy_scales(side_px: int, cells: int) -> tuple[float, float]:
    """Bound the scale f of a copy of an image of which one side has so many cells at stride 4.

    The copy's side is round(f * side_px) px, at least 1, and has ceil(that / 4) cells.
    """
    fewest_px, most_px = IRN_STRIDE * (cells - 1) + 1, IRN_STRIDE * cells
    return (0.0 if cells == 1 else (fewest_px - 0.5) / side_px), (most_px + 0.5) / side_px
