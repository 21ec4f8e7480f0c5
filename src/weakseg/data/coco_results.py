"""Detected instances as COCO's results JSON, which pycocotools and COCO's evaluation server read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools

from weakseg.data.base import SourceId
from weakseg.data.json_list import JsonList
from weakseg.errors import DataError, ShapeError
from weakseg.files import JsonValue, atomic_open
from weakseg.ops.instances import Instances

_SCORE_DECIMALS = 6


def write_coco_results(
    path: Path,
    results: Iterable[tuple[str, Instances]],
    *,
    image_ids: Mapping[str, SourceId] | None,
    category_ids: Sequence[int],
) -> int:
    """Write the instances of many images as one JSON list, image by image, so that they need not fit in memory.

    Each instance becomes `{"image_id", "category_id", "segmentation": {"size": [H, W], "counts": text}, "score"}`, the
    counts in COCO's packed run lengths. An image without instances has no entry. The file appears whole or not at all.

    Args:
        path: The file; its folder is made if need be.
        results: Pairs of sample id and instances.
        image_ids: Image id by sample id, `Dataset.source_ids` for COCO. None writes the sample ids themselves: text,
            which pycocotools accepts for data sets whose images have no number.
        category_ids: Category id of each class, `ClassSet.source_ids` for COCO.

    Returns:
        Number of instances written.

    Raises:
        DataError: If an image has no id.
        ShapeError: If a class has no category.
        ArtifactError: If the file cannot be written.
    """
    with atomic_open(path) as file:
        found = JsonList(file)
        for sample_id, instances in results:
            if image_ids is not None and sample_id not in image_ids:
                raise DataError(
                    f"image '{sample_id}' has no id among the {len(image_ids)} given; were they read from its split?"
                )
            image_id = sample_id if image_ids is None else image_ids[sample_id]
            for entry in describe_instances(sample_id, instances, category_ids):
                found.add({"image_id": image_id, **entry})
        found.end()
    return found.written


def describe_instances(sample_id: str, instances: Instances, category_ids: Sequence[int]) -> list[dict[str, JsonValue]]:
    """Return the entries of one image, less its id.

    Raises:
        ShapeError: If a class has no category; the message names the image.
    """
    if len(instances) and int(instances.keys.max()) >= len(category_ids):
        raise ShapeError(
            f"image '{sample_id}': expected classes 0..{len(category_ids) - 1}, one per category id, "
            f"got {instances.keys.max()}"
        )
    entries: list[dict[str, JsonValue]] = []
    for mask, key, score in instances:
        rle = rle_tools.encode(np.asfortranarray(mask, np.uint8))
        segmentation = {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
        entries.append(
            {"category_id": category_ids[key], "segmentation": segmentation, "score": round(score, _SCORE_DECIMALS)}
        )
    return entries
