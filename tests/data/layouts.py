"""Writes tiny data sets in the layouts that the readers open."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.data.masks import encode_mask


def write_image(path: Path, size_hw: tuple[int, int] = (6, 9), *, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size_hw, 3), shade, np.uint8)).save(path)
    return path


def write_mask(path: Path, labels: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_mask(np.asarray(labels, np.uint8)))
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_folder(root: Path, rows: Mapping[str, str]) -> Path:
    """Write one image per row, and `tags.csv`."""
    for name in rows:
        write_image(root / name)
    write_text(root / "tags.csv", "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in rows.items()))
    return root


def write_xml(root: Path, image: str, names: Sequence[str]) -> None:
    objects = "".join(
        f"<object><name>{name}</name><difficult>1</difficult><part><name>head</name></part></object>" for name in names
    )
    write_text(root / "Annotations" / f"{image}.xml", f"<annotation><filename>x</filename>{objects}</annotation>")


def write_voc(root: Path, tags: Mapping[str, Sequence[str]], **splits: Sequence[str]) -> Path:
    """Write images and XML for `tags` and one list per split."""
    for shade, (image, names) in enumerate(tags.items()):
        write_image(root / "JPEGImages" / f"{image}.jpg", shade=shade)
        write_xml(root, image, names)
    for name, ids in splits.items():
        write_text(root / "ImageSets" / "Segmentation" / f"{name}.txt", "\n".join(ids) + "\n")
    return root


def square(x: float, y: float, side: float) -> list[list[float]]:
    """Return a polygon that covers the pixels x..x+side-1, y..y+side-1."""
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def coco_document(
    names: Sequence[str], images: Sequence[str], objects: Sequence[tuple[int, int, object]], size_hw: tuple[int, int]
) -> dict[str, object]:
    """Make a COCO document; an object is (image number, category number, segmentation). Category ids are 10, 20, ..."""
    return {
        "info": {"description": "made for a test"},
        "images": [
            {"id": 100 + n, "file_name": name, "height": size_hw[0], "width": size_hw[1]}
            for n, name in enumerate(images)
        ],
        "annotations": [
            {"id": n, "image_id": 100 + image, "category_id": 10 * (k + 1), "iscrowd": 0, "segmentation": outline}
            for n, (image, k, outline) in enumerate(objects)
        ],
        "categories": [{"id": 10 * (k + 1), "name": name} for k, name in enumerate(names)],
    }


def write_json(path: Path, document: object) -> Path:
    return write_text(path, json.dumps(document))
