"""Tags of a folder of images: `tags.csv`, COCO-style JSON, or one sub-folder per class."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.class_names import QUOTES
from weakseg.data.coco_index import read_coco_index
from weakseg.data.folder_parts import NO_CLASS_FOLDER, container_folders, doubt_folders, is_no_class
from weakseg.data.image_tags import ImageTags, TagTable
from weakseg.data.json_tables import read_json_table
from weakseg.data.tables import Row, Table, read_table, without_empty_end
from weakseg.data.tag_cells import UNKNOWN_MARK, find_joined, is_one_tag, part_cells
from weakseg.data.tag_columns import Columns, find_columns, heed_value, read_marks, read_part
from weakseg.errors import DataError
from weakseg.types import MAX_CLASSES

__all__ = ["NO_CLASS_FOLDER", "ImageTags", "TagTable", "join_tags", "normalise_name", "read_tags", "tags_from_folders"]

MAX_TAGS = 100_000
"""A table with more different tags has something else in that column; a data set has at most 254 classes."""

_OPENING = "[({"
_MANY = 1000  # folders that are not compared with each other
_NOTHING = ImageTags(frozenset())
_LOOKED_AT = 65_536  # bytes of a JSON file
_SHOWN = 60  # letters of a row in a message
_MASK_PROBLEMS = ("bad-outline", "no-outlines", "no-size", "odd-class-name", "similar-tags")
"""Findings about a COCO file that do not matter where no masks are drawn from it, or are told of every tag file."""


def read_tags(
    path: Path, *, separator: str | None = None, known: Collection[str] = (), drop_background: bool = False
) -> TagTable:
    """Read a tag file by its suffix: `.csv`, `.tsv`, `.txt`, `.json` or `.jsonl`.

    A table has a column of images and one of tags, or one column per class with 0 and 1, see `weakseg.data.tables` for
    the headers. Rows of one image are joined.

    Args:
        path: The file.
        separator: What parts the tags of a cell; None finds it out, see `weakseg.data.tag_cells`.
        known: The class names, where a list fixes them.
        drop_background: For JSON: whether a category `background` is passed over; else it is an error.

    Raises:
        DataError: If it has another suffix, cannot be read, or has a cell that may be one tag or several.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".txt":
            return _read_table(read_table(path), separator, known)
        case ".jsonl" | ".ndjson":
            return _read_table(read_json_table(path), separator, known)
        case ".json":
            try:
                return _read_json(path, drop_background=drop_background)
            except DataError:
                if _is_meant_for_coco(path):
                    raise
            return _read_table(read_json_table(path), separator, known)
        case ".xlsx" | ".xls" | ".ods":
            raise DataError(f"{path} is a spreadsheet, which is not read; save it there as 'CSV UTF-8'")
        case suffix:
            raise DataError(f"{path}: expected a tag file .csv, .tsv, .txt, .json or .jsonl, got '{suffix}'")


def tags_from_folders(ids: Iterable[str], *, only_class: bool = False) -> TagTable:
    """Take the first folder of each id that is no part of a data set and no folder of images as its only known class.

    Images in `_none` are known to show no class, and give the absence that a classifier needs. Images outside of any
    folder get no entry.

    Args:
        ids: Image ids, `/` between folders.
        only_class: Whether an image shows no other class than its folder's; else that is not known.
    """
    ids = tuple(ids)
    containers = container_folders(ids)
    entries: dict[str, ImageTags] = {}
    for image in ids:
        folders = image.split("/")[:-1]
        folder = next((name for name in folders if name not in containers), None)
        if folder is not None:
            name = normalise_name(folder)
            none = is_no_class(name)
            entries[image] = ImageTags(frozenset(() if none else (name,)), rest_absent=none or only_class)
    names = tuple(sorted({name for tags in entries.values() for name in tags.present}))
    message = (
        f"tags are the names of the sub-folders, so that of every other class it is unknown, not absent, whether an "
        f"image shows it; only images in {NO_CLASS_FOLDER}/ tell what a class does not look like; if each photograph "
        "shows nothing but its folder's class, --data.only_folder_class true says so"
    )
    unknown = () if only_class else (Problem("note", "unknown-absence", "tags", message),)
    joined = [found for name in names if (found := find_joined(name, names)) is not None] if len(names) < _MANY else []
    several = [
        Problem(
            "warning",
            "several-in-one",
            "the sub-folders",
            f"the folder '{name}' looks like several classes ({' and '.join(parts)}); it is one now, a tags.csv can "
            "give an image several tags",
        )
        for name, parts, _ in joined
    ]
    return TagTable("the sub-folders", names, entries, (*unknown, *several, *doubt_folders(ids, names)))


def normalise_name(name: str) -> str:
    """Trim a name and compose its accents (NFC), since macOS stores file names decomposed."""
    return unicodedata.normalize("NFC", name.strip())


def _read_table(table: Table, separator: str | None, known: Collection[str]) -> TagTable:
    path = table.path
    columns = find_columns(table)
    _require_few_tags(path, _single_tags(table, columns))  # before anything that takes time
    rows, problems = _usable_rows(table, columns)
    problems = [*columns.problems, *problems]
    if columns.marks:
        tags = {row.line: read_marks(row.cells, columns) for row in rows}
        names: Iterable[str] = columns.marks.values()
    else:
        cells = {row.line: _tag_cells(row, columns) for row in rows}
        parted = part_cells(chain.from_iterable(cells.values()), source=path.name, separator=separator, known=known)
        problems += parted.problems
        met = {tuple(c): c for c in cells.values()}  # most rows say what others say
        read = {key: _to_tags(chain.from_iterable(map(parted.tokens.__getitem__, c))) for key, c in met.items()}
        tags = {line: read[tuple(c)] for line, c in cells.items()}
        tags = {row.line: heed_value(tags[row.line], row.cells, columns) for row in rows}
        names = sorted({name for entry in tags.values() for name in entry.present | entry.unknown})
    names = tuple(names)
    _require_few_tags(path, names)
    by_image: defaultdict[str, list[ImageTags]] = defaultdict(list)
    for row in rows:
        by_image[unicodedata.normalize("NFC", row.cells[columns.image])].append(tags[row.line])
    entries = {image: join_tags(*found) for image, found in by_image.items()}
    problems += [] if columns.value is not None else _contradictions(by_image, path)
    parts = {unicodedata.normalize("NFC", row.cells[columns.image]): read_part(row.cells, columns) for row in rows}
    told = {image: part for image, part in parts.items() if part is not None}
    if told:
        message = f"the column '{table.header[columns.part or 0]}' tells the splits"
        problems.append(Problem("note", "split", path.name, message))
    return TagTable(path.name, names, entries, tuple(problems), told)


def _single_tags(table: Table, columns: Columns) -> list[str]:
    """Return the different cells that are one tag each, if there are very many."""
    cells = {row.cells[at] for row in table.rows for at in columns.tags if at < len(row.cells)}
    return [cell for cell in cells if cell and is_one_tag(cell)] if len(cells) > MAX_TAGS else []


def _require_few_tags(path: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_TAGS:
        raise DataError(
            f"{path} has {len(names)} different tags, such as '{min(names)[:_SHOWN]}', and at most {MAX_CLASSES} "
            "can be classes; is another column meant?"
        )


def join_tags(*found: ImageTags) -> ImageTags:
    """Join what several rows say about one image: it shows the classes of all; doubt of any stays."""
    if len(found) == 1 and found[0].present.isdisjoint(found[0].unknown):
        return found[0]
    unknown = frozenset().union(*(tags.unknown for tags in found))
    present = frozenset().union(*(tags.present for tags in found))
    return ImageTags(present - unknown, unknown, all(tags.rest_absent for tags in found))


def _contradictions(by_image: Mapping[str, Sequence[ImageTags]], path: Path) -> list[Problem]:
    """Name images of which one row says that they show nothing, and another that they do."""
    found = [image for image, rows in by_image.items() if len(rows) > 1 and 0 < rows.count(_NOTHING) < len(rows)]
    if not found:
        return []
    message = f"{len(found)} images have a row without tags beside one with tags, such as {found[0]}; the tags count"
    return [Problem("warning", "bad-row", path.name, message)]


def _continue_rows(table: Table, columns: Columns) -> tuple[list[Row], list[Problem]]:
    """Give rows of tags without an image that of the row above, as merged cells of a spreadsheet are meant."""

    def tagged(row: Row) -> bool:
        return any(row.cells[at].strip() for at in columns.tags if at < len(row.cells))

    rows: list[Row] = []
    num_continued = 0
    for row in table.rows:
        above = rows[-1] if rows else None
        named = bool(row.cells[columns.image : columns.image + 1] and row.cells[columns.image].strip())
        if not named and above is not None and above.line == row.line - 1 and tagged(row) and tagged(above):
            cells = list(row.cells)
            cells[columns.image] = above.cells[columns.image] if columns.image < len(above.cells) else ""
            num_continued += 1
            row = Row(row.line, tuple(cells))
        rows.append(row)
    if not num_continued:
        return rows, []
    message = f"{num_continued} rows of tags name no image; they are taken for more tags of the image in the row above"
    return rows, [Problem("warning", "wide-rows", table.path.name, message)]


def _usable_rows(table: Table, columns: Columns) -> tuple[list[Row], list[Problem]]:
    rows = []
    continued, problems = _continue_rows(table, columns)
    needed = max(columns.image, min(columns.tags, default=0), max(columns.marks, default=0)) + 1
    for row in continued:
        filled = without_empty_end(row.cells)
        too_many = not columns.open_end and len(filled) > len(table.header)
        if len(row.cells) >= needed and not too_many and filled[columns.image : columns.image + 1] not in ((), ("",)):
            rows.append(row)
            continue
        got = f"got {len(row.cells)}" if len(row.cells) < needed or too_many else "got none for the image"
        message = (
            f"expected {len(table.header)} fields ({table.separator.join(table.header)[:_SHOWN]}), "
            f"{got}: {table.separator.join(row.cells)[:_SHOWN]}; left out"
        )
        problems.append(Problem("warning", "bad-row", f"{table.path.name}, line {row.line}", message))
    wide = [row for row in rows if table.separator == "," and len(without_empty_end(row.cells)) > len(table.header)]
    if wide:
        message = (
            f"{len(wide)} rows have more cells than the header, such as line {wide[0].line} "
            f"({','.join(wide[0].cells)[:_SHOWN]}); all behind '{table.header[-1]}' are taken for tags"
        )
        problems.append(Problem("warning", "wide-rows", table.path.name, message))
    return rows, problems


def _tag_cells(row: Row, columns: Columns) -> list[str]:
    cells = [row.cells[at] for at in columns.tags if at < len(row.cells)]
    more = [cell for cell in row.cells[columns.width :] if cell.strip()] if columns.open_end else []
    first, last = (cells[-1].strip(), more[-1].strip()) if more and cells else ("", "")
    quoted = first[:1] in tuple(QUOTES) and last[-1:] in tuple(QUOTES) and first[-1:] not in tuple(QUOTES)
    if first[:1] in tuple(_OPENING) or quoted:  # a list whose commas nobody has quoted
        return [*cells[:-1], ",".join([cells[-1], *more])]
    return [*cells, *more]


def _to_tags(tokens: Iterable[str]) -> ImageTags:
    tokens = list(tokens)
    unknown = {normalise_name(token[1:]) for token in tokens if token.startswith(UNKNOWN_MARK)} - {""}
    present = {normalise_name(token) for token in tokens if not token.startswith(UNKNOWN_MARK)} - {""}
    return ImageTags(frozenset(present - unknown), frozenset(unknown))


def _is_meant_for_coco(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    return sum(f'"{key}"'.encode() in head for key in ("images", "categories", "annotations")) > 1


def _read_json(path: Path, *, drop_background: bool) -> TagTable:
    index = read_coco_index(path, drop_background=drop_background)
    entries: dict[str, ImageTags] = {}
    for image, tags in zip(index.images, index.tags, strict=True):
        entries.setdefault(normalise_name(image.file_name), ImageTags(frozenset(index.classes.decode(tags))))
    problems = tuple(problem for problem in index.problems if problem.kind not in _MASK_PROBLEMS)
    return TagTable(path.name, index.classes.names, entries, problems)
