"""Predictions for Label Studio: tasks with brush regions, and the labelling configuration they fit.

Formats: https://labelstud.io/guide/predictions (JSON format for pre-annotations) and https://labelstud.io/tags/brushlabels
(the result of a brush); the run lengths are those of `weakseg.data.export.brush_rle`.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from weakseg.data.export.brush_rle import encode_brush
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import escape_controls
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import LabelledSplit, VoidCount, has_void
from weakseg.data.json_list import JsonList
from weakseg.errors import DataError
from weakseg.files import JsonValue, atomic_open, write_text
from weakseg.ops.color import label_palette
from weakseg.remote import is_stand_in
from weakseg.types import IGNORE_LABEL, Sample

TASKS, CONFIGURATION = "tasks.json", "label_config.xml"

_LOCAL_FILES = "/data/local-files/?d="
"""Address of a file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, see https://labelstud.io/guide/storage (Local
storage)."""

_BRUSH, _IMAGE = "brush", "image"
_MODEL_VERSION = "weakseg"


def encode_label_studio(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the regions of an image."""
    labels = split.read_labels(sample)
    return Piece(labels.shape, _describe(labels, label_values(split)), has_void=has_void(labels))


def write_label_studio(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `tasks.json` to import, and `label_config.xml` to paste into the project's settings before.

    Each task is an image with one prediction, which has one brush region per class found. Background and void pixels
    are in none. Images stay where they are; tasks name them by the address that Label Studio serves local files under.

    Args:
        split: What to export. The class name of a region is that of the configuration, see `label_values`.
        folder: Where to.

    Returns:
        What the format could not hold, and which folder Label Studio has to serve, for the user.

    Raises:
        DataError: If a mask is missing or damaged, or images lie elsewhere (a URL, tar shards).
        ArtifactError: If a file cannot be written.
    """
    if any(is_stand_in(sample.image_path) for sample in split.samples):
        raise DataError(
            "Label Studio's tasks name images on this machine's disk, and these lie elsewhere; export another format "
            "such as coco, or from a copy of the images"
        )
    void, values = VoidCount(), label_values(split)
    served = find_served_folder([sample.image_path for sample in split.samples])
    with atomic_open(folder.claim(TASKS)) as file:
        tasks = JsonList(file)
        for sample in split.samples:
            piece = split.piece(sample, encode_label_studio)
            void.count(piece)
            place = PurePosixPath(_normal(sample.image_path).relative_to(served).as_posix())
            data: JsonValue = {_IMAGE: _LOCAL_FILES + quote(str(place)), "id": sample.id}
            tasks.add({"data": data, "predictions": [{"model_version": _MODEL_VERSION, "result": piece.content}]})
        tasks.end()
    write_text(folder.claim(CONFIGURATION), _make_configuration(values))
    return [*void.notes(), f"images are addressed below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={served}"]


def label_values(split: LabelledSplit) -> list[str]:
    """Return the name of each class as XML and Label Studio can hold it; `urllib.parse.unquote` restores it.

    XML has no control characters, and a value that begins with `$` would be read from the task.
    """
    names = [escape_controls(name) for name in split.classes]
    return [f"%24{name[1:]}" if name.startswith("$") else name for name in names]


def find_served_folder(paths: list[Path]) -> Path:
    """Return the folder above the one that holds all images: what is served must lie below the document root."""
    common = Path(os.path.commonpath([_normal(path).parent for path in paths]))
    return common.parent


def _normal(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _describe(labels: NDArray[np.uint8], values: list[str]) -> list[dict[str, JsonValue]]:
    """Return the brush region of each class of a label map (H, W)."""
    height, width = labels.shape
    return [
        {
            "id": f"label{label}",
            "type": "brushlabels",
            "from_name": _BRUSH,
            "to_name": _IMAGE,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": encode_brush(labels == label), "brushlabels": [values[label - 1]]},
        }
        for label in np.unique(labels).tolist()
        if label not in (0, IGNORE_LABEL)
    ]


def _make_configuration(values: list[str]) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_IMAGE, value=f"${_IMAGE}", zoom="true")
    brush = ElementTree.SubElement(view, "BrushLabels", name=_BRUSH, toName=_IMAGE)
    for value, colour in zip(values, label_palette()[1:].tolist(), strict=False):
        ElementTree.SubElement(brush, "Label", value=value, background="#{:02x}{:02x}{:02x}".format(*colour))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
