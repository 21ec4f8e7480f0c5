"""Which columns of a table name images and which hold their tags, or say of one class each whether it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weakseg.data.base import Problem
from weakseg.data.class_names import compose_name
from weakseg.data.image_tags import ImageTags
from weakseg.data.tables import IMAGE_HEADERS, TAG_HEADERS, Table, column_name, image_column, tag_columns
from weakseg.errors import DataError

_SHOWN_MARKS = frozenset({"1", "1.0", "true", "yes", "y", "x"})
_ABSENT_MARKS = frozenset({"0", "0.0", "false", "no", "n"})
_UNKNOWN_MARKS = frozenset({"?", "-1", "-1.0", "nan"})
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
        "confidence",
        "score",
        "mark",
        "exists",
    )
)
"""Headers of a column that says of the one tag in its row whether the image shows it, as tables of pairs have it."""

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
        open_end: Whether cells behind the header's last hold tags, too.
        width: Number of columns of the header.
        problems: Columns that are not read.
    """

    image: int
    tags: tuple[int, ...]
    marks: dict[int, str]
    value: int | None
    blank_is_absent: bool
    open_end: bool
    width: int
    problems: tuple[Problem, ...]


def find_columns(table: Table) -> Columns:
    """Find the columns of a tag table by their headers; without one for tags, by columns that hold only marks.

    Raises:
        DataError: If no column names images, or none says what they show.
    """
    image = image_column(table.header)
    tags = tuple(at for at in tag_columns(table.header) if at != image)
    if len(tags) > 1 and image is not None and set(tags) <= _mark_columns(table, image).keys():
        tags = ()  # `class_1`, `class_2` of 0 and 1 are classes and no lists of tags
    marks = {} if tags or image is None else _mark_columns(table, image)
    if image is None or not (tags or marks):
        raise DataError(
            f"{table.path}, line 1: expected the header 'image{table.separator}tags', got "
            f"'{table.separator.join(table.header)[:_SHOWN]}'; write it as the first line (images may also be called "
            f"{', '.join(IMAGE_HEADERS[1:_LISTED])}, ..., tags {', '.join(TAG_HEADERS[1:_LISTED])}, ..., or each class "
            "has a column of 0 and 1)"
        )
    value = _value_column(table, {image, *tags}) if len(tags) == 1 else None
    read = {image, *tags, *marks, *(() if value is None else (value,))}
    passed_over = [name for at, name in enumerate(table.header) if at not in read and name]
    problems = []
    if passed_over:
        more = f", ... ({len(passed_over)} in all)" if len(passed_over) > _NAMED else ""
        message = f"not read: the column{'s' if len(passed_over) > 1 else ''} {', '.join(passed_over[:_NAMED])}{more}"
        problems.append(Problem("note", "extra-columns", table.path.name, message))
    cells = (row.cells[at].strip().lower() for row in table.rows for at in marks if at < len(row.cells))
    blank_is_absent = not any(cell in _ABSENT_MARKS for cell in cells)
    open_end = bool(tags) and table.separator == _OPEN_ENDED
    return Columns(image, tags, marks, value, blank_is_absent, open_end, len(table.header), tuple(problems))


def read_marks(cells: Sequence[str], columns: Columns) -> ImageTags:
    """Read the marks of a row: 1, `yes` or `x` shown, 0 or `no` absent, `?` or -1 unknown."""
    present, unknown = set(), set()
    for at, name in columns.marks.items():
        mark = cells[at].strip().lower()
        if mark in _SHOWN_MARKS:
            present.add(name)
        elif mark in _UNKNOWN_MARKS or (not mark and not columns.blank_is_absent):
            unknown.add(name)
    return ImageTags(frozenset(present), frozenset(unknown))


def heed_value(tags: ImageTags, cells: Sequence[str], columns: Columns) -> ImageTags:
    """Take the tags of a row for what its mark says they are: shown, absent or unknown."""
    if columns.value is None or columns.value >= len(cells):
        return tags
    mark = cells[columns.value].strip().lower()
    if mark in _ABSENT_MARKS:
        return ImageTags(frozenset())
    return ImageTags(frozenset(), tags.present | tags.unknown) if mark in _UNKNOWN_MARKS else tags


def _value_column(table: Table, read: set[int]) -> int | None:
    for at, name in enumerate(table.header):
        cells = {row.cells[at].strip().lower() for row in table.rows if at < len(row.cells)}
        if at not in read and column_name(name) in _VALUE_HEADERS and cells <= _MARKS and cells - _SHOWN_MARKS - {""}:
            return at
    return None


def _mark_columns(table: Table, image: int) -> dict[int, str]:
    found = {}
    for at, name in enumerate(table.header):
        cells = {row.cells[at].strip().lower() for row in table.rows if at < len(row.cells)}
        if at != image and name and cells <= _MARKS and cells - {""}:
            found[at] = compose_name(name)
    return found
