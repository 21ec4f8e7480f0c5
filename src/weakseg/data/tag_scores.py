"""Columns of scores beside tags, which say by numbers what is not shown: they are not read, and not passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from weakseg.data.tables import Row, Table, column_name
from weakseg.errors import DataError

SCORE_HEADERS = frozenset({"confidence", "score", "probability"})
"""Headers, in one writing (`weakseg.data.tables.column_name`), of columns of scores."""

_SHOWN_FROM = 0.5
_BLANKS = frozenset({"", "nan", "null", "none", "na", "n/a"})


def refuse_low_scores(table: Table, image: int, tags: Collection[int]) -> str:
    """Refuse a table whose rows all count as shown, and whose scores say of some that they are not.

    That is a score of 0, or one below 0.5 beside other rows of its image. The only row of an image may have any other:
    what a classifier finds likeliest of many classes has often less than 0.5.

    Args:
        table: The table.
        image: Number of the column that names images.
        tags: Numbers of the columns that hold tags.

    Returns:
        What to say of low scores that are passed over; empty without any.

    Raises:
        DataError: If a score says that its row's tag is not shown.
    """
    passed_over = ""
    tagged = [row for row in table.rows if any(_cell(row, at) for at in tags)]
    num_rows = Counter(_cell(row, image) for row in tagged)
    for at, name in enumerate(table.header):
        if column_name(name) not in SCORE_HEADERS or at in (image, *tags):
            continue
        for row, score in _low_scores(tagged, at):
            if score == 0 or num_rows[_cell(row, image)] > 1:
                raise DataError(
                    f"{table.path}, line {row.line}: expected 1 or 0 in the column '{name}', which says whether a tag "
                    f"is shown, but it holds scores such as {_cell(row, at)}: write 1 and 0, or drop the rows that are "
                    "not shown"
                )
            passed_over = passed_over or f"; '{name}' {_cell(row, at)} in line {row.line} counts as shown"
    return passed_over


def _low_scores(rows: Collection[Row], at: int) -> list[tuple[Row, float]]:
    """Return the rows with scores below 0.5; none where the column holds anything but numbers."""
    cells = [(row, _cell(row, at).replace(",", ".")) for row in rows]
    try:
        scores = [(row, float(cell)) for row, cell in cells if cell.lower() not in _BLANKS]
    except ValueError:
        return []
    return [(row, score) for row, score in scores if score < _SHOWN_FROM]


def _cell(row: Row, at: int) -> str:
    return row.cells[at].strip() if at < len(row.cells) else ""
