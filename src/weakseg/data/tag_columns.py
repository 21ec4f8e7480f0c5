"""Which columns of a table name images and which hold their tags, or say of one class each whether it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weakseg.data.base import Problem
from weakseg.data.class_names import compose_name
from weakseg.data.folder_parts import part_of_name
from weakseg.data.image_tags import ImageTags
from weakseg.data.tables import (
    IMAGE_HEADERS,
    TAG_HEADERS,
    Table,
    column_name,
    columns_of,
    guess_columns,
    image_column,
    tag_columns,
)
from weakseg.data.tag_scores import SCORE_HEADERS, refuse_low_scores
from weakseg.errors import DataError

_SHOWN_MARKS = frozenset(
    (
        *("1", "true", "t", "yes", "y", "x", "on", "+", "present", "positive", "pos"),
        *("ja", "j", "wahr", "oui", "vrai", "\u2713", "\u2714", "\u2611", "\u2705"),
    )
)
_ABSENT_MARKS = frozenset(
    (
        *("0", "false", "f", "no", "n", "off", "-", "absent", "negative", "neg"),
        *("nein", "falsch", "non", "faux", "\u2717", "\u2718", "\u2610", "\u274c"),
    )
)
_MINUS = "-1"
_UNKNOWN_MARKS = frozenset({"?", _MINUS, "unknown"})
_BLANK_MARKS = frozenset({"nan", "null", "none", "na", "n/a"})
"""What programs write for an empty cell."""

_NO_CLASS_HEADERS = frozenset(
    (
        *("fold", "split", "subset", "istrain", "isval", "isvalid", "istest", "val", "test"),
        *("index", "idx", "unnamed0", "difficult", "occluded", "truncated", "iscrowd", "crowd", "isgroupof"),
        *("regioncount", "regionid", "filesize"),
        *("isoccluded", "istruncated", "isdepiction", "isinside", "xmin", "ymin", "xmax", "ymax"),
    )
)
"""Headers of columns that may hold 0 and 1 and are no classes."""

_MARKS = _SHOWN_MARKS | _ABSENT_MARKS | _UNKNOWN_MARKS | {""}
_VALUE_HEADERS = frozenset(
    (
        "value",
        "present",
        "presence",
        "ispresent",
        "shown",
        "visible",
        "positive",
        *SCORE_HEADERS,
        "mark",
        "exists",
    )
)
"""Headers of a column that says of the one tag in its row whether the image shows it, as tables of pairs have it."""

_PART_HEADERS = frozenset({"split", "subset", "set", "partition", "phase", "part", "usage"})
"""Headers of a column that says which part of the data set an image belongs to."""

_OPEN_ENDED = ";"
_LISTED = 6
_NAMED = 20  # columns that are not read
_SHOWN = 120  # letters of a header in a message


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Args:
        image: Number of the column that names images.
        tags: Numbers of the columns that hold tags.
        marks: Class by the number of its column of 0 and 1; empty where `tags` is not.
        value: Number of the column that marks the row's tag as shown, absent or unknown; None without one.
        blank_is_absent: Whether an empty mark says that a class is absent: where no mark says so itself.
        minus_is_absent: Whether -1 says that a class is absent: where there are but 1 and -1.
        part: Number of the column that says which part of the data set an image belongs to; None without one.
        open_end: Whether cells behind the header's last hold tags, too.
        width: Number of columns of the header.
        problems: Columns that are not read.
    """

    image: int
    tags: tuple[int, ...]
    marks: dict[int, str]
    value: int | None
    blank_is_absent: bool
    minus_is_absent: bool
    part: int | None
    open_end: bool
    width: int
    problems: tuple[Problem, ...]


def find_columns(table: Table) -> Columns:
    """Find the columns of a tag table by their headers; without one for tags, by columns that hold only marks.

    Raises:
        DataError: If no column names images, or none says what they show, or scores say that some tags are not shown.
    """
    image, tags, problems = _find_named(table)
    if len(tags) > 1 and image is not None and set(tags) <= _mark_columns(table, image).keys():
        tags = ()  # `class_1`, `class_2` of 0 and 1 are classes and no lists of tags
    marks = {} if tags or image is None else _mark_columns(table, image)
    if image is None or not (tags or marks):
        raise DataError(
            f"{table.path}, line 1: expected the header 'image{table.separator}tags', got "
            f"'{table.separator.join(table.header)[:_SHOWN]}'; write it as the first line (images may also be called "
            f"{', '.join(IMAGE_HEADERS[1:_LISTED])}, ..., tags {', '.join(TAG_HEADERS[1:_LISTED])}, ..., or each class "
            f"has a column of 0 and 1{_no_mark(table, image)}); columns are parted by , ; | or a tab"
        )
    value = _value_column(table, {image, *tags}) if len(tags) == 1 else None
    part = _part_column(table, {image, *tags, *marks})
    read = {image, *tags, *marks} | {at for at in (value, part) if at is not None}
    passed_over = [name for at, name in enumerate(table.header) if at not in read and name]
    if marks:
        problems += _nearly_marks(table, read)
    low_scores = refuse_low_scores(table, image, tags) if tags and value is None else ""
    if passed_over:
        more = f", ... ({len(passed_over)} in all)" if len(passed_over) > _NAMED else ""
        message = f"not read: the column{'s' if len(passed_over) > 1 else ''} {', '.join(passed_over[:_NAMED])}{more}"
        message += low_scores
        problems.append(Problem("note", "extra-columns", table.path.name, message))
    cells = {_read_mark(row.cells[at]) for row in table.rows for at in marks if at < len(row.cells)}
    no_absence = not cells & _ABSENT_MARKS
    open_end = bool(tags) and (table.separator == _OPEN_ENDED or max(tags) == len(table.header) - 1)
    return Columns(
        image=image,
        tags=tags,
        marks=marks,
        value=value,
        blank_is_absent=no_absence,
        minus_is_absent=no_absence and "" not in cells and _MINUS in cells,
        part=part,
        open_end=open_end,
        width=len(table.header),
        problems=tuple(problems),
    )


def read_marks(cells: Sequence[str], columns: Columns) -> ImageTags:
    """Read the marks of a row: 1, `yes` or `x` shown, 0 or `no` absent, `?` or -1 unknown."""
    present, unknown = set(), set()
    for at, name in columns.marks.items():
        mark = _read_mark(cells[at])
        if mark in _SHOWN_MARKS:
            present.add(name)
        elif mark == _MINUS and columns.minus_is_absent:
            continue
        elif mark in _UNKNOWN_MARKS or (not mark and not columns.blank_is_absent):
            unknown.add(name)
    return ImageTags(frozenset(present), frozenset(unknown))


def heed_value(tags: ImageTags, cells: Sequence[str], columns: Columns) -> ImageTags:
    """Take the tags of a row for what its mark says they are: shown, absent or unknown."""
    if columns.value is None or columns.value >= len(cells):
        return tags
    mark = _read_mark(cells[columns.value])
    if mark in _ABSENT_MARKS:
        return ImageTags(frozenset())
    return ImageTags(frozenset(), tags.present | tags.unknown) if mark in _UNKNOWN_MARKS else tags


def read_part(cells: Sequence[str], columns: Columns) -> str | None:
    """Return the part of the data set that a row says its image belongs to."""
    return None if columns.part is None or columns.part >= len(cells) else part_of_name(cells[columns.part].strip())


def _part_column(table: Table, read: set[int]) -> int | None:
    for at, name in enumerate(table.header):
        if at not in read and column_name(name) in _PART_HEADERS:
            parts = {part_of_name(row.cells[at].strip()) for row in table.rows if at < len(row.cells)}
            if "train" in parts and len(parts) > 1 and None not in parts:
                return at
    return None


def _find_named(table: Table) -> tuple[int | None, tuple[int, ...], list[Problem]]:
    """Find the columns of images and tags by their headers, or else by what they hold."""
    image = image_column(table.header)
    tags = tuple(at for at in tag_columns(table.header) if at != image)
    if image is not None and table.has_header:
        return image, tags, []
    problems = []
    if image is None:
        image, guessed = guess_columns(columns_of(table.rows, len(table.header)))
        tags = tags or (() if guessed is None else (guessed,))
    if image is not None and tags:
        told = " and ".join(f"'{table.header[at]}'" for at in (image, *tags))
        message = f"images and tags are taken from the columns {told}, by what these hold"
        if not table.has_header:
            message = "it has no header: images and tags are told by what the columns hold"
        problems = [Problem("note", "guessed-columns", table.path.name, message)]
    return image, tags, problems


def _read_mark(cell: str) -> str:
    """Write a mark in one way: small letters, `1` for 1.0 and 1,00, and nothing for `nan`."""
    mark = cell.strip().lower()
    if mark in _BLANK_MARKS:
        return ""
    try:
        number = float(mark.replace(",", "."))
    except ValueError:
        return mark
    return str(int(number)) if number in (-1, 0, 1) else mark


def _no_mark(table: Table, image: int | None) -> str:
    """Name a cell that is no mark, where there are columns beside that of images."""
    if image is None:
        return ""
    for row in table.rows:
        for at, name in enumerate(table.header):
            if at != image and at < len(row.cells) and _read_mark(row.cells[at]) not in _MARKS:
                return f"; column '{name}' has '{row.cells[at].strip()[:_SHOWN]}' in line {row.line}"
    return ""


def _nearly_marks(table: Table, read: set[int]) -> list[Problem]:
    """Name the columns that would be classes but for a few cells."""
    problems = []
    for at, name in enumerate(table.header):
        cells = [(row.line, row.cells[at]) for row in table.rows if at < len(row.cells)]
        odd = [(line, cell) for line, cell in cells if _read_mark(cell) not in _MARKS]
        filled = sum(bool(_read_mark(cell)) for _, cell in cells)
        is_class = bool(name) and column_name(name) not in _NO_CLASS_HEADERS
        if at not in read and is_class and 0 < 2 * len(odd) <= filled:
            line, cell = odd[0]
            message = (
                f"the column '{name}' is not read, since line {line} has '{cell.strip()[:_SHOWN]}'; if it is a class, "
                "write 1, 0 or ?"
            )
            problems.append(Problem("warning", "odd-mark", table.path.name, message))
    return problems


def _value_column(table: Table, read: set[int]) -> int | None:
    for at, name in enumerate(table.header):
        cells = {_read_mark(row.cells[at]) for row in table.rows if at < len(row.cells)}
        if at not in read and column_name(name) in _VALUE_HEADERS and cells <= _MARKS and cells - _SHOWN_MARKS - {""}:
            return at
    return None


def _mark_columns(table: Table, image: int) -> dict[int, str]:
    found = {}
    for at, name in enumerate(table.header):
        cells = {_read_mark(row.cells[at]) for row in table.rows if at < len(row.cells)}
        is_class = at != image and name and column_name(name) not in _NO_CLASS_HEADERS
        if is_class and cells <= _MARKS and cells - {""}:
            found[at] = compose_name(name)
    return found
