"""Corrected masks as Label Studio's JSON: the brush and polygon regions of each task's last annotation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from weakseg.data.export.brush_rle import decode_brush
from weakseg.errors import DataError, ShapeError
from weakseg.files import JsonValue
from weakseg.handover.corrections.json_files import as_list, as_number, as_object, as_text, load_json
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.handover.corrections.shapes import Shape, fill_polygon, paint

_PERCENT = 100.0
_PASSED_OVER = ("choices", "labels", "rating", "taxonomy", "textarea", "relation")
"""Results that are no regions of the picture."""


def read_label_studio(path: Path, known: KnownImages) -> Iterator[Brought]:
    """Read the tasks of an export in the format JSON; a later region lies on top. An empty annotation is background.

    Nothing is said of a task that nobody has annotated: predictions are the run's own masks.

    Raises:
        DataError: If the file is no list of tasks, or nobody has annotated any.
    """
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise DataError(f"{path}: expected a list of tasks; export the project in the format JSON")
    found = False
    for place, entry in enumerate(tasks):
        where = f"{path}: task {place + 1}"
        task = as_object(entry, where=where)
        annotation = _last_annotation(task, where)
        if annotation is None:
            continue
        found = True
        image = _image_name(as_object(task.get("data"), where=where), where)
        try:
            size_hw = known.size_of(known.find(image))
            yield Brought(where, image, _paint(as_list(annotation, "result", where=where), known, size_hw))
        except (DataError, ShapeError) as error:
            yield Brought(where, image, fault=str(error))
    if not found:
        if not any(isinstance(task, dict) and "data" in task for task in tasks):
            raise DataError(f"{path}: its tasks hold no 'data'; export the project in the format JSON, not JSON-MIN")
        raise DataError(f"{path}: none of its {len(tasks)} tasks was annotated; submit them in Label Studio first")


def _last_annotation(task: dict[str, JsonValue], where: str) -> dict[str, JsonValue] | None:
    entries = task.get("annotations", [])
    if not isinstance(entries, list):
        raise DataError(f"{where}: expected a list 'annotations'; export the project in the format JSON")
    annotations = [as_object(entry, where=where) for entry in entries]
    kept = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    return kept[-1] if kept else None


def _image_name(data: dict[str, JsonValue], where: str) -> str:
    """Return the id that our own export wrote, else the path in the address of the image."""
    if isinstance(data.get("id"), str):
        return str(data["id"])
    texts = [value for key, value in data.items() if isinstance(value, str) and "image" in key.lower()]
    texts = texts or [value for value in data.values() if isinstance(value, str)]
    if not texts:
        raise DataError(f"{where}: expected the address of an image in 'data'")
    address = urlsplit(texts[0])
    local = parse_qs(address.query).get("d", [])
    return local[0] if local else unquote(address.path)


def _paint(results: list[JsonValue], known: KnownImages, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    shapes = []
    for place, entry in enumerate(results):
        where = f"region {place + 1}"
        result = as_object(entry, where=where)
        kind = as_text(result, "type", where=where)
        if kind in _PASSED_OVER:
            continue
        if kind not in ("brushlabels", "polygonlabels"):
            raise DataError(f"{where}: expected brushlabels or polygonlabels, got {kind}, which is no mask")
        _require_upright(result, size_hw, where)
        value = as_object(result.get("value"), where=where)
        names = as_list(value, kind, where=where)
        if len(names) != 1 or not isinstance(names[0], str):
            raise DataError(f"{where}: expected one label, got {len(names)}")
        pixels = _read_brush(value, size_hw, where) if kind == "brushlabels" else _read_polygon(value, size_hw, where)
        shapes.append(Shape(known.label_of(names[0]), pixels))
    return paint(shapes, size_hw)


def _require_upright(result: dict[str, JsonValue], size_hw: tuple[int, int], where: str) -> None:
    if result.get("image_rotation") not in (None, 0):
        raise DataError(f"{where}: the picture was turned by {result['image_rotation']} degrees; turn it back")
    height, width = (result.get("original_height"), result.get("original_width"))
    if (height, width) != size_hw:
        raise DataError(f"{where}: expected a picture of {size_hw[1]} x {size_hw[0]} pixels, got {width} x {height}")


def _read_brush(value: dict[str, JsonValue], size_hw: tuple[int, int], where: str) -> NDArray[np.bool_]:
    numbers = as_list(value, "rle", where=where)
    if not all(isinstance(number, int) and 0 <= number <= np.iinfo(np.uint8).max for number in numbers):
        raise DataError(f"{where}: expected bytes 0..255 in 'rle'")
    return decode_brush(np.array(numbers, np.uint8), size_hw)


def _read_polygon(value: dict[str, JsonValue], size_hw: tuple[int, int], where: str) -> NDArray[np.bool_]:
    corners = []
    for entry in as_list(value, "points", where=where):
        if not isinstance(entry, list):
            raise DataError(f"{where}: expected corners [x, y], got {str(entry)[:60]}")
        point = {str(place): number for place, number in enumerate(entry)}
        corners.append([as_number(point, axis, where=where) for axis in ("0", "1")])
    if not corners:
        raise DataError(f"{where}: the polygon has no corners")
    return fill_polygon(np.array(corners) / _PERCENT * np.array(size_hw[::-1]), size_hw)
