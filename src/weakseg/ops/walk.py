"""Random walks that spread class maps along affinities: IRN's from edges, AffinityNet's from features.

A walk moves a map's values between pixels less than a radius apart. Released codes build the dense N x N transition
matrix of the N pixels and square it `doublings` times; here a step is P slices of the map, one per offset, and takes
O(N) memory. Two things make it exact in float32 and quick:

- A step adds differences, `x_j + sum_i a_ij (x_i - x_j) / d_j`, and not the products `sum_i a_ij x_i / d_j`. In exact
  arithmetic both are the same; but the rounding of the products is the same in every step and adds up, over 2^8 of
  them, to 1.5e-4 of a map of order 1. With differences it is 1e-6.
- The power is a sum of Chebyshev polynomials, most of which weigh nothing: 2^8 steps take 96 products, see
  `_power_as_chebyshev`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.affinity import feature_affinity, path_affinity
from weakseg.ops.kinds import require_tensor
from weakseg.ops.paths import SourceGrid, list_offsets

CHEBYSHEV_TAIL = 1e-9
"""Total weight of the polynomials that are left out of a power.

For affinities in 0..1 no value of a walked map changes by more than this times sqrt(N (2 P + 1)) times the map's
largest value: 2e-6 for a map of 250 x 250 pixels and a radius of 5, and in practice below the rounding of float32.
"""

MAX_DOUBLINGS = 20
"""A walk of 2^20 steps takes 6192 products and reaches about 1000 times as far as one step: across any image. The
rounding of the products adds up: on a map of 12 x 15 px of order 1 to 5e-7 in 2^8 steps, 2e-5 in 2^14, 1e-3 in 2^20."""


def random_walk(maps: Tensor, edge: Tensor, *, radius: int = 5, beta: float = 10.0, doublings: int = 8) -> Tensor:
    """Spread maps as far as edges let them: IRN's walk, as released.

    The affinity of two pixels closer than `radius` is (1 - largest edge on the path between them)^beta, that of a
    pixel with itself 1. Maps are multiplied by 1 - edge, then walked by `walk_maps`. Not differentiable.

    Args:
        maps: (C, H, W) float without NaN or infinity, at the edge's resolution; C may be 0, H and W anything from 1
            on. Not modified.
        edge: (H, W) float in 0..1. Not modified.
        radius: Pairs are closer than this, in px of the map.
        beta: Exponent of the affinities, above 0.
        doublings: The walk takes 2^doublings steps, 0 to 20.

    Returns:
        (C, H, W) float32 on the device of `maps`, within the range of the maps times 1 - edge.

    Raises:
        ShapeError: If a shape, dtype or value is not as said.
        ConfigError: If an option is outside its range.
    """
    _require_maps(maps)
    _require_options(radius=radius, beta=beta, doublings=doublings)
    require_tensor(edge, "edge")
    if tuple(edge.shape) != tuple(maps.shape[1:]) or not edge.is_floating_point():
        raise ShapeError(f"expected a float edge map {tuple(maps.shape[1:])}, got {edge.dtype} {tuple(edge.shape)}")
    if not _lies_in_unit_range(edge):
        raise ShapeError("edges must lie in 0..1; a sigmoid is to be applied to logits before")
    with torch.no_grad():
        edge = edge.float()
        # Beyond the borders everything is edge: each pixel becomes a source, without pairs outside the image.
        reach = radius - 1
        padded = torch.nn.functional.pad(edge, (reach, reach, 0, reach), value=1.0)
        affinity = path_affinity(padded[None], radius=radius).reshape(-1, *edge.shape).pow_(beta)
        return walk_maps(maps * (1 - edge), affinity, radius=radius, doublings=doublings)


def affinity_walk(maps: Tensor, features: Tensor, *, radius: int = 5, beta: float = 8.0, doublings: int = 8) -> Tensor:
    """Spread maps between pixels of like features: AffinityNet's walk, as released.

    The affinity of two pixels closer than `radius` is exp(-mean |difference of features|)^beta, that of a pixel with
    itself 1. As released, pairs start only from pixels all of whose pairs lie inside the map (rows 0..H-radius, columns
    radius-1..W-radius). Two pixels near the left, right or lower border may thus be close and yet no pair, and in a map
    with less than `radius` rows or 2 * radius - 1 columns there is no pair at all: it is returned as it came.

    Args:
        maps: (C, H, W) float without NaN or infinity, background among them if it is to compete; C may be 0, H and W
            anything from 1 on. Not modified. The released code averages maps over the cells of the features' stride.
        features: (D, H, W) float without NaN or infinity, D at least 1. Not modified.
        radius: Pairs are closer than this, in px of the map.
        beta: Exponent of the affinities, above 0.
        doublings: The walk takes 2^doublings steps, 0 to 20.

    Returns:
        (C, H, W) float32 on the device of `maps`, within the range of the maps.

    Raises:
        ShapeError: If a shape, dtype or value is not as said.
        ConfigError: If an option is outside its range.
    """
    _require_maps(maps)
    _require_options(radius=radius, beta=beta, doublings=doublings)
    size_hw = (maps.shape[1], maps.shape[2])
    require_tensor(features, "features")
    if features.ndim != 3 or tuple(features.shape[1:]) != size_hw or not features.is_floating_point():
        raise ShapeError(
            f"expected float features (D, {size_hw[0]}, {size_hw[1]}), got {features.dtype} {tuple(features.shape)}"
        )
    if not bool(features.isfinite().all()):
        raise ShapeError("features hold NaN or infinity")
    with torch.no_grad():
        affinity = torch.zeros(len(list_offsets(radius)), *size_hw, device=maps.device)
        if size_hw[0] >= radius and size_hw[1] >= 2 * radius - 1:
            sources = SourceGrid(size_hw, radius).view(affinity)
            of_pairs = feature_affinity(features[None].float(), radius=radius)[0]
            sources.copy_(of_pairs.reshape(sources.shape).pow_(beta))
        return walk_maps(maps, affinity, radius=radius, doublings=doublings)


def walk_maps(maps: Tensor, affinity: Tensor, *, radius: int, doublings: int) -> Tensor:
    """Walk maps 2^doublings steps along given affinities.

    One step replaces the value of each pixel j by the mean of its own (weight 1) and those of the pixels it is a pair
    with (weights their affinities): the map, as a row vector, times the affinity matrix with its columns normalised.

    Args:
        maps: (C, H, W) float without NaN or infinity; C may be 0. Not modified.
        affinity: (P, H, W) float in 0..1: for every offset (dy, dx) of `search_offsets(radius)` and every pixel (y, x)
            the affinity with (y + dy, x + dx), which holds both ways. What points outside the map does not count.
            Not modified.
        radius: That of the offsets, in px.
        doublings: The walk takes 2^doublings steps, 0 to 20.

    Returns:
        (C, H, W) float32 on the device of `maps`; each map within its own range.

    Raises:
        ShapeError: If a shape, dtype or value is not as said.
        ConfigError: If an option is outside its range.
    """
    _require_maps(maps)
    _require_options(radius=radius, beta=1.0, doublings=doublings)
    expected = (len(list_offsets(radius)), *maps.shape[1:])
    if tuple(affinity.shape) != expected or not affinity.is_floating_point():
        raise ShapeError(f"expected float affinities {expected}, got {affinity.dtype} {tuple(affinity.shape)}")
    if not _lies_in_unit_range(affinity):
        raise ShapeError("affinities must lie in 0..1")
    count, height, width = maps.shape
    if count == 0:
        return torch.zeros(0, height, width, device=maps.device)
    with torch.no_grad():
        links = _Links.between(affinity.float(), radius)
        maps = maps.float()
        flat = torch.nn.functional.pad(maps, (0, radius - 1)).flatten(1)
        walked = _apply_power(flat, links, 2**doublings).reshape(count, height, -1)[..., :width]
        # Means stay within the range of what they are taken of; the sum of polynomials does up to its rounding.
        return walked.clamp(maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True))


@dataclass(frozen=True, eq=False)
class _Links:
    """The affinities of a map whose rows are laid end to end, `radius - 1` empty columns between them.

    An offset then is one shift in memory, whatever the row; the gap is as wide as any offset, so that what would leave
    a row meets emptiness.

    Args:
        by_shift: Per offset its shift and, for every place but the last `shift`, the affinity with the place that
            much further on.
        degree: (L,) sum of each place's affinities, its own 1 among them.
    """

    by_shift: tuple[tuple[int, Tensor], ...]
    degree: Tensor

    @classmethod
    def between(cls, affinity: Tensor, radius: int) -> _Links:
        """Lay out affinities (P, H, W); those that point outside the map are dropped."""
        _, height, width = affinity.shape
        stride = width + radius - 1
        degree = torch.ones(height * stride, device=affinity.device)
        by_shift = []
        for (dy, dx), own in zip(list_offsets(radius), affinity, strict=True):
            if dy >= height or abs(dx) >= width:
                continue
            laid_out = own.new_zeros(height, stride)
            columns = slice(max(0, -dx), min(width, width - dx))
            laid_out[: height - dy, columns] = own[: height - dy, columns]
            shift = dy * stride + dx
            linked = laid_out.flatten()[:-shift]
            degree[:-shift] += linked
            degree[shift:] += linked
            by_shift.append((shift, linked))
        return cls(tuple(by_shift), degree)

    def step(self, flat: Tensor) -> Tensor:
        """Take one step with maps (C, L)."""
        change = torch.zeros_like(flat)
        for shift, linked in self.by_shift:
            difference = flat[:, shift:] - flat[:, :-shift]
            change[:, :-shift].addcmul_(linked, difference)
            change[:, shift:].addcmul_(linked, difference, value=-1)
        return torch.addcdiv(flat, change, self.degree)


def _apply_power(flat: Tensor, links: _Links, steps: int) -> Tensor:
    """Take `steps` steps with maps (C, L) by way of T_(k+1)(x) = 2 x T_k(x) - T_(k-1)(x)."""
    weights = _power_as_chebyshev(steps)
    previous, current = flat, links.step(flat)
    total = weights[0] * previous + weights[1] * current
    for weight in weights[2:]:
        previous, current = current, links.step(current).mul_(2).sub_(previous)
        if weight:
            total.add_(current, alpha=weight)
    return total


def _power_as_chebyshev(power: int) -> list[float]:
    """Write x^power as a sum of Chebyshev polynomials and drop the smallest terms.

    x^n = sum over m of C(n, m) / 2^n T_|2m-n|(x): the weights are the chances of the distances a walker is from its
    start after n steps of +1 or -1, so that all but `CHEBYSHEV_TAIL` of them lies within about 6 sqrt(n). The
    transition matrix is similar to a symmetric one with eigenvalues in -1..1, where no polynomial exceeds 1: what is
    dropped changes the power by no more than its weight. Sachdeva and Vishnoi, "Faster Algorithms via Approximation
    Theory", 2014, chapter 3.

    Returns:
        Weights of T_0, T_1, ...: two at least; all of them if `power` is small.
    """
    ahead = (power + 1) // 2
    log_chance = math.lgamma(power + 1) - math.lgamma(ahead + 1) - math.lgamma(power - ahead + 1)
    chance = math.exp(log_chance - power * math.log(2))
    weights, left = [0.0, 0.0], 1.0
    while True:
        distance = 2 * ahead - power
        weight = chance if distance == 0 else 2 * chance
        weights += [0.0] * (distance + 1 - len(weights))
        weights[distance] = weight
        left -= weight
        if left <= CHEBYSHEV_TAIL or ahead == power:
            return weights
        chance *= (power - ahead) / (ahead + 1)
        ahead += 1


def _require_maps(maps: Tensor) -> None:
    require_tensor(maps, "maps")
    if maps.ndim != 3 or not maps.is_floating_point() or 0 in maps.shape[1:]:
        raise ShapeError(f"expected float maps (C, H, W) of at least 1 x 1 px, got {maps.dtype} {tuple(maps.shape)}")
    if not bool(maps.isfinite().all()):
        raise ShapeError("maps hold NaN or infinity, which a walk would spread over the image")


def _lies_in_unit_range(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())  # false for NaN


def _require_options(*, radius: int, beta: float, doublings: int) -> None:
    list_offsets(radius)  # refuses a radius below 1
    if not beta > 0:
        raise ConfigError(f"beta: expected above 0, got {beta}")
    if not 0 <= doublings <= MAX_DOUBLINGS:
        raise ConfigError(f"doublings: expected 0 to {MAX_DOUBLINGS}, got {doublings}")
