"""The objects of a label map: its classes' pixels, divided among the instances found, or into connected parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL

_WITH_DIAGONALS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """Which object each pixel belongs to.

    Args:
        numbers: (H, W) int32, 0 where there is no object, else 1..N.
        keys: (N,) int64 class index of each object.
    """

    numbers: NDArray[np.int32]
    keys: NDArray[np.int64]


def divide_objects(labels: NDArray[np.uint8], instances: Instances | None = None, *, min_area_px: int = 0) -> ObjectMap:
    """Divide the pixels of every class into objects; each pixel of a class belongs to exactly one.

    Where instances of a class lie on its pixels, these are its objects: the surest of those that cover a pixel has it,
    and a pixel that none covers goes to the nearest. An instance with fewer than `min_area_px` pixels left, or none, is
    no object. The pixels of any other class are divided into connected parts, diagonal neighbours connected.

    Args:
        labels: (H, W) uint8 label map; 0 and 255 belong to no object.
        instances: The instances found in the image, of the same size.
        min_area_px: Smaller instances give their pixels to others. Connected parts are objects whatever their size.

    Returns:
        The objects, ordered by class, then by score or from top to bottom.
    """
    numbers = np.zeros(labels.shape, np.int32)
    keys: list[int] = []
    for label in np.unique(labels[(labels != 0) & (labels != IGNORE_LABEL)]).tolist():
        area = labels == label
        parts = None if instances is None else _divide_by_instances(area, instances, label - 1, min_area_px)
        if parts is None:
            parts = ndimage.label(area, _WITH_DIAGONALS)[0]
        _, parts_in_order = np.unique(parts[area], return_inverse=True)  # closes gaps in the numbers
        numbers[area] = len(keys) + 1 + parts_in_order
        keys += [label - 1] * (int(parts_in_order.max()) + 1)
    return ObjectMap(numbers, np.array(keys, np.int64))


def _divide_by_instances(
    area: NDArray[np.bool_], instances: Instances, key: int, min_area_px: int
) -> NDArray[np.int32] | None:
    """Return which instance, from 1 on, each pixel of a class belongs to; None if no instance lies on them."""
    own = np.flatnonzero(instances.keys == key)
    surest_first = own[np.argsort(-instances.scores[own], kind="stable")]
    owners = np.zeros(area.shape, np.int32)
    for place in range(len(surest_first), 0, -1):
        owners[instances.masks[surest_first[place - 1]] & area] = place
    owners[(np.bincount(owners.ravel()) < min_area_px)[owners]] = 0
    if not owners.any():
        return None
    rows, columns = ndimage.distance_transform_edt(owners == 0, return_distances=False, return_indices=True)
    return np.asarray(owners[rows, columns])
