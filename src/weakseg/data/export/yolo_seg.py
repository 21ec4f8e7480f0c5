"""A data set for YOLO's instance segmentation: images, one text file of polygons per image, and `data.yaml`.

The format: https://docs.ultralytics.com/datasets/segment/ . It has one line per object, and a line is one polygon;
objects of several parts are joined by thin bridges there, too (https://github.com/ultralytics/ultralytics/pull/16826).
"""

from __future__ import annotations

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import flat_name, flat_names, list_renamed
from weakseg.data.export.objects import divide_objects
from weakseg.data.export.outlines import trace_polygon
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import LabelledSplit, VoidCount, clear_void, has_void
from weakseg.files import write_text
from weakseg.ops.instances import Instances
from weakseg.types import Sample

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
"""YOLO passes over images of others without a word (IMG_FORMATS of Ultralytics; newer releases take a few more)."""

_DECIMALS = 7
"""Corners are then off by less than a thousandth of a pixel, up to 10 000 pixels a side."""

_HEAD = (
    "# The split '{name}'. YOLO asks for train and val; both are the split exported here, change that as you need.\n"
)
_HEAD_OF_BOTH = "# All splits of the run.\n"


def encode_yolo_seg(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the lines of an image."""
    labels = split.read_labels(sample)
    cleared, instances = clear_void(labels), split.read_instances(sample, labels.shape)
    lines = describe_objects(cleared, instances, min_area_px=split.specks.min_area(labels.shape))
    return Piece(labels.shape, "".join(f"{line}\n" for line in lines), has_void=has_void(labels))


def write_yolo_seg(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `images/<train|val>/<id>.<suffix>`, `labels/<train|val>/<id>.txt` and `data.yaml`.

    A line of a text file is `class x1 y1 x2 y2 ...`: the class index from 0 on, and the corners of the polygon divided
    by the image's width and height. Objects are those of `divide_objects`; the polygon is that of `trace_polygon`,
    exact when filled at the centres of pixels. An image without objects has an empty file.

    Args:
        split: What to export. An id with folders becomes one file name, see `flat_names`.
        folder: Where to; it says whether images are copied or linked.

    Returns:
        What the format could not hold, for the user.

    Raises:
        DataError: If a mask or image is missing or damaged, or they do not fit one another.
        ArtifactError: If a file cannot be written, or instances are missing or damaged.
    """
    void, names = VoidCount(), flat_names(sample.id for sample in split.samples)
    for sample in split.samples:
        piece = split.piece(sample, encode_yolo_seg)
        void.count(piece)
        place = f"{split.home_of(sample).role}/{names[sample.id]}"
        folder.add_image(f"images/{place}", sample, size_hw=piece.size_hw, suffixes=_SUFFIXES)
        write_text(folder.claim(f"labels/{place}.txt"), str(piece.content))
    roles = split.roles
    settings = {
        "train": f"images/{roles[0]}",
        "val": f"images/{roles[-1]}",
        "names": dict(enumerate(split.classes)),
    }
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    head = _HEAD.format(name=flat_name(split.name)) if len(roles) == 1 else _HEAD_OF_BOTH
    write_text(folder.claim("data.yaml"), head + text)
    return [*void.notes(), *list_renamed(names, folder)]


def describe_objects(
    labels: NDArray[np.uint8], instances: Instances | None = None, *, min_area_px: int = 0
) -> list[str]:
    """Return the line of each object of a label map (H, W) uint8; see `write_yolo_seg` and `divide_objects`."""
    objects = divide_objects(labels, instances, min_area_px=min_area_px)
    size_xy = np.array(labels.shape[::-1])
    lines = []
    for place, box in enumerate(ndimage.find_objects(objects.numbers)):
        top, left = box[0].start, box[1].start
        corners = (trace_polygon(objects.numbers[box] == place + 1) + np.array([left, top])) / size_xy
        lines.append(" ".join([str(objects.keys[place]), *(f"{value:.{_DECIMALS}f}" for value in corners.ravel())]))
    return lines
