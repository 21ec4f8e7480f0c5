"""Annotations for CVAT, format "Segmentation mask 1.1": one zip to upload to a task.

The format: https://docs.cvat.ai/docs/dataset_management/formats/format-smask/ . CVAT reads it by Datumaro, whose rules
for VOC masks (https://openvinotoolkit.github.io/datumaro/stable/docs/data-formats/formats/pascal_voc.html) add:

- Every colour of `SegmentationClass` must be in `labelmap.txt`, every colour of `SegmentationObject` in the map of 256
  colours that VOC has (https://github.com/cvat-ai/cvat/issues/6830). A mask read as numbers instead of colours must
  hold places in `labelmap.txt` (issue 7847). A palette PNG of labels with VOC's colours says the same either way.
- Where the object is 0 there is no annotation, so background needs no label in the task. Declared as a void class, 255
  would become an annotation of a label that the task does not have, and the import would fail: void is left
  unannotated, like background.
"""

from __future__ import annotations

import zipfile

import numpy as np
from numpy.typing import NDArray

from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import escape, escape_controls
from weakseg.data.export.objects import ObjectMap, divide_objects
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import LabelledSplit, VoidCount, clear_void, has_void
from weakseg.data.masks import encode_mask
from weakseg.errors import DataError
from weakseg.files import JsonValue, atomic_open, write_json
from weakseg.ops.color import label_palette
from weakseg.types import Sample

ARCHIVE, LABELS = "annotations.zip", "labels.json"

_BACKGROUND = "background"
_MOST_OBJECTS = 255
_CROWDED = "crowded"
"""Marks images with more objects than these."""
_LISTABLE = (
    "CVAT's list of images has one name per line, which is text without line breaks, does not begin with '#', and "
    "neither begins nor ends with a space; rename them"
)
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)
"""The same content then gives the same bytes."""


def encode_cvat(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the two pictures of an image: its classes and its objects."""
    labels = split.read_labels(sample)
    cleared, instances = clear_void(labels), split.read_instances(sample, labels.shape)
    objects = divide_objects(cleared, instances, min_area_px=split.specks.min_area(labels.shape))
    pictures = encode_mask(cleared), encode_mask(_number(cleared, objects))
    crowded = _CROWDED if len(objects.keys) > _MOST_OBJECTS else None
    return Piece(labels.shape, crowded, pictures, has_void(labels))


def write_cvat(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `annotations.zip`, and `labels.json` to paste into the raw view of the task's labels.

    The zip holds `labelmap.txt`, `ImageSets/Segmentation/default.txt`, and per image `SegmentationClass/<id>.png` and
    `SegmentationObject/<id>.png`. Objects are those of `divide_objects`; an image with more than 255 has one per class.

    Args:
        split: What to export. Ids keep their folders, as the names of a task's images do. A class name that the list
            of labels cannot hold is percent-encoded, see `label_names`. An image whose id cannot stand in the list of
            images is left out.
        folder: Where to.

    Returns:
        What the format could not hold, for the user.

    Raises:
        DataError: If a mask is missing or damaged, or no id can stand in a list of lines.
        ArtifactError: If a file cannot be written, or instances are missing or damaged.
    """
    void, names, crowded = VoidCount(), label_names(split), 0
    colours = label_palette().tolist()
    samples = [sample for sample in split.samples if _is_listable(sample.id)]
    left_out = len(split.samples) - len(samples)
    if not samples:
        raise DataError(f"no image can be exported to CVAT, such as {split.samples[0].id!r}: {_LISTABLE}")
    with atomic_open(folder.claim(ARCHIVE)) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        rows = [
            f"{name}:{','.join(map(str, colour))}::"
            for name, colour in zip((_BACKGROUND, *names), colours, strict=False)
        ]
        _add(archive, "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", *rows, ""]).encode())
        ids = "".join(f"{sample.id}\n" for sample in samples)
        _add(archive, "ImageSets/Segmentation/default.txt", ids.encode())
        for sample in samples:
            piece = split.piece(sample, encode_cvat)
            void.count(piece)
            crowded += piece.content == _CROWDED
            for kind, picture in zip(("Class", "Object"), piece.pictures, strict=True):
                _add(archive, f"Segmentation{kind}/{sample.id}.png", picture)
    write_json(
        folder.claim(LABELS), [_describe(name, colour) for name, colour in zip(names, colours[1:], strict=False)]
    )
    notes = [f"{crowded} images have more than {_MOST_OBJECTS} objects and were given one per class"] if crowded else []
    renamed = [name for name, plain in zip(names, split.classes, strict=True) if name != plain]
    notes += [f"labels that the format cannot hold as they are: {', '.join(renamed)}"] if renamed else []
    if left_out:
        example = next(sample.id for sample in split.samples if not _is_listable(sample.id))
        notes.append(f"{left_out} images are left out, such as {example!r}: {_LISTABLE}")
    return [*void.notes(), *notes]


def label_names(split: LabelledSplit) -> list[str]:
    """Return the name of each class as `labelmap.txt` can hold it; `urllib.parse.unquote` restores the class name.

    Fields are parted by `:`, a line that begins with `#` is a comment, and `background` is taken.
    """
    names = []
    for name in split.classes:
        escaped = escape_controls(name, ":")
        if escaped.startswith("#") or escaped == _BACKGROUND:
            escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
        names.append(escaped)
    return names


def _is_listable(sample_id: str) -> bool:
    has_lines = len(sample_id.splitlines()) > 1 or escape_controls(sample_id) != escape(sample_id, "")
    is_text = sample_id.encode(errors="ignore").decode() == sample_id
    return is_text and not has_lines and sample_id == sample_id.strip() and not sample_id.startswith("#")


def _number(labels: NDArray[np.uint8], objects: ObjectMap) -> NDArray[np.uint8]:
    """Return the object of each pixel in 8 bits."""
    return labels if len(objects.keys) > _MOST_OBJECTS else objects.numbers.astype(np.uint8)


def _describe(name: str, colour: list[int]) -> dict[str, JsonValue]:
    red, green, blue = colour
    return {"name": name, "color": f"#{red:02x}{green:02x}{blue:02x}", "attributes": []}


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _OLDEST_DATE), content, zipfile.ZIP_DEFLATED)
