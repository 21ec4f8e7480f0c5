"""PAR: maps are averaged over near and far neighbours of like colour, again and again (Ru et al., CVPR 2022).

Pixel-adaptive refinement is what AFA and ToCo do to their maps in place of a CRF. A pixel has eight neighbours at each
of several distances. How much each counts is found once from the colours; then every map becomes the weighted sum of
its neighbours, some ten to twenty times. Nothing is learnt. `weakseg.refine.par` is the refiner made of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.images import require_image
from weakseg.ops.kinds import require_tensor
from weakseg.refine.par import DILATIONS, ITERATIONS

COLOUR_WIDTH = POSITION_WIDTH = 0.3
"""Differences count in these shares of their standard deviation among the neighbours."""

POSITION_WEIGHT = 0.01
"""Share that distance alone adds to a neighbour's weight, so that all weights sum to 1.01."""

STD_EPS = 1e-8
"""Added to a standard deviation before dividing by it."""

_DIRECTIONS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))

_View = Callable[[Tensor], Tensor]


def pixel_adaptive(
    image: Tensor, maps: Tensor, *, dilations: Sequence[int] = DILATIONS, iterations: int = ITERATIONS
) -> Tensor:
    """Spread maps over pixels of like colour.

    The weight of a neighbour n of a pixel, after Ru et al. ("Learning Affinity from Attention", CVPR 2022, section 3.4)
    as released, is its softmax over all neighbours of `-(|I_n - I| / std / 0.3)**2`, averaged over the channels, and a
    hundredth of its softmax of `-(d_n / std / 0.3)**2`, where d_n is its distance and std the standard deviation (with
    n - 1) among the neighbours of that pixel. Beyond the border the outermost pixel repeats. The weights sum to 1.01,
    so that all values grow by a hundredth each time: a map of ones becomes `1.01**iterations` everywhere.

    Two things differ from the release. There maps of another size are enlarged to the image's first; here they must
    have it. Its memory is 48 times that of the maps, here it is that of the weights: `8 * len(dilations)` numbers a
    pixel, and as much again for every iteration of K maps whose gradient is wanted.

    Args:
        image: (3, H, W) float in any unit, since only ratios of differences count; other numbers of channels do as
            well. Converted to the dtype and device of `maps`. Not modified.
        maps: (K, H, W) float, of any range; K may be 0. Not modified.
        dilations: Distances of the neighbours in pixels, each 1 or more, at least one of them; they may exceed the
            image.
        iterations: How often every map is replaced by the weighted sum; 0 gives a copy.

    Returns:
        (K, H, W) in the dtype and on the device of `maps`. Differentiable by both arguments. Equal inputs give equal
        bits on one device.

    Raises:
        ShapeError: If an argument is no float tensor of three dimensions, the two differ in size, or have no pixel.
        ConfigError: If there is no dilation, one is below 1, or the number of iterations is negative.
    """
    _require_pair(image, maps)
    if not dilations or any(dilation < 1 for dilation in dilations):
        raise ConfigError(f"dilations: expected one distance or more, each of 1 px or more, got {tuple(dilations)}")
    if iterations < 0:
        raise ConfigError(f"iterations: expected 0 or more, got {iterations}")
    if maps.shape[0] == 0 or iterations == 0:
        return maps.clone()
    margin = max(dilations)
    views = _neighbour_views((maps.shape[1], maps.shape[2]), dilations, margin=margin)
    weights = _colour_weights(image.to(maps), views, margin=margin)
    weights = weights + POSITION_WEIGHT * _position_weights(dilations).to(maps)[:, None, None]
    for _ in range(iterations):
        padded = _pad(maps, margin)
        spread = torch.zeros_like(maps)
        for view, weight in zip(views, weights, strict=True):
            spread.addcmul_(view(padded), weight)
        maps = spread
    return maps


def spread_seed(
    image: NDArray[np.uint8], maps: Tensor, *, dilations: Sequence[int], iterations: int, device: torch.device
) -> Tensor:
    """Spread a seed over the pixels of like colour of its image, so that it can be cut like any seed.

    The release adds the background to the maps, one score everywhere, and spreads it with them, which only multiplies
    it by `1.01**iterations`. Here the maps are divided by that instead: the same labels, at every threshold at once.

    Args:
        image: (H, W, 3) uint8 RGB. Not modified.
        maps: (K, H, W) float in 0..1. Not modified.
        dilations: As for `pixel_adaptive`, like the rest.
        iterations: How often.
        device: Where it is computed.

    Returns:
        (K, H, W) float32 on the CPU, in 0..1.

    Raises:
        ShapeError, ConfigError: See `pixel_adaptive`.
    """
    require_image(image)
    pixels = torch.from_numpy(image).to(device, torch.float32).permute(2, 0, 1)
    with torch.no_grad():
        spread = pixel_adaptive(pixels, maps.to(device, torch.float32), dilations=dilations, iterations=iterations)
    # What rounding has left above 1 after so many sums.
    return (spread / (1 + POSITION_WEIGHT) ** iterations).clamp(0, 1).cpu()


def _neighbour_views(size_hw: tuple[int, int], dilations: Sequence[int], *, margin: int) -> list[_View]:
    """Return for each neighbour what cuts its values (C, H, W) out of values that are padded by a margin."""
    height, width = size_hw

    def cutter(top: int, left: int) -> _View:
        return lambda padded: padded[:, top : top + height, left : left + width]

    return [cutter(margin + dilation * dy, margin + dilation * dx) for dilation in dilations for dy, dx in _DIRECTIONS]


def _colour_weights(image: Tensor, views: Sequence[_View], *, margin: int) -> Tensor:
    """Return the weights (N, H, W) by colour of the N neighbours of each pixel; they sum to 1."""
    padded = _pad(image, margin)
    mean = torch.zeros_like(image)
    for view in views:
        mean = mean + view(padded)
    mean = mean / len(views)
    squares = torch.zeros_like(image)
    for view in views:
        squares = squares + (view(padded) - mean).square()
    variance = squares / (len(views) - 1)
    # The derivative of a root is infinite at 0, and 0 times infinity is NaN: where all colours are equal there is none.
    varied = variance > 0
    std = torch.where(varied, torch.where(varied, variance, 1).sqrt(), 0)
    scale = 1 / ((std + STD_EPS) * COLOUR_WIDTH)
    closeness = [-((view(padded) - image) * scale).square().mean(dim=0) for view in views]
    return torch.stack(closeness).softmax(dim=0)


def _position_weights(dilations: Sequence[int]) -> Tensor:
    """Return the weights (N,) float64 by distance of the N neighbours of any pixel; they sum to 1."""
    distances = torch.tensor(
        [dilation * math.hypot(dy, dx) for dilation in dilations for dy, dx in _DIRECTIONS], dtype=torch.float64
    )
    return (-(distances / (distances.std() + STD_EPS) / POSITION_WIDTH).square()).softmax(dim=0)


def _pad(values: Tensor, margin: int) -> Tensor:
    """Repeat the outermost pixels of (C, H, W) on every side."""
    return torch.nn.functional.pad(values, (margin, margin, margin, margin), mode="replicate")


def _require_pair(image: Tensor, maps: Tensor) -> None:
    for value, what, shape in ((image, "image", "(3, H, W)"), (maps, "maps", "(K, H, W)")):
        require_tensor(value, what)
        if value.ndim != 3 or not value.is_floating_point():
            raise ShapeError(f"{what}: expected a float tensor {shape}, got {value.dtype} {tuple(value.shape)}")
    if 0 in image.shape:
        raise ShapeError(f"image: expected at least one channel and one pixel, got {tuple(image.shape)}")
    if maps.shape[1:] != image.shape[1:]:
        raise ShapeError(
            f"maps: expected (K, {image.shape[1]}, {image.shape[2]}), the image's size, got {tuple(maps.shape)}; "
            "resize one of the two first"
        )
