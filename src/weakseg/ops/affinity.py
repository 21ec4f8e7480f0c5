"""Affinities between close pixels, and the losses that train IRN's edges and displacements with them.

The affinity of two pixels is IRN's (Ahn, Cho and Kwak, CVPR 2019), one minus the strongest edge between them, or
AffinityNet's (Ahn and Kwak, CVPR 2018), from the distance of their features. Pairs are those of
`weakseg.ops.paths`: half-plane offsets from every source whose pairs all lie inside the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.kinds import require_tensor
from weakseg.ops.paths import Offset, SourceGrid, list_offsets, other_ends, path_minima
from weakseg.types import IGNORE_LABEL

LOG_EPS = 1e-5
"""Added to an affinity, and to one minus it, before the logarithm, as released."""

PAIRS_AT_ONCE = 1 << 20
"""Losses are summed over offsets in portions of about so many pairs: small enough for a processor's cache, large
enough that few operations are started."""


@dataclass(frozen=True, eq=False)
class IRNLosses:
    """The four losses of IRN, each a scalar; 0 with a gradient of 0 where it has no pair.

    The constant in the logarithms lets the first two fall to -1e-5.

    Args:
        positive: Mean of -log(affinity + 1e-5) over pairs of one label, taken over pairs of background and over pairs
            of foreground, and the two averaged. If one kind is missing, it is half the other's mean.
        negative: Mean of -log(1 - affinity + 1e-5) over pairs of two labels.
        displacement_foreground: Mean over pairs of one foreground label and over (dy, dx) of the distance, in px, of
            the places that the displacements of both ends point to.
        displacement_background: Mean over pairs of background and over (dy, dx) of the absolute difference of the
            displacements of both ends, in px.
    """

    positive: Tensor
    negative: Tensor
    displacement_foreground: Tensor
    displacement_background: Tensor

    def total(self) -> Tensor:
        """Return what the released code minimises: half the sum of the four."""
        affinity = self.positive + self.negative
        displacement = self.displacement_foreground + self.displacement_background
        return (affinity + displacement) / 2


def search_offsets(radius: int) -> Tensor:
    """List the offsets from a pixel to those closer than `radius` px in one half-plane.

    They are ordered by the number of pixels on the path to them, then by dy, then by dx: IRN's order.

    Args:
        radius: In px, at least 1; a radius of 1 has no offsets, 5 has 34, 10 has 152.

    Returns:
        (P, 2) int64 of (dy, dx) on the CPU, with dy > 0, or dy = 0 and dx > 0.

    Raises:
        ConfigError: If the radius is below 1.
    """
    return torch.tensor(list_offsets(radius), dtype=torch.int64).reshape(-1, 2)


def path_affinity(edge: Tensor, *, radius: int) -> Tensor:
    """Compute IRN's affinity of every pair: one minus the largest edge on the path between its pixels, ends included.

    Where several pixels of a path share the largest edge, the gradient goes to one of them. Only the argument and the
    result are kept for the backward pass, which cannot be differentiated again.

    Args:
        edge: (N, H, W) float, meant to be in 0..1. Not modified.
        radius: Pairs are closer than this, in px.

    Returns:
        (N, P, (H - radius + 1) * (W - 2 * radius + 2)) in the dtype and on the device of `edge`: per image and offset
        (in the order of `search_offsets`) the affinities of all sources, row by row. Sources are the pixels of rows
        0..H-radius and columns radius-1..W-radius, all of whose pairs lie inside the map.

    Raises:
        ShapeError: If the edges are not (N, H, W) float, or too small for the radius.
        ConfigError: If the radius is below 1.
    """
    require_tensor(edge, "edge")
    if edge.ndim != 3 or not edge.is_floating_point():
        raise ShapeError(f"expected float edges (N, H, W), got {edge.dtype} {tuple(edge.shape)}")
    # 1 - max(e) and min(1 - e) are the same numbers: rounding keeps the order.
    return path_minima(1 - edge, radius=radius).flatten(2)


def feature_affinity(features: Tensor, *, radius: int) -> Tensor:
    """Compute AffinityNet's affinity of every pair: exp(-mean over channels of |difference of features|).

    Args:
        features: (N, D, H, W) float, D at least 1. Not modified.
        radius: Pairs are closer than this, in px.

    Returns:
        (N, P, (H - radius + 1) * (W - 2 * radius + 2)) in 0..1, laid out as by `path_affinity`. Differentiable.

    Raises:
        ShapeError: If the features are not (N, D, H, W) float, or too small for the radius.
        ConfigError: If the radius is below 1.
    """
    require_tensor(features, "features")
    if features.ndim != 4 or not features.is_floating_point() or features.shape[1] == 0:
        raise ShapeError(f"expected float features (N, D, H, W), got {features.dtype} {tuple(features.shape)}")
    offsets = list_offsets(radius)
    grid = SourceGrid((features.shape[2], features.shape[3]), radius)
    source = grid.view(features)
    if not offsets:
        return features.new_zeros(features.shape[0], 0, grid.height * grid.width)
    distances = [
        (source - other_ends(features, (offset,), radius=radius)[:, :, 0]).abs().mean(dim=1) for offset in offsets
    ]
    return torch.stack(distances, dim=1).neg().exp().flatten(2)


def affinity_displacement_losses(
    edge: Tensor, displacement: Tensor, labels: Tensor, *, radius: int, num_labels: int
) -> IRNLosses:
    """Compute IRN's losses from confident labels, as released.

    A pair counts if both of its pixels have a label: as positive if the labels are equal (background if both are 0,
    foreground if not), as negative if they differ. Each mean is over all pairs of the batch together. An object's
    pixels are to point to one place, so a foreground pair of source i and other end j costs
    |displacement(i) - displacement(j) - (j - i)|; a background pair costs |displacement(i) - displacement(j)|.

    The released code divides by the number of pairs + 1e-5; here it is the number, or 1 if there is none.

    Args:
        edge: (N, H, W) float in 0..1. Nothing is computed in less than float32.
        displacement: (N, 2, H, W) float of (dy, dx) in pixels of the map.
        labels: (N, H, W) integer, not int8, which holds no 255: 0 background, 1..num_labels-1 classes, 255 ignored.
        radius: Pairs are closer than this, in px; 10 as released.
        num_labels: Number of labels, background included, 1..255. It only serves to check `labels`.

    Returns:
        Four scalars on the device of `edge`.

    Raises:
        ShapeError: If the shapes or dtypes are others, a label is neither 0..num_labels-1 nor 255, or the maps are too
            small for the radius.
        ConfigError: If the radius is below 2 or `num_labels` outside 1..255.
    """
    _check_loss_inputs(edge, displacement, labels, radius=radius, num_labels=num_labels)
    edge = edge.to(torch.promote_types(edge.dtype, torch.float32))
    displacement = displacement.to(edge.dtype)
    grid = SourceGrid((edge.shape[1], edge.shape[2]), radius)
    pixels = edge.shape[0] * grid.height * grid.width
    at_once = max(1, PAIRS_AT_ONCE // max(1, pixels))
    affinities = torch.split(path_affinity(edge, radius=radius), at_once, dim=1)
    own_place = grid.view(displacement)[:, :, None]
    sums, counts = [], []
    for number, affinity in enumerate(affinities):
        offsets = list_offsets(radius)[number * at_once : (number + 1) * at_once]
        kinds = _PairKinds.of(labels, offsets, radius, edge.dtype)
        affinity = affinity.reshape(kinds.negative.shape)
        # The affinity of a positive pair, one minus that of a negative one.
        agreement = torch.addcmul(kinds.negative, affinity, 1 - 2 * kinds.negative)
        cost = -torch.log(agreement + LOG_EPS)
        apart = own_place - other_ends(displacement, offsets, radius=radius)
        steps = apart.new_tensor(offsets).T[:, :, None, None]
        apart_px = torch.addcmul(apart, steps, kinds.foreground[:, None], value=-1).abs()
        each = (kinds.background, kinds.foreground, kinds.negative)
        of_affinity = [(cost * kind).sum() for kind in each]
        of_displacement = [(apart_px * kind[:, None]).sum() / 2 for kind in each[:2]]
        sums.append(torch.stack(of_affinity + of_displacement))
        counts.append(torch.stack([kind.sum() for kind in each]))
    background, foreground, negative = torch.stack(counts).sum(dim=0).clamp(min=1)
    sum_bg, sum_fg, sum_negative, apart_bg_px, apart_fg_px = torch.stack(sums).sum(dim=0)
    return IRNLosses(
        positive=(sum_bg / background + sum_fg / foreground) / 2,
        negative=sum_negative / negative,
        displacement_foreground=apart_fg_px / foreground,
        displacement_background=apart_bg_px / background,
    )


@dataclass(frozen=True, eq=False)
class _PairKinds:
    """Which pairs are of which kind: 1 and 0 in masks (N, P, height, width). A pair may be of none.

    Numbers, since masks of bool are several times slower to multiply with on a CPU.
    """

    background: Tensor
    foreground: Tensor
    negative: Tensor

    @classmethod
    def of(cls, labels: Tensor, offsets: Sequence[Offset], radius: int, dtype: torch.dtype) -> _PairKinds:
        marks = torch.stack([labels, labels != IGNORE_LABEL, labels == 0], dim=1).to(dtype)
        grid = SourceGrid((labels.shape[1], labels.shape[2]), radius)
        own = grid.view(marks)[:, :, None].unbind(1)
        other = other_ends(marks, offsets, radius=radius).unbind(1)
        alike = torch.eq(own[0], other[0], out=torch.empty_like(other[0]))
        labelled = own[1] * other[1]
        positive = alike * labelled
        background = own[2] * other[2]
        return cls(background=background, foreground=positive - background, negative=labelled - positive)


def _check_loss_inputs(edge: Tensor, displacement: Tensor, labels: Tensor, *, radius: int, num_labels: int) -> None:
    if radius < 2:
        raise ConfigError(f"radius: expected at least 2 px, so that there are pairs, got {radius}")
    if not 1 <= num_labels <= IGNORE_LABEL:
        raise ConfigError(f"num_labels: expected 1 to {IGNORE_LABEL}, background included, got {num_labels}")
    for value, what in ((edge, "edge"), (displacement, "displacement"), (labels, "labels")):
        require_tensor(value, what)
    shape = tuple(edge.shape)
    if len(shape) != 3 or displacement.shape != (shape[0], 2, *shape[1:]) or labels.shape != shape:
        raise ShapeError(
            "expected edge (N, H, W), displacement (N, 2, H, W) and labels (N, H, W), "
            f"got {shape}, {tuple(displacement.shape)} and {tuple(labels.shape)}"
        )
    if not displacement.is_floating_point():
        raise ShapeError(f"expected float displacements, got {displacement.dtype}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype in (torch.bool, torch.int8):
        raise ShapeError(f"expected integer labels of a type that holds {IGNORE_LABEL}, got {labels.dtype}")
    wrong = (labels != IGNORE_LABEL) & ((labels < 0) | (labels >= num_labels))
    if bool(wrong.any()):
        found = sorted(set(labels[wrong].tolist()))
        raise ShapeError(f"labels must be 0..{num_labels - 1} or {IGNORE_LABEL} (ignored), got {found}")
