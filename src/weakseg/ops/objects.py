"""True objects one by one, so that label maps, which know no objects, can be scored by the objects' size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.instances import InstanceTruth
from weakseg.types import IGNORE_LABEL

Int64Array = NDArray[np.int64]

_WITH_DIAGONALS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The objects of a label map; they do not overlap and together cover every pixel that has a class.

    Args:
        numbers: (H, W) int32, 0 where there is no object, 1..K the objects.
        labels: (K,) int64 label of each, class index + 1.
        areas_px: (K,) int64 pixels of each, 1 or more.
    """

    numbers: NDArray[np.int32]
    labels: Int64Array
    areas_px: Int64Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ObjectCounts:
    """What a label map makes of each true object.

    Args:
        hits_px: (K,) int64, the object's pixels that were given its label.
        extras_px: (K,) int64, pixels given its label that do not have it and lie nearest to it.
    """

    hits_px: Int64Array
    extras_px: Int64Array


def find_objects(truth: NDArray[np.integer], *, instances: InstanceTruth | None = None) -> TrueObjects:
    """Part a label map into its objects.

    An outlined object is one object, whether it hangs together or not; where two overlap, the first has the pixel. A
    pixel that has a class but belongs to no outlined object of that class (also in a crowd) is parted into connected
    regions, diagonal neighbours included, as are all of them without outlines.

    Args:
        truth: (H, W) integer labels, 0 background, 255 void. Not modified.
        instances: The outlined objects of the same image, or None if nobody outlined them.

    Raises:
        ShapeError: If the labels are not (H, W) integers, or the instances are of another size.
    """
    if truth.ndim != 2 or not np.issubdtype(truth.dtype, np.integer):
        raise ShapeError(f"expected integer labels (H, W), got {truth.dtype} {truth.shape}")
    if instances is not None and instances.size_hw != truth.shape:
        raise ShapeError(f"instances of an image {instances.size_hw} do not fit labels {truth.shape}")
    numbers = np.zeros(truth.shape, np.int32)
    labels: list[int] = []
    for at in np.flatnonzero(~instances.crowd) if instances is not None else ():
        assert instances is not None
        label = int(instances.keys[at]) + 1
        region = instances.masks[at] & (truth == label) & (numbers == 0)
        if region.any():
            labels.append(label)
            numbers[region] = len(labels)
    left = (truth != 0) & (truth != IGNORE_LABEL) & (numbers == 0)
    for label in np.unique(truth[left]).tolist():
        regions, count = ndimage.label(left & (truth == label), structure=_WITH_DIAGONALS)
        np.copyto(numbers, regions + len(labels), where=regions > 0)
        labels += [label] * count
    areas_px = np.bincount(numbers.ravel(), minlength=len(labels) + 1)[1:]
    return TrueObjects(numbers, np.array(labels, np.int64), areas_px)


def count_objects(prediction: NDArray[np.integer], truth: NDArray[np.integer], objects: TrueObjects) -> ObjectCounts:
    """Count what a label map makes of each true object.

    A label map does not say which object a wrong pixel was meant for: it counts for the nearest true object of its
    class (Euclidean; SciPy decides ties). With one object of the class in the image, `hits / (area + extras)` is the
    plain IoU of that class. Pixels given a class that the image lacks count for no object.

    Args:
        prediction: (H, W) integer labels, 255 for no answer. Not modified.
        truth: (H, W) integer labels; what is given at its void pixels (255) is left out.
        objects: The objects of `truth`.

    Raises:
        ShapeError: If the three differ in height and width.
    """
    if not prediction.shape == truth.shape == objects.numbers.shape:
        shapes = f"{prediction.shape}, {truth.shape} and {objects.numbers.shape}"
        raise ShapeError(f"prediction, truth and objects must be of one size, got {shapes}")
    size = len(objects) + 1
    hits_px = np.bincount(objects.numbers[prediction == truth], minlength=size)[1:]
    extras_px = np.zeros(size, np.int64)
    wrong = (prediction != truth) & (truth != IGNORE_LABEL)
    for label in np.unique(objects.labels):
        own = np.flatnonzero(objects.labels == label) + 1
        at = np.nonzero(wrong & (prediction == label))
        if len(own) == 1:
            extras_px[own[0]] = len(at[0])
        elif len(at[0]):
            elsewhere = ~np.isin(objects.numbers, own)
            rows, columns = ndimage.distance_transform_edt(elsewhere, return_distances=False, return_indices=True)
            extras_px += np.bincount(objects.numbers[rows[at], columns[at]], minlength=size)
    return ObjectCounts(hits_px, extras_px[1:])


def find_size_bins(areas_px: Int64Array, *, image_px: int, edges: Sequence[float]) -> Int64Array:
    """Sort objects by the share of their image that they cover.

    Args:
        areas_px: (K,) areas.
        image_px: Pixels of the image.
        edges: Shares that part the bins, strictly ascending within 0..1, both excluded; may be empty.

    Returns:
        (K,) int64 bins 0..len(edges); a share equal to an edge falls into the upper bin.

    Raises:
        ConfigError: If the edges are not as described.
    """
    bounds = [0.0, *edges, 1.0]
    if not all(low < high for low, high in pairwise(bounds)):
        raise ConfigError(f"sizes: expected shares of the image, ascending between 0 and 1, got {list(edges)}")
    bins: Int64Array = np.searchsorted(np.asarray(edges, np.float64), areas_px / image_px, side="right")
    return bins
