"""Tags in JSON of a simpler form than COCO's: a list of images with their tags, one a line, or tags by image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from weakseg.data.lists import read_text
from weakseg.data.tables import IMAGE_HEADERS, TAG_HEADERS, Row, Table, image_column
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue

FORMS = '[{"image": "1.jpg", "tags": ["cat"]}, ...], such objects one a line, or {"1.jpg": ["cat"], ...}'
"""What can be read, for messages."""


def read_json_table(path: Path) -> Table:
    """Read the images and tags of a JSON file as a table with a row per image.

    Args:
        path: A list of objects, an object a line, or an object whose keys are images.

    Raises:
        DataError: If it has none of these forms.
    """
    entries = _entries(_decode(path))
    if not entries:
        raise DataError(f"{path}: expected {FORMS}, or a COCO file with images, categories and annotations")
    header = tuple(dict.fromkeys(key for entry in entries for key in entry))
    if image_column(header) is None:
        raise DataError(f"{path}: expected a name such as 'image' in each object, got {', '.join(header)[:120]}")
    rows = [Row(n + 1, tuple(_cell(entry.get(key)) for key in header)) for n, entry in enumerate(entries)]
    return Table(path, ",", header, tuple(rows))


def _decode(path: Path) -> JsonValue:
    text = read_text(path)
    try:
        value: JsonValue = decode_json(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [decode_json(line) for line in lines]
        except ValueError:
            raise DataError(f"{path} is not JSON: {error}") from error
    return value


def _entries(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    """Return an object per image, each with its name and tags; empty where a value is of another form."""
    if isinstance(value, dict):
        only = next(iter(value.values())) if len(value) == 1 else None
        if isinstance(only, list) and only and all(isinstance(entry, dict) for entry in only):
            return _entries(only)
        if value and all(map(_is_tags, value.values())):
            return [{IMAGE_HEADERS[0]: name, TAG_HEADERS[0]: tags} for name, tags in value.items()]
        return []
    objects = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return list(objects) if isinstance(value, list) and len(objects) == len(value) else []


def _is_tags(value: JsonValue) -> bool:
    parts: Iterable[JsonValue] = value if isinstance(value, list) else (value,)
    return all(isinstance(part, str | int) for part in parts)


def _cell(value: JsonValue) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
