"""What readers know of the splits that the tests of the export make."""

from pathlib import Path

import numpy as np

from weakseg.data.export.split import LabelledSplit
from weakseg.handover.corrections.formats import opened
from weakseg.handover.corrections.known_images import Brought, KnownImages


def know(split: LabelledSplit) -> KnownImages:
    sizes = {sample.id: split.read_labels(sample).shape for sample in split.samples}
    paths = {sample.id: sample.id + sample.image_path.suffix for sample in split.samples}
    return KnownImages(paths, split.classes, size_of=lambda key: (sizes[key][0], sizes[key][1]))


def read_all(source: Path, split: LabelledSplit, *, format: str | None = None) -> list[Brought]:
    with opened(source, format=format) as found:
        return list(found.read(found.place, know(split)))


def masks_of(source: Path, split: LabelledSplit, *, format: str | None = None) -> dict[str, np.ndarray]:
    """Return the mask of each image, none of which is a fault."""
    known = know(split)
    found = read_all(source, split, format=format)
    assert [(entry.where, entry.fault) for entry in found if entry.fault is not None] == []
    return {known.find(entry.image): entry.mask for entry in found if entry.mask is not None}
