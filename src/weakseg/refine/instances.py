"""From the class-wise maps of an image to its instances, as IRN makes them.

Ahn et al., "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations", CVPR 2019, section 4: the
displacement field parts the image, every class map is cut along these parts, each piece is spread by its own random
walk, and a pixel goes to the strongest of the pieces. See docs/instances.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.instances import Instances, cluster_centroids, find_centroids
from weakseg.ops.walk import random_walk
from weakseg.types import MAX_CLASSES

Region = tuple[slice, slice]
"""Rows and columns of an image."""


def find_instances(
    maps: Tensor,
    keys: Sequence[int],
    edge: Tensor,
    displacement: Tensor,
    *,
    size_hw: tuple[int, int],
    stride_px: int = 4,
    power: float = 1.0,
    background_threshold: float = 0.25,
    min_area_share: float = 0.01,
    keep_fragments: bool = False,
    iterations: int = 300,
    centroid_threshold: float = 2.5,
    radius: int = 5,
    beta: float = 10.0,
    doublings: int = 8,
) -> Instances:
    """Find the instances of one image.

    Args:
        maps: (K, h, w) float seeds of the image's own classes in 0..1, at `1 / stride_px` of its size
            (`ScoreMaps.strided`); K may be 0. Not modified, like the other tensors.
        keys: The K class indices of the maps, distinct.
        edge: (h, w) float in 0..1, from an `IRNet`.
        displacement: (2, h, w) float (dy, dx) in pixels of this grid, mean of the training set subtracted.
        size_hw: (height, width) of the image in pixels; h and w are these over `stride_px`, rounded up.
        stride_px: Image pixels per pixel of the maps.
        power: Seeds are raised to it before the walk, above 0.
        background_threshold: A pixel is background where no walked map exceeds this share of their largest value.
        min_area_share: A connected piece smaller than this share of the image is a fragment, 0..1.
        keep_fragments: Keep fragments with score 0 instead of leaving them out.
        iterations: See `weakseg.ops.instances.find_centroids`.
        centroid_threshold: See `weakseg.ops.instances.cluster_centroids`.
        radius: See `weakseg.ops.walk.random_walk`, as for `beta` and `doublings`.
        beta: Exponent of the affinities.
        doublings: The walk takes 2^doublings steps.

    Returns:
        The instances, disjoint, ordered by class, then by part of the displacement field, then by first pixel. A score
        is the largest value of the instance's walked map within it, over the largest value of all maps: the surest
        instance of every image scores 1. Without tags, or if all seeds are 0, there are none.

    Raises:
        ShapeError: If shapes, values or keys do not fit.
        ConfigError: If an option is outside its range.
    """
    _require_fit(maps, keys, edge, displacement, size_hw=size_hw, stride_px=stride_px)
    _require_range("background_threshold", background_threshold)
    _require_range("min_area_share", min_area_share)
    if not 0 < power < math.inf:
        raise ConfigError(f"power: expected a number above 0, got {power}")
    field = displacement.detach().cpu().float().numpy()
    parts = cluster_centroids(find_centroids(field, iterations=iterations), field, threshold=centroid_threshold)
    pieces = cut_maps(maps.float().pow(power), torch.from_numpy(parts).to(maps.device))
    walkable = pieces.amax(dim=(1, 2)) > 0  # most parts hold nothing of most classes
    walked = random_walk(pieces[walkable], edge, radius=radius, beta=beta, doublings=doublings)
    value, owner = _strongest_map(walked, size_hw=size_hw, stride_px=stride_px)
    return _detect(
        value,
        owner,
        np.repeat(np.asarray(keys, np.int64), len(parts))[walkable.cpu().numpy()],
        background_threshold=background_threshold,
        min_area_px=min_area_share * math.prod(size_hw),
        keep_fragments=keep_fragments,
    )


def cut_maps(maps: Tensor, parts: Tensor) -> Tensor:
    """Cut every class map along the parts of the image.

    Args:
        maps: (K, h, w) float; K may be 0.
        parts: (I, h, w) bool.

    Returns:
        (K * I, h, w), the map where the part is and 0 elsewhere: all parts of the first class, then of the second.
    """
    return (maps[:, None] * parts[None]).flatten(0, 1)


def _strongest_map(
    maps: Tensor, *, size_hw: tuple[int, int], stride_px: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the largest upsampled map of every pixel.

    Map by map, since all of them at the image's size may not fit in memory.

    Returns:
        The largest value (H, W), 0 where no map is positive, and the number (H, W) of its map; among equals the first.
    """
    height, width = size_hw
    value = torch.zeros(size_hw, device=maps.device)
    owner = torch.zeros(size_hw, dtype=torch.int64, device=maps.device)
    for number, single in enumerate(maps):
        upsampled_hw = (single.shape[0] * stride_px, single.shape[1] * stride_px)
        upsampled = torch.nn.functional.interpolate(
            single[None, None], upsampled_hw, mode="bilinear", align_corners=False
        )[0, 0, :height, :width]
        owner.masked_fill_(upsampled > value, number)
        torch.maximum(value, upsampled, out=value)
    return value.cpu().numpy(), owner.cpu().numpy()


def _detect(
    value: NDArray[np.float32],
    owner: NDArray[np.int64],
    keys: NDArray[np.int64],
    *,
    background_threshold: float,
    min_area_px: float,
    keep_fragments: bool,
) -> Instances:
    """Make an instance of every connected piece of every map's foreground; `keys` holds the class of each map."""
    largest = value.max()
    if largest == 0:
        return Instances.none((value.shape[0], value.shape[1]))
    share = value / largest
    owner = np.where(share > np.float32(background_threshold), owner, -1)
    outlines: list[tuple[Region, NDArray[np.bool_]]] = []
    classes, scores = [], []
    # Within boxes, since a map owns a small part of a large image, and a piece a small part of that.
    for number, box in enumerate(ndimage.find_objects(owner + 1)):
        if box is None:
            continue
        pieces, _ = ndimage.label(owner[box] == number)
        areas = np.bincount(pieces.ravel())[1:]
        for piece, (part, area) in enumerate(zip(ndimage.find_objects(pieces), areas, strict=True), start=1):
            is_fragment = area < min_area_px
            if is_fragment and not keep_fragments:
                continue
            mask = pieces[part] == piece
            outlines.append((_place(part, within=box), mask))
            classes.append(keys[number])
            scores.append(0.0 if is_fragment else share[box][part][mask].max())
    masks = np.zeros((len(outlines), *value.shape), np.bool_)
    for whole, (region, mask) in zip(masks, outlines, strict=True):
        whole[region] = mask
    return Instances(masks, np.array(classes, np.int64), np.array(scores, np.float32))


def _place(part: Region, *, within: Region) -> Region:
    """Return the region of an image that a part of one of its regions is."""
    rows, columns = (
        slice(outer.start + own.start, outer.start + own.stop) for outer, own in zip(within, part, strict=True)
    )
    return rows, columns


def _require_fit(
    maps: Tensor,
    keys: Sequence[int],
    edge: Tensor,
    displacement: Tensor,
    *,
    size_hw: tuple[int, int],
    stride_px: int,
) -> None:
    if stride_px < 1 or min(size_hw) < 1:
        raise ShapeError(f"expected an image and a stride of at least 1 px, got {size_hw} and {stride_px}")
    grid_hw = tuple(math.ceil(side / stride_px) for side in size_hw)
    if maps.ndim != 3 or tuple(maps.shape[1:]) != grid_hw or not maps.is_floating_point():
        raise ShapeError(
            f"expected float maps (K, {grid_hw[0]}, {grid_hw[1]}) for an image of {size_hw} at stride {stride_px}, "
            f"got {maps.dtype} {tuple(maps.shape)}"
        )
    if tuple(edge.shape) != grid_hw or tuple(displacement.shape) != (2, *grid_hw):
        raise ShapeError(
            f"expected an edge map {grid_hw} and a displacement field {(2, *grid_hw)}, "
            f"got {tuple(edge.shape)} and {tuple(displacement.shape)}"
        )
    if len(keys) != maps.shape[0] or len(set(keys)) != len(keys) or any(not 0 <= key < MAX_CLASSES for key in keys):
        raise ShapeError(f"expected {maps.shape[0]} distinct class indices below {MAX_CLASSES}, got {list(keys)}")
    if not bool(((maps >= 0) & (maps <= 1)).all()):  # false for NaN
        found = "NaN" if bool(maps.isnan().any()) else f"{float(maps.min()):.3g}..{float(maps.max()):.3g}"
        raise ShapeError(f"expected seed maps in 0..1, got {found}; delete the image's seed and localize it again")


def _require_range(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name}: expected a share within 0..1, got {value}")
