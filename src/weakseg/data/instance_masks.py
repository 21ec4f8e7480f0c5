"""True instances in VOC's layout: one PNG file tells the objects apart, another one tells their classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.masks import PngMasks
from weakseg.errors import DataError
from weakseg.ops.instances import InstanceTruth
from weakseg.types import IGNORE_LABEL, Sample


@dataclass(frozen=True)
class PngInstances:
    """Reads the objects of an image from `SegmentationObject` and `SegmentationClass`.

    Args:
        objects: Object maps: 0 background, 1..n the objects, 255 void.
        masks: Label maps that name the class of every object.
        num_classes: Number of classes C; labels are 1..C.
    """

    objects: PngMasks
    masks: PngMasks
    num_classes: int

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        """Return the objects of a sample in the order of their numbers, or None if one of the two files is missing.

        An object has the class that most of its pixels have; its pixels without any class are void, and so are those
        that either file calls void. There are no crowds.

        Raises:
            DataError: If a file cannot be read, the two differ in size, an object has no class, or a label is none of
                the classes.
        """
        path = self.objects.find(sample)
        objects, labels = self.objects(sample), self.masks(sample)
        if objects is None or labels is None:
            return None
        if objects.shape != labels.shape:
            raise DataError(f"{path} has {objects.shape} pixels, but the mask of '{sample.id}' has {labels.shape}")
        numbers = np.unique(objects[(objects > 0) & (objects != IGNORE_LABEL)])
        keys = np.zeros(len(numbers), np.int64)
        for index, number in enumerate(numbers.tolist()):
            label = _commonest_label(labels[objects == number])
            if not 1 <= label <= self.num_classes:
                raise DataError(
                    f"object {number} of {path} must have one of the labels 1..{self.num_classes} in the mask of "
                    f"'{sample.id}', but has {label or 'none'}; the two files do not belong together"
                )
            keys[index] = label - 1
        void = (objects == IGNORE_LABEL) | (labels == IGNORE_LABEL) | ((objects > 0) & (labels == 0))
        return InstanceTruth(
            masks=(objects == numbers[:, None, None]) & ~void,
            keys=keys,
            crowd=np.zeros(len(numbers), np.bool_),
            void=void,
        )


def _commonest_label(labels: NDArray[np.uint8]) -> int:
    """Return the commonest label of some pixels, the lowest of equally common ones, or 0 if none has a label."""
    counts = np.bincount(labels, minlength=IGNORE_LABEL + 1)
    counts[[0, IGNORE_LABEL]] = 0
    return int(counts.argmax())
