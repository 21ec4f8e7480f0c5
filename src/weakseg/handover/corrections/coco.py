"""Corrected masks as COCO's JSON: a data set with annotations, or a list of results beside its `images.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.coco_categories import as_id
from weakseg.data.coco_outlines import Outline, draw_labels
from weakseg.data.export.coco import IMAGES
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.handover.corrections.json_files import as_list, as_object, load_json
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.types import IGNORE_LABEL


@dataclass(frozen=True)
class _Document:
    """What is used of a file.

    Args:
        images: Name of each image by the id that annotations have.
        categories: Name of each class by its id.
        annotations: The objects.
    """

    images: dict[int | str, str]
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
    of_image: dict[int | str, list[dict[str, JsonValue]]] = defaultdict(list)
    for place, entry in enumerate(document.annotations):
        annotation = as_object(entry, where=f"{path}: annotation {place + 1}")
        image = _id_of(annotation, "image_id")
        if image is None or image not in document.images:
            yield Brought(f"{path}: annotation {place + 1}", str(image), fault=f"there is no image with the id {image}")
            continue
        of_image[image].append(annotation)
    for key, entries in of_image.items():
        name = document.images[key]
        try:
            outlines = [_to_outline(annotation, labels) for annotation in entries]
            mask = draw_labels(outlines, size_hw=known.size_of(known.find(name)))
            yield Brought(str(path), name, mask)
        except DataError as error:
            yield Brought(str(path), name, fault=str(error))


def _id_of(entry: dict[str, JsonValue], name: str) -> int | str | None:
    """Return an id, which may be written as 7, 7.0 or text; None if it is none."""
    value = as_id(entry.get(name))
    return value if isinstance(value, int | str) else None


def _to_outline(annotation: dict[str, JsonValue], labels: dict[int | str, int]) -> Outline:
    category = _id_of(annotation, "category_id")
    if category is None or category not in labels:
        raise DataError(f"there is no category with the id {category}")
    label = labels[category]
    crowd = label == IGNORE_LABEL or annotation.get("iscrowd") in (1, True)
    return Outline(label, crowd=crowd, segmentation=annotation.get("segmentation"))


def _read_document(path: Path) -> _Document:
    document = load_json(path)
    if isinstance(document, list):  # results name neither images nor categories
        beside = path.with_name(IMAGES)
        if not beside.is_file():
            raise DataError(f"{path} is a list of results; expected {beside} beside it, which names images and classes")
        return _Document(*_read_tables(beside, load_json(beside)), document)
    whole = as_object(document, where=str(path))
    return _Document(*_read_tables(path, whole), as_list(whole, "annotations", where=str(path)))


def _read_tables(path: Path, document: JsonValue) -> tuple[dict[int | str, str], dict[int | str, str]]:
    whole = as_object(document, where=str(path))
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
            table[key] = text
        tables.append(table)
    return tables[0], tables[1]


def _read_labels(path: Path, document: _Document, known: KnownImages) -> dict[int | str, int]:
    """Return the label of each category that an annotation has; others may be what they like."""
    used = {_id_of(entry, "category_id") for entry in document.annotations if isinstance(entry, dict)}
    try:
        return {key: known.label_of(name) for key, name in document.categories.items() if key in used}
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
