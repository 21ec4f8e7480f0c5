"""Tags of the images in tar shards: what JSON, class numbers or words say, as a table that the folder reader knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from weakseg.data.remote.shards import TAG_ENDINGS
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue

TAG_KEYS = ("tags", "labels", "classes", "categories", "label", "class", "class_name", "category", "cls")
"""What JSON calls the tags of an image, looked for in this order."""

_PARTED = re.compile(r"[;|,\n]")


def read_tags(texts: Mapping[str, str], classes: Sequence[str], *, where: str) -> tuple[str, ...] | None:
    """Return the names that an image is tagged with, sorted; None if nothing is said about it.

    Args:
        texts: The contents of its members with tags, by their endings: `json`, `cls`, `txt`.
        classes: Names of the classes by their numbers; numbers stand for themselves where there are none.
        where: The image, for messages.

    Raises:
        DataError: If they are not understood.
    """
    for ending in TAG_ENDINGS:
        if ending not in texts:
            continue
        said = _read_json(texts[ending], where) if ending == "json" else _read_words(texts[ending])
        if said is not None:
            return tuple(sorted({_name(word, classes, where) for word in said}))
    return None


def _read_words(text: str) -> list[str | int]:
    words = [word.strip() for word in _PARTED.split(text)]
    return [int(word) if re.fullmatch(r"\d{1,9}", word) else word for word in words if word]


def _read_json(text: str, where: str) -> list[str | int] | None:
    try:
        document: JsonValue = decode_json(text)
    except ValueError as error:
        raise DataError(f"{where}: its .json is no JSON ({error})") from None
    if isinstance(document, dict):
        key = next((key for key in TAG_KEYS if document.get(key) is not None), None)
        if key is None:
            return None
        document = document[key]
    if isinstance(document, str):
        return _read_words(document)
    words = document if isinstance(document, list) else [document]
    names = [word for word in words if isinstance(word, str | int) and not isinstance(word, bool)]
    if len(names) != len(words):
        raise DataError(
            f"{where}: expected a list of names or of class numbers in its .json, below one of {', '.join(TAG_KEYS)}, "
            f"got {text[:60]!r}"
        )
    return names


def _name(word: str | int, classes: Sequence[str], where: str) -> str:
    if isinstance(word, str):
        return word.strip()
    if not classes:
        return str(word)
    if not 0 <= word < len(classes):
        raise DataError(f"{where}: the class number {word} is none of 0..{len(classes) - 1}, which classes.txt names")
    return classes[word]


def encode_tags(tags: Mapping[str, Sequence[str]]) -> bytes:
    """Return `tags.json` for the folder reader: names by image path; an image with no name shows none."""
    names = sorted({name for said in tags.values() for name in said})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    images = [{"id": at, "file_name": path} for at, path in enumerate(tags)]
    shown = [{"image_id": at, "category_id": numbers[name]} for at, said in enumerate(tags.values()) for name in said]
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return json.dumps({"images": images, "categories": categories, "annotations": shown}).encode()
