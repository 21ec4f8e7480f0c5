"""A folder that `datasets.load_dataset("imagefolder", data_dir=FOLDER)` of Hugging Face reads.

The layout: https://huggingface.co/docs/datasets/image_dataset (ImageFolder with metadata) and
https://huggingface.co/docs/hub/datasets-image (relative paths, splits). A column whose name ends in `_file_name`
becomes an image, too, in the releases that know it; in older ones it stays the file's name.
"""

from __future__ import annotations

import json

from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.names import flat_names
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import LabelledSplit
from weakseg.data.masks import encode_mask
from weakseg.files import JsonValue, write_bytes, write_text
from weakseg.types import Sample

_FOLDERS = {"train": "train", "val": "validation"}
"""Folders by whose names splits are told apart."""

_TAG_SEPARATOR = ";"
"""No class name holds it. Lists would be of unknown type where no image has a tag."""


def encode_hf_dataset(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the mask of an image."""
    labels = split.read_labels(sample)
    return Piece(labels.shape, pictures=(encode_mask(labels),))


def write_hf_dataset(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `<train|validation>/{images,masks}/<id>...`, `<train|validation>/metadata.jsonl` and `id2label.json`.

    A line of `metadata.jsonl` has `file_name`, `mask_file_name`, `id` and `tags` (class names, parted by `;`). Masks
    are palette PNGs that hold the labels themselves, 255 for void.

    Args:
        split: What to export. An id with folders becomes one file name, see `flat_names`.
        folder: Where to; it says whether images are copied or linked.

    Returns:
        Nothing: the format holds all there is in a label map.

    Raises:
        DataError: If a mask or image is missing or damaged, or they do not fit one another.
        ArtifactError: If a file cannot be written.
    """
    names = flat_names(sample.id for sample in split.samples)
    rows: dict[str, list[str]] = {_FOLDERS[role]: [] for role in split.roles}
    for sample in split.samples:
        piece = split.piece(sample, encode_hf_dataset)
        place, name = _FOLDERS[split.home_of(sample).role], names[sample.id]
        image = folder.add_image(f"{place}/images/{name}", sample, size_hw=piece.size_hw)
        mask = f"{place}/masks/{name}.png"
        write_bytes(folder.claim(mask), piece.pictures[0])
        row: dict[str, JsonValue] = {
            "file_name": image.removeprefix(f"{place}/"),
            "mask_file_name": mask.removeprefix(f"{place}/"),
            "id": sample.id,
            "tags": _TAG_SEPARATOR.join(split.classes.decode(sample.tags)),
        }
        rows[place].append(json.dumps(row, ensure_ascii=False) + "\n")
    for place, lines in rows.items():
        write_text(folder.claim(f"{place}/metadata.jsonl"), "".join(lines))
    labels_by_id: dict[str, JsonValue] = {str(label): name for label, name in enumerate(split.classes.label_names)}
    write_text(folder.claim("id2label.json"), json.dumps(labels_by_id, indent=1, ensure_ascii=False) + "\n")
    return []
