"""Results in COCO's JSON: a run-length mask per class and image, and the instances where a run has found any.

Formats: https://cocodataset.org/#format-results (5. stuff segmentation, 1. detection with segments) and
https://cocodataset.org/#format-data for the list of images and categories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from weakseg.data.base import SourceId
from weakseg.data.coco_results import write_coco_results
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.specks import Specks
from weakseg.data.export.split import LabelledSplit, VoidCount
from weakseg.files import JsonValue, atomic_open, write_json
from weakseg.ops.instances import Instances
from weakseg.types import IGNORE_LABEL

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
    category_ids = split.classes.source_ids or range(1, split.classes.num_labels)
    images: list[dict[str, JsonValue]] = []
    written = 0
    with atomic_open(folder.claim(SEMANTIC)) as file:
        file.write(b"[")
        for sample in split.samples:
            labels = split.read_labels(sample)
            void.clear(labels)
            height, width = labels.shape
            name = sample.id + sample.image_path.suffix
            images.append({"id": image_ids[sample.id], "file_name": name, "height": height, "width": width})
            for entry in _describe(labels, image_ids[sample.id], category_ids):
                file.write(b",\n" if written else b"\n")
                file.write(json.dumps(entry).encode())
                written += 1
        file.write(b"\n]\n")
    write_json(folder.claim(IMAGES), _make_data_set(split, images, category_ids))
    notes = [] if written else [_NOTHING_FOUND]
    return [*void.notes(), *notes, *_write_instances(split, folder, image_ids, category_ids)]


def _describe(labels: NDArray[np.uint8], image_id: SourceId, category_ids: Sequence[int]) -> list[dict[str, JsonValue]]:
    """Return the entries of one image."""
    entries: list[dict[str, JsonValue]] = []
    for label in np.unique(labels).tolist():
        if label not in (0, IGNORE_LABEL):
            rle = rle_tools.encode(np.asfortranarray(labels == label, np.uint8))
            segmentation = {"size": list(labels.shape), "counts": rle["counts"].decode("ascii")}
            entries.append({"image_id": image_id, "category_id": category_ids[label - 1], "segmentation": segmentation})
    return entries


def _make_data_set(
    split: LabelledSplit, images: Sequence[JsonValue], category_ids: Sequence[int]
) -> dict[str, JsonValue]:
    categories: list[JsonValue] = [
        {"id": id, "name": name} for id, name in zip(category_ids, split.classes, strict=True)
    ]
    info = {"description": f"images and categories of the split {split.name}, without truth"}
    return {"info": info, "images": images, "categories": categories, "annotations": []}


def _write_instances(
    split: LabelledSplit, folder: ExportFolder, image_ids: Mapping[str, SourceId], category_ids: Sequence[int]
) -> list[str]:
    reader = split.instance_reader
    if reader is None:
        return []
    found = (
        (sample.id, _drop_specks(instances, split.specks))
        for sample in split.samples
        if (instances := reader(sample)) is not None
    )
    count = write_coco_results(folder.claim(INSTANCES), found, image_ids=image_ids, category_ids=category_ids)
    return [f"{count} instances"]


def _drop_specks(instances: Instances, specks: Specks) -> Instances:
    kept = np.array([specks.keeps(mask) for mask, _, _ in instances], np.bool_)
    return Instances(instances.masks[kept], instances.keys[kept], instances.scores[kept])
