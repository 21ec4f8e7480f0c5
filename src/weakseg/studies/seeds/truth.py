"""What the study of seeds knows of an image: its labels, its objects and, of critters, the parts of these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.masks import PngMasks
from weakseg.data.synthetic.parts import PARTS, open_parts
from weakseg.errors import DataError
from weakseg.ops.objects import TrueObjects, find_objects
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import critters_root
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.scoring.truth import read_truth
from weakseg.types import Sample


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of one image.

    Args:
        labels: (H, W) uint8 labels, 255 void.
        objects: Its objects.
        parts: (H, W) uint8 labels of object parts, or None where they are not known.
    """

    labels: NDArray[np.uint8]
    objects: TrueObjects
    parts: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class TruthReader:
    """Reads what is known of the images of a split.

    Args:
        dataset: The split.
        parts: Reads part maps, or None where the data set has none.
    """

    dataset: Dataset
    parts: PngMasks | None

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts 1..P; empty where none are known."""
        return () if self.parts is None else tuple(PARTS)

    def read(self, sample: Sample, size_hw: tuple[int, int], faults: set[str] | None = None) -> Truth | None:
        """Read the truth of an image, or return None if it has no usable mask; see `read_truth`.

        Raises:
            DataError: If its instances or parts cannot be read or are of another size than its mask.
        """
        labels = read_truth(self.dataset, sample, size_hw, faults)
        if labels is None:
            return None
        parts = None if self.parts is None else self.parts(sample)
        instances = self.dataset.load_instances(sample)
        for name, shape in (
            ("part map", None if parts is None else parts.shape),
            ("instances", None if instances is None else instances.size_hw),
        ):
            if shape not in (None, labels.shape):
                raise DataError(f"the {name} of '{sample.id}' has {shape} pixels, but its mask has {labels.shape}")
        return Truth(labels, find_objects(labels, instances=instances), parts)


def open_part_maps(context: Context) -> PngMasks | None:
    """Return a reader of the part maps of a run's data set, or None if its parts are not known."""
    data = context.config.data
    if data.name == "critters":
        return open_parts(critters_root(data, context.folder))
    # `weakseg synth` writes critters for the reader of VOC.
    return open_parts(Path(data.root)) if data.name == "voc" and data.root is not None else None


def survey_truth(reader: TruthReader, size_hw: Callable[[str], tuple[int, int]]) -> tuple[Dataset, str]:
    """Return the images with a usable truth, and a digest of it.

    Truth does not influence any result of a run, so that no fingerprint covers it; results of a study depend on it.

    Args:
        reader: Reads it.
        size_hw: Returns the size an image's truth must have.

    Raises:
        DataError: If no image has a truth mask, or see `TruthReader.read`.
    """
    faults: set[str] = set()
    usable: list[str] = []
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for sample in reader.dataset:
        truth = reader.read(sample, size_hw(sample.id), faults)
        if truth is not None:
            usable.append(sample.id)
            parts = b"" if truth.parts is None else truth.parts.tobytes()
            for content in (sample.id.encode(), truth.labels.tobytes(), truth.objects.numbers.tobytes(), parts):
                digest.update(hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest())
    if not usable:
        raise DataError(
            f"{reader.dataset.name} {reader.dataset.split}: no image has a truth mask that can be used, so nothing can "
            "be scored; choose another --split, or a data set with masks"
        )
    return reader.dataset.keep(usable), digest.hexdigest()
