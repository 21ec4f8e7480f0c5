"""Object instances: what they are, and how a displacement field parts an image into them.

The field of IRN (Ahn et al., "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations", CVPR
2019) tells at every pixel where the centre of its object lies. Following it leads the pixels of one object together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.kinds import require_array
from weakseg.ops.maps import FloatArray
from weakseg.types import MAX_CLASSES

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Instances:
    """Detected objects of one image.

    Args:
        masks: (K, H, W) bool, the pixels of each; K may be 0. Masks may overlap, none is empty.
        keys: (K,) int64 class index of each, 0..253.
        scores: (K,) float32 in 0..1, larger means surer.

    Raises:
        ShapeError: If shapes, dtypes or values are others.
    """

    masks: NDArray[np.bool_]
    keys: NDArray[np.int64]
    scores: Float32Array

    def __post_init__(self) -> None:
        _require_masks(self.masks, self.keys)
        if self.scores.shape != self.keys.shape or self.scores.dtype != np.float32:
            raise ShapeError(
                f"expected float32 scores ({len(self.keys)},), got {self.scores.dtype} {self.scores.shape}"
            )
        if not ((self.scores >= 0) & (self.scores <= 1)).all():  # false for NaN, too
            raise ShapeError(f"scores of instances lie in 0..1, got {self.scores.tolist()}")
        empty = np.flatnonzero(~self.masks.any(axis=(1, 2)))
        if empty.size:
            raise ShapeError(f"every instance has a pixel, but these masks are empty: {empty.tolist()}")

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[NDArray[np.bool_], int, float]]:
        """Yield mask (H, W), class index and score of each."""
        for mask, key, score in zip(self.masks, self.keys, self.scores, strict=True):
            yield mask, int(key), float(score)

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return self.masks.shape[1], self.masks.shape[2]

    def resized(self, size_hw: tuple[int, int]) -> Instances:
        """Return the same instances in an image of another size (height, width), by the nearest pixel.

        One that is too thin to hit a pixel of a smaller image is left out.
        """
        if size_hw == self.size_hw:
            return self
        rows, columns = (
            np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.int64)
            for old, new in zip(self.size_hw, size_hw, strict=True)
        )
        masks = self.masks[:, rows[:, None], columns[None]]
        kept = masks.any(axis=(1, 2))
        return Instances(masks[kept], self.keys[kept], self.scores[kept])

    @classmethod
    def none(cls, size_hw: tuple[int, int]) -> Instances:
        """Return the instances of an image (height, width) in which nothing was found."""
        return cls(np.zeros((0, *size_hw), np.bool_), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class InstanceTruth:
    """The objects that an image truly shows, as far as somebody outlined them.

    Args:
        masks: (K, H, W) bool, the pixels of each; K may be 0. Masks may overlap. One without a pixel cannot be found
            and counts as missed.
        keys: (K,) int64 class index of each, 0..253.
        crowd: (K,) bool, whether it is a crowd of objects that are not told apart: neither to be found nor wrong.
        void: (H, W) bool, pixels that count for nothing.

    Raises:
        ShapeError: If shapes, dtypes or values are others.
    """

    masks: NDArray[np.bool_]
    keys: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    void: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _require_masks(self.masks, self.keys)
        if self.crowd.shape != self.keys.shape or self.crowd.dtype != np.bool_:
            raise ShapeError(f"expected crowd ({len(self.keys)},) bool, got {self.crowd.shape} {self.crowd.dtype}")
        if self.void.shape != self.masks.shape[1:] or self.void.dtype != np.bool_:
            raise ShapeError(f"expected void {self.masks.shape[1:]} bool, got {self.void.shape} {self.void.dtype}")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return self.masks.shape[1], self.masks.shape[2]


def find_centroids(displacement: FloatArray, *, iterations: int = 300) -> NDArray[np.int32]:
    """Follow a displacement field from every pixel to where it comes to rest.

    A step adds the displacement at the present position, interpolated bilinearly between the four pixels around it,
    and stops at the border. This is the paper's recursion D_{u+1}(x) = D_u(x) + D(x + D_u(x)), whose argument is not a
    pixel in general; recorded values do not tell interpolation from the nearest pixel, which comes to rest too early
    in a smooth field. A pixel that still moves after the last step keeps the place that it has reached.

    Args:
        displacement: (2, H, W) float, finite: dy and dx in pixels of this grid. Not modified; computed in float32.
        iterations: Largest number of steps, 0 or more.

    Returns:
        (2, H, W) int32: row and column of each pixel's centroid, rounded half to even, within the image.

    Raises:
        ShapeError: If the field is not (2, H, W) with a pixel, not float or not finite.
        ConfigError: If `iterations` is negative.
    """
    _require_displacement(displacement)
    if iterations < 0:
        raise ConfigError(f"iterations: expected 0 or more, got {iterations}")
    field = displacement.astype(np.float32)
    _, height, width = field.shape
    last = np.array([height - 1, width - 1], np.float32)[:, None]
    position = np.indices((height, width), dtype=np.float32).reshape(2, -1)
    for _ in range(iterations):
        moved = np.clip(position + _interpolate(field, position), 0, last)
        if np.array_equal(moved, position):
            break
        position = moved
    return np.rint(position).astype(np.int32).reshape(field.shape)


def cluster_centroids(
    centroids: NDArray[np.integer], displacement: FloatArray, *, threshold: float = 2.5
) -> NDArray[np.bool_]:
    """Group the pixels whose centroids belong together.

    Pixels with a displacement shorter than the threshold lie at the centre of an object. Each of their connected
    components (through edges, not corners) is one centre, and the pixels whose centroid lies in it are one instance.
    A component without such a pixel is none. Pixels whose centroid lies in no component make one more instance, so
    that every pixel belongs to exactly one: dropping them would punch holes into objects whose field is weak. (The
    recorded values hold no such pixel; this is our choice.)

    Args:
        centroids: (2, H, W) integer rows and columns within the image, from `find_centroids`.
        displacement: (2, H, W) float, the field they were found in. Neither is modified.
        threshold: Length in pixels of the grid, above 0.

    Returns:
        (K, H, W) bool, K at least 1: the pixels without a centre first, if there are any, then the components in the
        order of their first pixels, row by row.

    Raises:
        ShapeError: If the two do not fit, or a centroid lies outside of the image.
        ConfigError: If the threshold is not positive.
    """
    _require_displacement(displacement)
    require_array(centroids, "centroids")
    if centroids.shape != displacement.shape or not np.issubdtype(centroids.dtype, np.integer):
        raise ShapeError(f"expected integer centroids {displacement.shape}, got {centroids.dtype} {centroids.shape}")
    if not threshold > 0:
        raise ConfigError(f"threshold: expected a length above 0, got {threshold}")
    _, height, width = displacement.shape
    rows, columns = centroids
    if rows.min() < 0 or columns.min() < 0 or rows.max() >= height or columns.max() >= width:
        raise ShapeError(f"centroids must lie within the {height} x {width} pixels, but some do not")
    components, _ = ndimage.label(np.hypot(*displacement) < threshold)
    centre = components[rows, columns]
    clusters: NDArray[np.bool_] = centre == np.unique(centre)[:, None, None]
    return clusters


def _interpolate(field: Float32Array, position: Float32Array) -> Float32Array:
    """Read a field (2, H, W) at positions (2, N) within it, bilinearly; (2, N)."""
    _, height, width = field.shape
    flat = field.reshape(2, -1)
    corner = position.astype(np.int32)  # rounds down, since positions are not negative
    below, right = position - corner.astype(np.float32)  # the cast keeps float64 out, which takes three times as long
    top, left = corner[0] * np.int32(width), corner[1]
    bottom = np.minimum(corner[0] + 1, height - 1) * np.int32(width)
    next_left = np.minimum(left + 1, width - 1)
    upper = flat.take(top + left, axis=1) * (1 - right) + flat.take(top + next_left, axis=1) * right
    lower = flat.take(bottom + left, axis=1) * (1 - right) + flat.take(bottom + next_left, axis=1) * right
    value: Float32Array = upper * (1 - below) + lower * below
    return value


def _require_displacement(displacement: FloatArray) -> None:
    require_array(displacement, "displacement")
    if displacement.ndim != 3 or displacement.shape[0] != 2 or displacement.size == 0:
        raise ShapeError(f"expected a displacement field (2, H, W) with a pixel, got {displacement.shape}")
    if not np.issubdtype(displacement.dtype, np.floating):
        raise ShapeError(f"expected a displacement field of floats, got {displacement.dtype}")
    if not np.isfinite(displacement).all():
        raise ShapeError("the displacement field is not finite; did training diverge?")


def _require_masks(masks: NDArray[np.bool_], keys: NDArray[np.int64]) -> None:
    if masks.ndim != 3 or masks.dtype != np.bool_ or 0 in masks.shape[1:]:
        raise ShapeError(f"expected masks (K, H, W) bool with a pixel, got {masks.shape} {masks.dtype}")
    if keys.shape != masks.shape[:1] or keys.dtype != np.int64:
        raise ShapeError(f"expected int64 keys ({masks.shape[0]},), one per mask, got {keys.dtype} {keys.shape}")
    if not ((keys >= 0) & (keys < MAX_CLASSES)).all():
        raise ShapeError(f"keys are class indices in 0..{MAX_CLASSES - 1}, got {keys.tolist()}")
