"""The classes that the categories of a COCO file make, and ids as other tools write them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.class_names import BACKGROUND_ADVICE, check_class_names, compose_name, is_background
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.types import ClassSet

_MAX_DIGITS = 18  # longer ones are no ids, and Python refuses to read those of thousands of digits


def as_id(value: JsonValue) -> JsonValue:
    """Return a number that stands for an integer (1.0, as pandas writes it) as that integer; all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_number(value: JsonValue) -> JsonValue:
    """Return what stands for an integer, also as a text such as "7", as that integer; all else as it is."""
    text = re.sub(r"\.0+$", "", value.strip()) if isinstance(value, str) else ""
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else as_id(value)


def read_categories(
    categories: list[JsonValue], path: Path, *, used: Collection[JsonValue], drop_background: bool = False
) -> tuple[ClassSet, Mapping[int, int], tuple[Problem, ...]]:
    """Make classes of categories, in the order of their ids.

    A category that is only the `supercategory` of others (the project, as some tools write it) is no class where no
    annotation is of it. Nor is an unused `background`. Categories of one name are one class, with the first id.

    Args:
        categories: The list of the file.
        path: The file, for messages.
        used: Category ids of its annotations.
        drop_background: Whether a used category `background` is passed over; else it is an error.

    Returns:
        The classes, the class index by category id, and what was left out or joined.

    Raises:
        DataError: If a category has no integer id or no name, an id repeats, or the names make no class set.
    """
    named, parents = _read_names(categories, path)
    problems = []
    ids: dict[str, list[int]] = {}
    for key in sorted(named):
        name = named[key]
        others = [other for other, parent in parents.items() if parent == name and other != key]
        if key not in used and others:
            message = f"category {key} '{name}' is only the supercategory of others and has no annotation; left out"
            problems.append(Problem("note", "category", str(path), message))
        elif is_background(name) and (drop_background or key not in used):
            problems.append(Problem("note", "category", str(path), f"category {key} '{name}' is no class; left out"))
        elif is_background(name):
            raise DataError(f"{path}: category {key} is '{name}', which is no class: {BACKGROUND_ADVICE}")
        else:
            ids.setdefault(name, []).append(key)
    problems += check_class_names(ids, source=path.name)
    for name, keys in ids.items():
        if len(keys) > 1:
            message = f"categories {', '.join(map(str, keys))} are all called '{name}'; they are one class"
            problems.append(Problem("warning", "category", str(path), message))
    try:
        classes = ClassSet(tuple(ids), tuple(keys[0] for keys in ids.values()))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return classes, {key: k for k, keys in enumerate(ids.values()) for key in keys}, tuple(problems)


def _read_names(categories: list[JsonValue], path: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Return the name and the supercategory of each category by its id."""
    named: dict[int, str] = {}
    parents: dict[int, str] = {}
    for entry in categories:
        key = as_number(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if isinstance(key, int) and isinstance(name, str) and named.get(key) == compose_name(name):
            continue  # the same line twice
        if (
            not isinstance(entry, dict)
            or not isinstance(key, int)
            or not isinstance(name, str)
            or not name.strip()
            or key in named
        ):
            raise DataError(f"{path}: expected categories with distinct integer ids and a name, got {str(entry)[:60]}")
        named[key] = compose_name(name)
        parent = entry.get("supercategory")
        if isinstance(parent, str):
            parents[key] = compose_name(parent)
    return named, parents
