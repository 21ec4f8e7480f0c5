"""One tag table per part of a data set: `train.csv` and `val.csv`, or `train/labels.csv` and `val/labels.csv`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.folder_parts import IMAGE_FOLDERS, part_of_name
from weakseg.data.image_tags import ImageTags, TagTable
from weakseg.data.matching import plain_name

_SUFFIXES = (".csv", ".tsv")
_WORDS = "tags|labels|annotations|metadata|classes|images|data|set|df"
_WITH_WORD = re.compile(rf"(?:(?:{_WORDS})[_-])?(?P<part>[a-z]+)(?:[_-]?(?:{_WORDS}))?", re.IGNORECASE)
_IN_FOLDER = re.compile(_WORDS, re.IGNORECASE)


def find_part_tables(root: Path) -> dict[str, Path]:
    """Return the table of each part; nothing where there is none of `train`, or of nothing else.

    Args:
        root: The root of a data set.
    """
    found: dict[str, Path] = {}
    for entry in sorted(root.iterdir()):
        if entry.is_file() and entry.suffix.lower() in _SUFFIXES:
            match = _WITH_WORD.fullmatch(entry.stem)
            part = part_of_name(match.group("part")) if match is not None else None
            if part is not None:
                found.setdefault(part, entry)
    for entry in sorted(root.iterdir()):
        part = part_of_name(entry.name) if entry.is_dir() else None
        if part is not None and part not in found:
            tables = [p for p in sorted(entry.iterdir()) if p.suffix.lower() in _SUFFIXES and p.is_file()]
            named = [p for p in tables if _IN_FOLDER.fullmatch(p.stem)]
            if named:
                found[part] = named[0]
    return found if "train" in found and len(found) > 1 else {}


def read_part_tables(root: Path, tables: dict[str, Path], read: Callable[[Path], TagTable]) -> TagTable:
    """Read one table per part and join them; an image that several name belongs to the first.

    Args:
        root: The root of the data set. A bare name means an image in the folder of the table's part where it is there.
        tables: Table by part, see `find_part_tables`.
        read: Reads one.

    Raises:
        DataError: If one cannot be read.
    """
    entries: dict[str, ImageTags] = {}
    parts: dict[str, str] = {}
    names: dict[str, None] = {}
    problems: list[Problem] = []
    source = " and ".join(path.relative_to(root).as_posix() for path in tables.values())
    for part, path in tables.items():
        table = read(path)
        names |= dict.fromkeys(table.names)
        problems += table.problems
        twice = 0
        for written, tags in table.entries.items():
            name = _in_part(root, part, written)
            twice += name in entries
            entries.setdefault(name, tags)
            parts.setdefault(name, part)
        if twice:
            message = f"{twice} of its rows name images of another table, which is heeded"
            problems.append(Problem("warning", "shared-image", path.name, message))
    told = "the rows of each table are a split of their own"
    problems.append(Problem("note", "split", source, told))
    return TagTable(source, tuple(sorted(names)), entries, tuple(problems), parts)


def _in_part(root: Path, part: str, written: str) -> str:
    name = plain_name(written).strip()
    for folder in (entry.name for entry in sorted(root.iterdir()) if part_of_name(entry.name) == part):
        for place in ("", *(f"{images}/" for images in IMAGE_FOLDERS)):
            if (root / folder / f"{place}{name}").is_file():
                return f"{folder}/{place}{name}"
    return written
