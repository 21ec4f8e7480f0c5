"""Truth of COCO's images: masks and instances, drawn from the outlines in the JSON file when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.coco_categories import as_number
from weakseg.data.coco_index import CocoIndex
from weakseg.data.coco_outlines import Outline, draw_instances, draw_labels
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.ops.instances import InstanceTruth
from weakseg.types import Sample


@dataclass(frozen=True, eq=False)
class CocoOutlines:
    """Reads the outlines of an image from the JSON file again.

    Args:
        path: The JSON file; it must not change while it is in use.
        class_of: Class index by category id.
        rows: Number of the image by sample id, for images all of whose outlines can be drawn.
        sizes_hw: (N, 2) int32 height and width in pixels.
        first: (N + 1,) int64, see `CocoIndex`.
        spans: (A, 2) int64, see `CocoIndex`.
    """

    path: Path
    class_of: Mapping[int, int]
    rows: dict[str, int]
    sizes_hw: NDArray[np.int32]
    first: NDArray[np.int64]
    spans: NDArray[np.int64]

    @classmethod
    def of(cls, index: CocoIndex, rows: dict[str, int]) -> CocoOutlines:
        """Make a reader for the images `rows` (number in the index by sample id)."""
        sizes = np.array([image.size_hw or (0, 0) for image in index.images], np.int32).reshape(-1, 2)
        drawable = {sample_id: row for sample_id, row in rows.items() if index.images[row].outlined}
        return cls(index.path, index.class_of, drawable, sizes, index.first, index.spans)

    def has(self, sample: Sample) -> bool:
        """Say whether a sample has a mask, without drawing it."""
        return self.size_hw(sample) is not None

    def size_hw(self, sample: Sample) -> tuple[int, int] | None:
        """Return the (height, width) of a sample's image in pixels, or None if its outlines cannot be drawn."""
        row = self.rows.get(sample.id)
        if row is None:
            return None
        height, width = self.sizes_hw[row].tolist()
        return height, width

    def read(self, sample: Sample) -> list[Outline]:
        """Return the outlines of a sample that has a `size_hw`.

        Raises:
            DataError: If the file has changed since it was opened.
        """
        row = self.rows[sample.id]
        outlines = []
        try:
            with self.path.open("rb") as file:
                for start, length in self.spans[self.first[row] : self.first[row + 1]].tolist():
                    file.seek(start)
                    entry = decode_json(file.read(length))
                    crowd = bool(entry.get("iscrowd", 0))
                    outlines.append(Outline(self.class_of[_category(entry)] + 1, crowd, entry["segmentation"]))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise DataError(f"{self.path} has changed since it was opened ({error}); start again") from error
        return outlines


@dataclass(frozen=True, eq=False)
class CocoMasks:
    """Draws the truth mask of an image from its outlines."""

    outlines: CocoOutlines

    def size_hw(self, sample: Sample) -> tuple[int, int] | None:
        """Return the (height, width) of a sample's mask in pixels without drawing it, or None if it has none."""
        return self.outlines.size_hw(sample)

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        """Return the (H, W) uint8 labels of a sample, or None if it has no mask.

        Raises:
            DataError: If the file has changed since it was opened.
        """
        size_hw = self.outlines.size_hw(sample)
        return None if size_hw is None else draw_labels(self.outlines.read(sample), size_hw=size_hw)


@dataclass(frozen=True, eq=False)
class CocoInstances:
    """Draws the true instances of an image from its outlines."""

    outlines: CocoOutlines

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        """Return the objects of a sample, crowds among them, or None if an outline cannot be drawn.

        Raises:
            DataError: If the file has changed since it was opened.
        """
        size_hw = self.outlines.size_hw(sample)
        return None if size_hw is None else draw_instances(self.outlines.read(sample), size_hw=size_hw)


def _category(entry: dict[str, JsonValue]) -> int:
    key = as_number(entry["category_id"])
    if not isinstance(key, int):
        raise KeyError(key)
    return key
