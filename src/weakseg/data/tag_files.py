"""Tags of a folder of images: `tags.csv`, COCO-style JSON, or one sub-folder per class."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.coco_index import read_coco_index
from weakseg.data.lists import read_text
from weakseg.errors import DataError

NO_CLASS_FOLDER = "_none"
"""Reserved name of the sub-folder whose images are known to show no class."""

_HEADER = ("image", "tags")
_SEPARATOR = ";"
_COLUMN_SEPARATORS = (",", ";")  # Excel writes ';' wherever the comma is the decimal sign
_UNKNOWN_MARK = "?"
_MASK_PROBLEMS = ("bad-outline", "no-outlines", "no-size")
"""Findings about a COCO file that do not matter where no masks are drawn from it."""


@dataclass(frozen=True)
class ImageTags:
    """What is said about one image.

    Args:
        present: Names of its classes.
        unknown: Names of classes of which neither presence nor absence is known; none is in `present`.
        rest_absent: Whether every other class is known to be absent; else it is unknown too.
    """

    present: frozenset[str]
    unknown: frozenset[str] = frozenset()
    rest_absent: bool = True


@dataclass(frozen=True)
class TagTable:
    """The tags of many images.

    Args:
        source: Where they come from, for messages.
        names: Class names that occur: sorted, or in the order of the JSON's category ids.
        entries: Tags by image, which is named as in the source: a path with or without suffix.
        problems: What is wrong with the source.
    """

    source: str
    names: tuple[str, ...]
    entries: dict[str, ImageTags]
    problems: tuple[Problem, ...]


def read_tags(path: Path) -> TagTable:
    """Read a tag file by its suffix, `.csv` or `.json`.

    The columns of a table are separated by what stands in its header, `image,tags` or `image;tags`; by `;`, every
    column after the first holds tags. Cells without a name in the header may only be empty.

    Raises:
        DataError: If it has another suffix or cannot be read.
    """
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".json":
            return _read_json(path)
        case suffix:
            raise DataError(f"{path}: expected a tag file .csv or .json, got '{suffix}'")


def tags_from_folders(ids: Iterable[str]) -> TagTable:
    """Take the first folder of each id as its only known class.

    Images in `_none` are known to show no class, and give the absence that a classifier needs. Images outside of any
    folder get no entry.

    Args:
        ids: Image ids, `/` between folders.
    """
    entries: dict[str, ImageTags] = {}
    for image in ids:
        folder, slash, _ = image.partition("/")
        if slash:
            name = normalise_name(folder)
            none = name == NO_CLASS_FOLDER
            entries[image] = ImageTags(frozenset(() if none else (name,)), rest_absent=none)
    names = tuple(sorted({name for tags in entries.values() for name in tags.present}))
    message = (
        f"tags are the names of the sub-folders, so that of every other class it is unknown, not absent, whether an "
        f"image shows it; only images in {NO_CLASS_FOLDER}/ tell what a class does not look like"
    )
    return TagTable("the sub-folders", names, entries, (Problem("note", "unknown-absence", "tags", message),))


def normalise_name(name: str) -> str:
    """Trim a name and compose its accents (NFC), since macOS stores file names decomposed."""
    return unicodedata.normalize("NFC", name.strip())


def _read_csv(path: Path) -> TagTable:
    text = read_text(path)
    column_separator = next((mark for mark in _COLUMN_SEPARATORS if mark in text.partition("\n")[0]), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=column_separator)
    entries: dict[str, ImageTags] = {}
    problems: list[Problem] = []
    try:
        header = _without_empty_end(next(reader, []))
        if tuple(name.lower() for name in header) != _HEADER:
            raise DataError(
                f"{path}, line 1: expected the header '{column_separator.join(_HEADER)}', got "
                f"'{column_separator.join(header)}'; write it as the first line"
            )
        for fields in reader:
            where = f"{path.name}, line {reader.line_num}"
            filled = _without_empty_end(fields)
            if not filled:
                continue
            too_many = column_separator != _SEPARATOR and len(filled) > len(_HEADER)
            if len(fields) < len(_HEADER) or too_many or not filled[0]:
                message = (
                    f"expected 'image{column_separator}tag{_SEPARATOR}tag', got {len(fields)} "
                    f"field{'s' if len(fields) > 1 else ''}: {column_separator.join(fields)[:60]}; left out"
                )
                problems.append(Problem("warning", "bad-row", where, message))
            elif (image := normalise_name(fields[0])) in entries:
                problems.append(Problem("warning", "same-id", where, f"another row for '{image}'; the first is used"))
            else:
                entries[image] = _parse_tags(_SEPARATOR.join(fields[1:]))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from error
    names = sorted({name for tags in entries.values() for name in tags.present | tags.unknown})
    problems.extend(_similar_names(names, path))
    problems.extend(_unparted_names(names, path))
    return TagTable(path.name, tuple(names), entries, tuple(problems))


def _without_empty_end(row: list[str]) -> list[str]:
    """Trim cells, and drop empty ones at the end: spreadsheets pad rows to the widest."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _parse_tags(cell: str) -> ImageTags:
    tokens = [token.strip() for token in cell.split(_SEPARATOR)]
    unknown = {normalise_name(token[1:]) for token in tokens if token.startswith(_UNKNOWN_MARK)} - {""}
    present = {normalise_name(token) for token in tokens if not token.startswith(_UNKNOWN_MARK)} - {""}
    return ImageTags(frozenset(present - unknown), frozenset(unknown))


def _similar_names(names: Iterable[str], path: Path) -> list[Problem]:
    spellings = Counter(name.casefold() for name in names)
    groups = [[name for name in names if name.casefold() == folded] for folded, n in spellings.items() if n > 1]
    message = "these are different classes, since they are spelled differently; use one spelling if that is not meant"
    return [Problem("warning", "similar-tags", path.name, f"{', '.join(group)}: {message}") for group in groups]


def _unparted_names(names: Iterable[str], path: Path) -> list[Problem]:
    """Find names such as `cat, dog` whose parts occur elsewhere, where `cat;dog` is probably meant."""
    parts = {name: {part.strip() for part in name.split(",")} for name in names}
    uses = Counter(part for found in parts.values() for part in found)
    doubtful = [name for name, found in parts.items() if len(found) > 1 and any(uses[part] > 1 for part in found)]
    message = f"this is one tag, since tags are separated by '{_SEPARATOR}'; write '{_SEPARATOR}' if several are meant"
    return [Problem("warning", "comma-in-tag", path.name, f"'{name}': {message}") for name in doubtful]


def _read_json(path: Path) -> TagTable:
    index = read_coco_index(path)
    entries: dict[str, ImageTags] = {}
    for image, tags in zip(index.images, index.tags, strict=True):
        entries.setdefault(normalise_name(image.file_name), ImageTags(frozenset(index.classes.decode(tags))))
    problems = tuple(problem for problem in index.problems if problem.kind not in _MASK_PROBLEMS)
    return TagTable(path.name, index.classes.names, entries, problems)
