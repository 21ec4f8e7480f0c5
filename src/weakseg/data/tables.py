"""Tables of text as spreadsheets and scripts write them: separators, `sep=` lines, quotes, other headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.lists import read_text
from weakseg.errors import DataError

IMAGE_HEADERS = (
    *("image", "images", "filename", "imagename", "imagepath", "imagefile", "imageid", "filepath", "file", "path"),
    *("img", "imgname", "imgpath", "imgfile", "imgid", "imagefilename", "fname", "basename", "photo", "picture"),
    *("imageindex", "imageurl", "fileurl", "frame", "media", "uri", "url", "src", "name", "id"),
)
"""Headers of the column that names images, without case, spaces and underscores; the first that is there counts."""

TAG_HEADERS = (
    *("tags", "tag", "labels", "label", "classes", "class", "classname", "classnames", "labelname", "labelnames"),
    *("category", "categories", "categoryname", "findinglabels", "objects", "object", "keywords", "keyword", "taglist"),
    *("labellist", "annotations", "annotation", "species", "groundtruth", "target", "labelid", "classid", "categoryid"),
    *("regionattributes",),
)
"""Headers of the columns that hold tags; a number may follow (`tag1`, `tag2`)."""

_COLUMN_SEPARATORS = (",", ";", "\t", "|")  # Excel writes ';' wherever the comma is the decimal sign
_SEP_LINE = re.compile(r"sep=(.)\s*(?:\r\n|\r|\n|$)", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(?:[-+]?[0-9]*[.,]?[0-9]+)?\s*")
_RULE = re.compile(r":?-{3,}:?|")
"""A cell of the line below the header of a table in Markdown."""

_SPLIT_MARKS = re.compile(r'^"[^"\n]*[,;\t|]')
_ESCAPED_QUOTE = re.compile(r'\\"[^,;\t|\r\n"]')
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Row:
    """A row below the header.

    Args:
        line: Line of the file on which it begins, from 1.
        cells: Its cells as written.
    """

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table whose first row is its header.

    Args:
        path: Its file.
        separator: What separates its columns.
        header: The trimmed names of its columns, without empty ones at the end.
        rows: The rows that hold anything.
        has_header: Whether the header is in the file; else its columns are told by what they hold.
    """

    path: Path
    separator: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    has_header: bool = True


def read_table(path: Path) -> Table:
    """Read a table of text. Its columns are separated by what its header shows, or by what a first line `sep=;` says.

    Empty lines and lines of comment (`#`) above the header are passed over. A first row that names an image file is no
    header.

    Raises:
        DataError: If it is not UTF-8 text, or a quotation mark is opened and not closed in its row.
    """
    text = read_text(path)
    told = _SEP_LINE.match(text)
    first_line = 1
    if told is not None:
        text, first_line = text[told.end() :], 2
    separator = told.group(1) if told is not None else _guess_separator(text)
    rows = [row for row in _read_rows(path, text, separator, first_line) if _holds_anything(row)]
    if _SPLIT_MARKS.search(text) and all(len(without_empty_end(row.cells)) == 1 for row in rows):
        rows, separator = _unpack_rows(path, rows, separator)
    while len(rows) > 1 and _is_comment(rows[0]):
        rows = rows[1:]
    header = without_empty_end(rows[0].cells) if rows else ()
    rows = [*rows[:1], *(row for row in rows[1:] if without_empty_end(row.cells) != header)]  # of tables put together
    if image_column(header) is None and any(map(is_file_name, header)):
        return Table(path, separator, _name_columns(rows), tuple(rows), has_header=False)
    return Table(path, separator, header, tuple(rows[1:]))


def _holds_anything(row: Row) -> bool:
    cells = without_empty_end(row.cells)
    return bool(cells) and not all(map(_RULE.fullmatch, cells))


def _unpack_rows(path: Path, rows: Sequence[Row], separator: str) -> tuple[list[Row], str]:
    """Read rows that are one quoted cell each, `"1.jpg,cat"`, as some programs save a table a second time."""
    text = "\n".join(row.cells[0] for row in rows)
    inner = _guess_separator(text)
    read = list(_read_rows(path, text, inner, 1))
    if len(read) != len(rows) or len(read[0].cells) < 2:
        return list(rows), separator
    return [Row(row.line, found.cells) for row, found in zip(rows, read, strict=True)], inner


def is_file_name(cell: str) -> bool:
    """Say whether a cell ends as the names of images do."""
    return cell.strip().lower().endswith(IMAGE_SUFFIXES)


def guess_columns(columns: Sequence[Sequence[str]]) -> tuple[int | None, int | None]:
    """Tell by what columns hold which one names images, and which tags: the only other, or the only one of words."""
    named = [at for at, cells in enumerate(columns) if cells and all(map(is_file_name, cells))]
    if len(named) != 1:
        return None, None
    others = [at for at in range(len(columns)) if at not in named]
    words = [at for at in others if not all(_NUMBER.fullmatch(cell.strip()) for cell in columns[at])]
    return named[0], (others if len(others) == 1 else words if len(words) == 1 else [None])[0]


def columns_of(rows: Sequence[Row], num_columns: int) -> list[list[str]]:
    """Return the cells of each column; short rows have empty ones."""
    return [[row.cells[at] if at < len(row.cells) else "" for row in rows] for at in range(num_columns)]


def _name_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    num_columns = max(len(without_empty_end(row.cells)) for row in rows)
    image, tags = guess_columns(columns_of(rows, num_columns))
    names = {image: IMAGE_HEADERS[0], tags: TAG_HEADERS[0]}
    # Several words behind the name of a file are its tags.
    if image == 0 and tags is None:
        names[1] = TAG_HEADERS[0] if not any(_NUMBER.fullmatch(cell) for cell in rows[0].cells[1:2]) else ""
        num_columns = 2 if names[1] else num_columns
    return tuple(names.get(at, "") for at in range(num_columns))


def _is_comment(row: Row) -> bool:
    return row.cells[0].lstrip().startswith("#") and image_column((row.cells[0].lstrip("# "), *row.cells[1:])) is None


def column_name(header: str) -> str:
    """Write a header in one way: small letters without spaces, underscores, hyphens and points."""
    return re.sub(r"[\s_.#-]", "", header.casefold())


def image_column(header: tuple[str, ...]) -> int | None:
    """Return the number of the column that names images, or None."""
    names = [column_name(name) for name in header]
    return next((names.index(known) for known in IMAGE_HEADERS if known in names), None)


def tag_columns(header: tuple[str, ...]) -> tuple[int, ...]:
    """Return the numbers of the columns that hold tags: all that are called alike up to a number."""
    names = [column_name(name).rstrip("0123456789") for name in header]
    found = next((known for known in TAG_HEADERS if known in names), None)
    return tuple(at for at, name in enumerate(names) if name == found)


def without_empty_end(row: tuple[str, ...]) -> tuple[str, ...]:
    """Trim cells, and drop empty ones at the end: spreadsheets pad rows to the widest."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _guess_separator(text: str) -> str:
    lines = (line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "")
    headers = {mark: _try_header(first, mark) for mark in _COLUMN_SEPARATORS}
    for mark, header in headers.items():
        if image_column(header) is not None and tag_columns(header):
            return mark
    for mark, header in headers.items():
        if image_column(header) is not None and len(header) > 1:
            return mark
    return next((mark for mark in _COLUMN_SEPARATORS if mark in first), _COLUMN_SEPARATORS[0])


def _try_header(line: str, mark: str) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line], delimiter=mark), []))
    except csv.Error:  # such as a field longer than 128 kB, which the right mark may part
        return ()


def _read_rows(path: Path, text: str, separator: str, line: int) -> Iterator[Row]:
    """Yield the rows, and watch that each closes its quotes: one stray mark else swallows the rows that follow."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for physical in io.StringIO(text, newline=""):
            taken.append(physical)
            yield physical

    if _ESCAPED_QUOTE.search(text):  # as databases write quotes within quotes
        text = text.replace('\\"', '""')
    spaced = re.search(rf'{re.escape(separator)} +"', text) is not None
    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=spaced)
    try:
        for cells in reader:
            written = "".join(taken)
            # A cell may hold several lines, as of a spreadsheet; rows that a stray mark has swallowed hold separators.
            broken = any(separator in line or is_file_name(line) for line in taken[1:])
            if written.count('"') % 2 or broken:
                raise DataError(
                    f'{path}, line {line}: a quotation mark (") is opened and not closed in its row: '
                    f"{taken[0].rstrip()[:_SHOWN]}; remove it, or write it twice within quotes"
                )
            yield Row(line, tuple(cells))
            line += len(taken)
            taken.clear()
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: not a CSV file ({error})") from error
