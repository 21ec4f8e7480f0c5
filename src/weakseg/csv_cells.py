"""Tables as CSV that a spreadsheet shows as they are: no cell is taken for a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that spreadsheets compute, or that `escape_cell` has changed."""


def escape_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet computes.

    A `'` is put before `=`, `+`, `-`, `@`, their wide forms in East Asian writing, tab and line breaks.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def restore_cell(cell: str) -> str:
    """Return the text that `escape_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table as CSV; texts are escaped, numbers are not.

    Args:
        columns: The header.
        rows: Cells of each row in the order of the columns. Texts that are numbers (`-0.5`) stay as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_cell(name) for name in columns)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _cell(cell: object) -> object:
    return escape_cell(cell) if isinstance(cell, str) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
