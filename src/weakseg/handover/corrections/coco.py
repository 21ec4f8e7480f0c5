"""Corrected masks as COCO's JSON: a data set with annotations, or a list of results beside its `images.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weakseg.data.coco_categories import as_number
from weakseg.data.coco_outlines import Outline, draw_labels, is_in_shares, outline_fault
from weakseg.data.export.coco import IMAGES
from weakseg.errors import DataError
from weakseg.file_names import printable
from weakseg.files import JsonValue
from weakseg.handover.corrections.json_files import as_list, as_object, load_json
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.handover.corrections.shapes import require_within
from weakseg.types import IGNORE_LABEL


@dataclass(frozen=True)
class _Image:
    """An image: its name, and the (height, width) that its corners are meant for, where the file tells it."""

    name: str
    size_hw: tuple[JsonValue, JsonValue] | None


@dataclass(frozen=True)
class _Document:
    """What is used of a file.

    Args:
        images: Each image by the id that annotations have.
        categories: Name of each class by its id.
        annotations: The objects.
    """

    images: dict[int | str, _Image]
    categories: dict[int | str, str]
    annotations: list[JsonValue]


def read_coco(path: Path, known: KnownImages) -> Iterator[Brought]:
    """Read the masks of a COCO file; larger objects are drawn first, and crowds are what nobody looked at (255).

    Nothing is said of an image without annotations.

    Raises:
        DataError: If the file is none of COCO's, or a category is no class of the run.
    """
    document = _read_document(path)
    labels = _read_labels(path, document, known)
    _require_pixels(path, document)
    of_image: dict[int | str, list[dict[str, JsonValue]]] = defaultdict(list)
    for place, entry in enumerate(document.annotations):
        annotation = as_object(entry, where=f"{path}: annotation {place + 1}")
        image = _id_of(annotation, "image_id")
        if image is None or image not in document.images:
            fault = f"there is no image with the id {entry.get('image_id') if isinstance(entry, dict) else None}"
            yield Brought(f"{path}: annotation {place + 1}", "", fault=fault)
            continue
        of_image[image].append(annotation)
    for key, entries in of_image.items():
        image_entry = document.images[key]
        where = f"{path}: image '{printable(image_entry.name)}'"
        try:
            size_hw = known.size_of(known.find(image_entry.name))
            _require_size(image_entry, size_hw)
            outlines = [_to_outline(annotation, labels, size_hw) for annotation in entries]
            yield Brought(where, image_entry.name, draw_labels(outlines, size_hw=size_hw))
        except DataError as error:
            yield Brought(where, image_entry.name, fault=str(error))


def _require_size(image: _Image, size_hw: tuple[int, int]) -> None:
    if image.size_hw is not None and image.size_hw != size_hw:
        height, width = image.size_hw
        raise DataError(
            f"expected outlines in an image of {size_hw[1]} x {size_hw[0]} pixels, got them for {width} x {height}; "
            "export them at the size of the image"
        )


def _id_of(entry: dict[str, JsonValue], name: str) -> int | str | None:
    """Return an id, which may be written as 7, 7.0, "7" or text; None if it is none."""
    value = as_number(entry.get(name))
    return value if isinstance(value, int | str) else None


def _to_outline(annotation: dict[str, JsonValue], labels: dict[int | str, int], size_hw: tuple[int, int]) -> Outline:
    category = _id_of(annotation, "category_id")
    if category is None or category not in labels:
        raise DataError(f"there is no category with the id {category}")
    label = labels[category]
    crowd = label == IGNORE_LABEL or annotation.get("iscrowd") in (1, True)
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and outline_fault(segmentation) is None:
        corners = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in segmentation]
        require_within(np.concatenate(corners), size_hw)
    return Outline(label, crowd=crowd, segmentation=segmentation)


def _read_document(path: Path) -> _Document:
    document = load_json(path)
    if isinstance(document, list):  # results name neither images nor categories
        beside = path.with_name(IMAGES)
        if not beside.is_file():
            raise DataError(f"{path} is a list of results; expected {beside} beside it, which names images and classes")
        return _Document(*_read_tables(beside, load_json(beside)), document)
    whole = as_object(document, where=str(path))
    return _Document(*_read_tables(path, whole), as_list(whole, "annotations", where=str(path)))


def _require_pixels(path: Path, document: _Document) -> None:
    """Refuse a file whose corners are shares of the image's size: drawn as pixels, they would leave nothing."""
    outlines = [entry.get("segmentation") for entry in document.annotations if isinstance(entry, dict)]
    found = {is_in_shares(outline) for outline in outlines if outline}
    if True in found and False not in found:
        raise DataError(f"{path}: expected corners in pixels, got numbers between 0 and 1 alone; export it in pixels")


def _read_tables(path: Path, document: JsonValue) -> tuple[dict[int | str, _Image], dict[int | str, str]]:
    whole = as_object(document, where=str(path))
    sizes: dict[int | str, tuple[JsonValue, JsonValue]] = {}
    tables = []
    for name, field in (("images", "file_name"), ("categories", "name")):
        table: dict[int | str, str] = {}
        for place, entry in enumerate(as_list(whole, name, where=str(path))):
            row = as_object(entry, where=f"{path}: {name}, entry {place + 1}")
            key, text = _id_of(row, "id"), row.get(field)
            if key is None or not isinstance(text, str):
                raise DataError(
                    f"{path}: {name}, entry {place + 1}: expected an id and a {field}, got {key} and {text}"
                )
            if table.setdefault(key, text) != text:
                raise DataError(
                    f"{path}: {name}, entry {place + 1}: '{printable(text)}' has the id {key} of "
                    f"'{printable(table[key])}'; give each an id of its own"
                )
            if row.get("width") and row.get("height"):  # some tools leave them 0
                sizes[key] = (as_number(row["height"]), as_number(row["width"]))
        tables.append(table)
    return {key: _Image(name, sizes.get(key)) for key, name in tables[0].items()}, tables[1]


def _read_labels(path: Path, document: _Document, known: KnownImages) -> dict[int | str, int]:
    """Return the label of each category that an annotation has; others may be what they like."""
    used = {_id_of(entry, "category_id") for entry in document.annotations if isinstance(entry, dict)}
    try:
        return {key: known.label_of(name) for key, name in document.categories.items() if key in used}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
