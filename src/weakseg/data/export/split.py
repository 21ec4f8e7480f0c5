"""What is exported: the label maps of one split, with their classes and images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import MaskReader, SourceId
from weakseg.data.export.pieces import Piece
from weakseg.data.export.specks import Specks
from weakseg.errors import DataError
from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL, ClassSet, Sample

Role = Literal["train", "val"]
"""What a run uses a split for, whatever its data set calls it."""

ROLES: tuple[Role, ...] = ("train", "val")


@dataclass(frozen=True)
class SplitName:
    """A split, for the formats that keep splits apart.

    Args:
        name: As metrics print it: `train_aug`, `val2014`.
        role: What the run uses it for.
    """

    name: str
    role: Role


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """The label maps of one split, or of several.

    Args:
        name: Name of the split, as metrics print it: `train_aug`, `val2014`.
        role: What the run uses it for.
        classes: The classes.
        samples: The images, in a fixed order.
        mask_reader: Reads the label map of an image.
        instance_reader: Reads the instances found in an image, which tell the objects of a class apart; it returns None
            where nobody looked for any. None without.
        source_ids: Image ids of the source annotation by sample id, see `Dataset`.
        homes: The split of each image by its id, where there are several; `name` is then that of all together.
        specks: Leaves small parts out of the label maps that are read.
        piece_reader: Reads what somebody else has made of an image; None makes it here.

    Raises:
        DataError: If there is no image.
    """

    name: str
    role: Role
    classes: ClassSet
    samples: tuple[Sample, ...]
    mask_reader: MaskReader
    instance_reader: Callable[[Sample], Instances | None] | None = None
    source_ids: Mapping[str, SourceId] | None = None
    homes: Mapping[str, SplitName] = field(default_factory=dict)
    specks: Specks = field(default_factory=lambda: Specks(0))
    piece_reader: Callable[[Sample], Piece] | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise DataError(f"{self.name}: there is no image to export")

    def piece(self, sample: Sample, encode: Encoder) -> Piece:
        """Return what a format has of an image, made by its encoder unless somebody has made it before."""
        return encode(self, sample) if self.piece_reader is None else self.piece_reader(sample)

    def home_of(self, sample: Sample) -> SplitName:
        """Return the split that an image is of."""
        return self.homes.get(sample.id, SplitName(self.name, self.role))

    @property
    def roles(self) -> tuple[Role, ...]:
        """What the splits are used for, in the order of `ROLES`."""
        found = {self.home_of(sample).role for sample in self.samples}
        return tuple(role for role in ROLES if role in found)

    def read_labels(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the label map (H, W) uint8 of an image: 0 background, c+1 class c, 255 void; specks are left out.

        Raises:
            DataError: If there is none, or it holds a label that is no class.
        """
        labels = self.mask_reader(sample)
        if labels is None:
            raise DataError(f"{self.name}: image '{sample.id}' has no mask to export")
        foreign = labels[(labels > len(self.classes)) & (labels != IGNORE_LABEL)]
        if foreign.size:
            raise DataError(
                f"{self.name}: the mask of '{sample.id}' holds label {foreign[0]}, but there are "
                f"{len(self.classes)} classes"
            )
        return self.specks.clear(labels)

    def read_instances(self, sample: Sample, size_hw: tuple[int, ...]) -> Instances | None:
        """Read the instances of an image, or return None if nobody looked for any.

        Args:
            sample: The image.
            size_hw: (height, width) of its label map in pixels.

        Raises:
            DataError: If the instances are of another size.
        """
        if self.instance_reader is None:
            return None
        instances = self.instance_reader(sample)
        if instances is not None and instances.size_hw != size_hw:
            raise DataError(
                f"{self.name}: the instances of '{sample.id}' have {instances.size_hw} pixels, its mask {size_hw} "
                "(height, width)"
            )
        return instances


def has_void(labels: NDArray[np.uint8]) -> bool:
    """Say whether a label map (H, W) has void pixels (255)."""
    return bool((labels == IGNORE_LABEL).any())


def clear_void(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a copy of a label map (H, W) with its void pixels (255) turned into background."""
    return np.where(labels == IGNORE_LABEL, np.uint8(0), labels)


class VoidCount:
    """Counts the images whose void pixels a format cannot say."""

    def __init__(self) -> None:
        self._images = 0

    def count(self, piece: Piece) -> None:
        """Count an image."""
        self._images += piece.has_void

    def notes(self) -> list[str]:
        """Say how many images had void pixels; empty if none had."""
        return [f"void pixels of {self._images} images are written as background"] if self._images else []


Encoder = Callable[[LabelledSplit, Sample], Piece]
"""Makes what a format has of an image; raises as `LabelledSplit.read_labels` and `read_instances` do."""
