"""Files that tell the colour of each class in masks: `labelmap.txt` as CVAT writes it, and those of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from weakseg.data.class_names import compose_name, is_background
from weakseg.data.lists import read_lines, read_text
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.types import ClassSet

LABELMAP_FILE = "labelmap.txt"
"""Colour of every label, as CVAT writes it beside segmentation masks: `name:red,green,blue:parts:actions`."""

VOID_NAMES = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled", "border"})
"""Names, in small letters, of what is to be ignored."""

_OTHER_NAMES = re.compile(
    r"(?:_?(?:label|class|color|colour)[_-]?(?:map|dict|colors?|colours?|names?|list)|labels|classes|palette|colors|colours"
    r"|legend)\.(?:txt|csv|json)",
    re.IGNORECASE,
)
_FOLDERS = ("", "masks", "labels", "annotations", "SegmentationClass")
_HEX = re.compile(r"#(?P<hex>[0-9a-fA-F]{6})\b")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]{1,3})[\s,;]+([0-9]{1,3})[\s,;]+([0-9]{1,3})(?![0-9.])")
_TRIM = " \t,;:=\"'[](){}"
_HIGHEST = 255

Colour = tuple[int, int, int]


def find_label_map(root: Path) -> Path | None:
    """Return the file that tells colours: `labelmap.txt`, else one called alike that holds some; None without one.

    Looked for are `label_map.txt`, `class_dict.csv`, `colormap.txt`, `palette.json` and the like, whatever their case,
    in the root and in the folders of masks.
    """
    for folder in (root / name for name in _FOLDERS):
        files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        exact = next((path for path in files if path.name.lower() == LABELMAP_FILE), None)
        if exact is not None:
            return exact
        for path in files:
            if _OTHER_NAMES.fullmatch(path.name) and _read_freely(path):
                return path
    return None


def read_labelmap(path: Path) -> dict[str, Colour]:
    """Read the colour of every name of a label map, in its order.

    Raises:
        DataError: If it cannot be read, or is a `labelmap.txt` and a line is of another form.
    """
    if path.name.lower() != LABELMAP_FILE:
        return _read_freely(path)
    colours: dict[str, Colour] = {}
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        name, numbers = (*line.split(":"), "")[:2]
        parts = [part.strip() for part in numbers.split(",")]
        if len(parts) != len(("red", "green", "blue")) or not all(part.isdecimal() for part in parts):
            raise DataError(f"{path}: expected lines 'name:red,green,blue::', got '{line}'")
        red, green, blue = (int(part) for part in parts)
        colours[compose_name(name)] = (red, green, blue)
    return colours


def labelmap_classes(path: Path) -> ClassSet:
    """Return the classes that a label map names: all but the background and what is to be ignored."""
    names = [name for name in read_labelmap(path) if not is_background(name) and name.casefold() not in VOID_NAMES]
    try:
        return ClassSet(tuple(names))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_freely(path: Path) -> dict[str, Colour]:
    """Read names and colours wherever they stand in a file; empty where it holds none."""
    try:
        text = read_text(path)
    except DataError:
        return {}
    if path.suffix.lower() == ".json":
        try:
            return _from_json(decode_json(text))
        except ValueError:
            return {}
    found = (_from_line(line) for line in text.splitlines())
    return {name: colour for name, colour in (pair for pair in found if pair is not None)}


def _from_line(line: str) -> tuple[str, Colour] | None:
    match = _HEX.search(line) or _DECIMAL.search(line)
    if match is None:
        return None
    colour = _read_hex(match.group("hex")) if match.re is _HEX else _in_range(int(part) for part in match.groups())
    before, after = line[: match.start()].strip(_TRIM), line[match.end() :].strip(_TRIM)
    name = compose_name(re.split(r"[,;\t:]", before or after)[-1 if before else 0].strip(_TRIM))
    return (name, colour) if name and colour is not None else None


def _from_json(value: JsonValue) -> dict[str, Colour]:
    if isinstance(value, dict):
        pairs = [(name, _read_colour(entry)) for name, entry in value.items()]
        found = {compose_name(name): colour for name, colour in pairs if colour is not None}
        inner = [entry for entry in value.values() if isinstance(entry, list) and not found]
        return found or next((colours for colours in map(_from_json, inner) if colours), {})
    found = {}
    for entry in value if isinstance(value, list) else []:
        if isinstance(entry, dict):
            name = next((entry[key] for key in ("name", "label", "class", "title", "readable") if key in entry), None)
            colour = _read_colour(entry)
            if isinstance(name, str) and colour is not None:
                found[compose_name(name)] = colour
    return found


def _read_colour(value: JsonValue) -> Colour | None:
    if isinstance(value, dict):
        keys = ("color", "colour", "rgb", "color_rgb")
        return next((_read_colour(value[key]) for key in keys if key in value), None)
    if isinstance(value, str):
        match = _HEX.search(value)
        return _read_hex(match.group("hex")) if match is not None else None
    if isinstance(value, list) and all(isinstance(part, int) for part in value):
        return _in_range(part for part in value if isinstance(part, int))
    return None


def _read_hex(digits: str) -> Colour:
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _in_range(parts: Iterable[int]) -> Colour | None:
    numbers = list(parts)
    if len(numbers) != len(("red", "green", "blue")) or not all(0 <= number <= _HIGHEST for number in numbers):
        return None
    red, green, blue = numbers
    return red, green, blue
