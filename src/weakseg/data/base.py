"""What every reader returns: a split of samples, its classes, its masks where there are any, and what is wrong with it.

A dataset differs from another only inside `weakseg.data`: a reader is a function that returns a `Dataset`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from weakseg.data.depth import PixelRange
from weakseg.data.images import ShrunkImage, read_image, read_shrunk
from weakseg.errors import DataError
from weakseg.ops.instances import InstanceTruth
from weakseg.types import ClassSet, Sample

Severity = Literal["error", "warning", "note"]
"""`error`: training would fail or use wrong data; `warning`: an image is left out or doubtful; `note`: good to know."""

SourceId = int | str
"""How an annotation file names an image: COCO's ids are integers; other tools also write text."""


@dataclass(frozen=True)
class Problem:
    """One finding about a dataset.

    Args:
        severity: How bad it is.
        kind: A short fixed word for grouping, such as `unreadable` or `unknown-tag`.
        where: Image id, file or folder.
        message: What was expected, what was found, and what to do.
    """

    severity: Severity
    kind: str
    where: str
    message: str


class MaskReader(Protocol):
    """Reads the truth mask of a sample; picklable, since loader workers carry it."""

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        """Return the (H, W) uint8 label map (0 background, c+1 class c, 255 void), or None if there is none."""
        ...


@runtime_checkable
class MaskIndex(Protocol):
    """A mask reader that knows which samples have a mask without reading one."""

    def has(self, sample: Sample) -> bool:
        """Say whether a sample has a mask; it may be damaged."""
        ...


class InstanceReader(Protocol):
    """Reads the true instances of a sample; picklable like a `MaskReader`."""

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        """Return the outlined objects of a sample, or None if nobody outlined them."""
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a dataset.

    Args:
        name: Reader's name: `voc`, `coco`, `folder` or `critters`.
        split: Name of the split, as metrics print it.
        classes: The classes.
        samples: The samples in a fixed order, ids distinct.
        mask_reader: Reads truth masks for evaluation, or None where the split has none.
        problems: What the reader noticed while it opened the split.
        instance_reader: Reads true instances for evaluation, or None where the split has none.
        source_ids: Image ids of the source annotation by sample id (COCO's integers), or None where ids are our own.
        pixel_range: How values of more than 8 bits become 0..255; None for each image by its own.

    Raises:
        DataError: If two samples share an id or a tag vector does not fit the classes.
    """

    name: str
    split: str
    classes: ClassSet
    samples: tuple[Sample, ...]
    mask_reader: MaskReader | None = None
    problems: tuple[Problem, ...] = ()
    instance_reader: InstanceReader | None = None
    source_ids: Mapping[str, SourceId] | None = None
    pixel_range: PixelRange | None = None

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for sample in self.samples:
            if sample.id in seen:
                raise DataError(f"{self.name} {self.split}: two images share the id '{sample.id}'; rename one of them")
            seen.add(sample.id)
            if sample.tags.shape != (len(self.classes),):
                raise DataError(
                    f"{self.name} {self.split}: image '{sample.id}' has {sample.tags.shape[0]} tags "
                    f"for {len(self.classes)} classes"
                )

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def load_image(self, sample: Sample) -> NDArray[np.uint8]:
        """Decode an image as (H, W, 3) uint8 RGB with EXIF rotation applied."""
        return read_image(sample.image_path, pixel_range=self.pixel_range)

    def load_shrunk(self, sample: Sample, max_side_px: int | None) -> ShrunkImage:
        """Decode an image as a copy whose longer side is at most `max_side_px`, and tell the size it has in full.

        Large JPEGs are decoded at a reduced scale, see `weakseg.data.images.read_shrunk`.
        """
        return read_shrunk(sample.image_path, max_side_px, pixel_range=self.pixel_range)

    def load_mask(self, sample: Sample) -> NDArray[np.uint8] | None:
        """Read the truth mask (H, W) uint8 of a sample, or None if it has none."""
        return None if self.mask_reader is None else self.mask_reader(sample)

    def has_mask(self, sample: Sample) -> bool:
        """Say whether a sample has a truth mask, without reading it where the reader knows."""
        reader: object = self.mask_reader
        if isinstance(reader, MaskIndex):
            return reader.has(sample)
        return self.load_mask(sample) is not None

    def load_instances(self, sample: Sample) -> InstanceTruth | None:
        """Read the true instances of a sample, or None if it has none."""
        return None if self.instance_reader is None else self.instance_reader(sample)

    def keep(self, ids: Iterable[str]) -> Dataset:
        """Return the same split with only the samples whose ids are given, order kept."""
        wanted = set(ids)
        return replace(self, samples=tuple(sample for sample in self.samples if sample.id in wanted))
