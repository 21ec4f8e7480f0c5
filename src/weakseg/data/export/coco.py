"""Results in COCO's JSON: a run-length mask per class and image, and the instances where a run has found any.

Formats: https://cocodataset.org/#format-results (5. stuff segmentation, 1. detection with segments) and
https://cocodataset.org/#format-data for the list of images and categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from weakseg.data.coco_results import describe_instances
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.pieces import Piece
from weakseg.data.export.specks import Specks
from weakseg.data.export.split import LabelledSplit, VoidCount, has_void
from weakseg.data.json_list import JsonList
from weakseg.files import JsonValue, atomic_open, write_json
from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL, Sample

_NOTHING_FOUND = "no image shows any class: the list of results is empty, which loadRes of pycocotools refuses to read"

SEMANTIC, INSTANCES, IMAGES = "semantic_results.json", "instances_results.json", "images.json"


def write_coco(split: LabelledSplit, folder: ExportFolder) -> list[str]:
    """Write `semantic_results.json`, `instances_results.json` where there are instances, and `images.json`.

    The first is a list of `{"image_id", "category_id", "segmentation": {"size": [H, W], "counts": text}}`, one entry
    per class and image that shows it; background and void pixels are in none. The second has one entry per instance,
    with its score. `images.json` holds `images`, `categories` and an empty list of `annotations`, so that
    `COCO("images.json").loadRes("semantic_results.json")` of pycocotools works without the data set's own file.

    Images and categories have the ids of the source annotation; without one they are numbered from 1 in order.

    Args:
        split: What to export.
        folder: Where to.

    Returns:
        What the format could not hold, for the user.

    Raises:
        DataError: If a mask is missing or damaged.
        ArtifactError: If a file cannot be written, or instances are missing or damaged.
    """
    void = VoidCount()
    image_ids = split.source_ids or {sample.id: place + 1 for place, sample in enumerate(split.samples)}
    category_ids = _category_ids(split)
    images: list[dict[str, JsonValue]] = []
    kinds = [SEMANTIC] if split.instance_reader is None else [SEMANTIC, INSTANCES]
    with ExitStack() as files:
        lists = [JsonList(files.enter_context(atomic_open(folder.claim(kind)))) for kind in kinds]
        for sample in split.samples:
            piece = split.piece(sample, encode_coco)
            void.count(piece)
            height, width = piece.size_hw
            name, image_id = sample.id + sample.image_path.suffix, image_ids[sample.id]
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            for written, entries in zip(lists, _lists_of(piece), strict=True):
                for entry in entries:
                    written.add({"image_id": image_id, **entry})
        for written in lists:
            written.end()
    write_json(folder.claim(IMAGES), _make_data_set(split, images, category_ids))
    notes = [] if lists[0].written else [_NOTHING_FOUND]
    return [*void.notes(), *notes, *(f"{found.written} instances" for found in lists[1:])]


def encode_coco(split: LabelledSplit, sample: Sample) -> Piece:
    """Make the entries of an image, less its id: of its classes, and of its instances where somebody looked for any."""
    labels, category_ids = split.read_labels(sample), _category_ids(split)
    content: list[JsonValue] = [_describe(labels, category_ids)]
    if split.instance_reader is not None:
        instances = split.instance_reader(sample)
        kept = None if instances is None else _drop_specks(instances, split.specks)
        content.append([] if kept is None else describe_instances(sample.id, kept, category_ids))
    return Piece(labels.shape, content, has_void=has_void(labels))


def _lists_of(piece: Piece) -> list[list[dict[str, JsonValue]]]:
    """Return the lists of entries of an image."""
    assert isinstance(piece.content, list), "as it was made"
    return piece.content


def _category_ids(split: LabelledSplit) -> Sequence[int]:
    return split.classes.source_ids or range(1, split.classes.num_labels)


def _describe(labels: NDArray[np.uint8], category_ids: Sequence[int]) -> list[dict[str, JsonValue]]:
    """Return the entries of one image."""
    entries: list[dict[str, JsonValue]] = []
    for label in np.unique(labels).tolist():
        if label not in (0, IGNORE_LABEL):
            rle = rle_tools.encode(np.asfortranarray(labels == label, np.uint8))
            segmentation = {"size": list(labels.shape), "counts": rle["counts"].decode("ascii")}
            entries.append({"category_id": category_ids[label - 1], "segmentation": segmentation})
    return entries


def _make_data_set(
    split: LabelledSplit, images: Sequence[JsonValue], category_ids: Sequence[int]
) -> dict[str, JsonValue]:
    categories: list[JsonValue] = [
        {"id": id, "name": name} for id, name in zip(category_ids, split.classes, strict=True)
    ]
    info = {"description": f"images and categories of the split {split.name}, without truth"}
    return {"info": info, "images": images, "categories": categories, "annotations": []}


def _drop_specks(instances: Instances, specks: Specks) -> Instances:
    kept = np.array([specks.keeps(mask) for mask, _, _ in instances], np.bool_)
    return Instances(instances.masks[kept], instances.keys[kept], instances.scores[kept])
