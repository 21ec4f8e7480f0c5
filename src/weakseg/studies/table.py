"""A study's numbers once, shown in three ways: on the terminal, as Markdown for people, as CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as RichTable

from weakseg.csv_cells import to_csv
from weakseg.files import JsonValue

Cell = str | float | None
"""A text, a number in the unit of its column's name, or None where there is none."""

MISSING = "–"
"""Stands for None where people read; CSV leaves the cell empty."""

UNLIMITED_WIDTH = 10_000
"""Characters; more than any table has."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: Its name for programs, with the unit.
        heading: Its name for people, with the unit.
        digits: Digits after the decimal point, for people.
        percent: Whether its fractions are shown to people as 0 to 100.
        only_if_any: Whether to leave the column out, for people, where it holds nothing but zeros.
        is_time: Whether it is measured with a clock, and so differs from one run of a command to the next.
        spread: Name of the column whose number people see behind this one's, after a plus-minus sign.
        hidden: Whether to leave the column out for people, as one that is another's spread.
    """

    name: str
    heading: str
    digits: int = 1
    percent: bool = False
    only_if_any: bool = False
    is_time: bool = False
    spread: str | None = None
    hidden: bool = False

    def show(self, cell: Cell) -> str:
        """Write a cell as people read it."""
        if cell is None or isinstance(cell, str):
            return MISSING if cell is None else cell
        return f"{100 * cell if self.percent else cell:z.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """What a study found.

    Args:
        title: What was measured, on which split and how many images, with which thresholds.
        columns: The first one names the rows.
        rows: One cell per column.
        notes: What must be known to read the numbers.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), "a row lacks cells"

    def column(self, name: str) -> tuple[Cell, ...]:
        """Return the cells of one column."""
        place = [column.name for column in self.columns].index(name)
        return tuple(row[place] for row in self.rows)

    def to_markdown(self) -> str:
        """Write title, table and notes as Markdown."""
        headings = [column.heading for column in self._shown_columns()]
        lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *self._shown_rows()]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"# {self.title}\n\n{table}\n" + (f"{notes}\n" if notes else "")

    def to_csv(self, *, times: bool) -> str:
        """Write the numbers as CSV, fractions as fractions.

        Args:
            times: Whether to write the measured times, or everything else, which a second run of the same command
                gives again. Both start with the first column.
        """
        places = [at for at, column in enumerate(self.columns) if at == 0 or column.is_time == times]
        return to_csv([self.columns[at].name for at in places], ([row[at] for at in places] for row in self.rows))

    def to_records(self) -> list[dict[str, JsonValue]]:
        """Return one mapping from column names to cells per row."""
        return [{column.name: cell for column, cell in zip(self.columns, row, strict=True)} for row in self.rows]

    def print_to(self, console: Console) -> None:
        """Show the table and its notes on a terminal."""
        shown = RichTable(title=escape(self.title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        shown.show_edge = False
        for at, column in enumerate(self._shown_columns()):
            texts = [column.heading, *self._show(column)]
            longest = max(len(word) for text in texts for word in text.split())
            shown.add_column(escape(column.heading), justify="right" if at else "left", min_width=longest)
        for line in self._shown_rows():
            shown.add_row(*map(escape, line))
        # A narrow terminal breaks the lines of a wide table; that is bad, but words cut short are worse.
        needed = Measurement.get(console, console.options.update(width=UNLIMITED_WIDTH), shown).minimum
        console.print(shown, width=max(console.width, needed), crop=False)
        for note in self.notes:
            console.print(f"note: {note}", markup=False)

    def _shown_columns(self) -> list[Column]:
        return [
            column
            for column in self.columns
            if not column.hidden and (not column.only_if_any or any(self.column(column.name)))
        ]

    def _shown_rows(self) -> list[list[str]]:
        cells = [self._show(column) for column in self._shown_columns()]
        return [list(row) for row in zip(*cells, strict=True)]

    def _show(self, column: Column) -> list[str]:
        """Write a column's cells as people read them, each with its spread if it has one."""
        shown = [column.show(cell) for cell in self.column(column.name)]
        if column.spread is None:
            return shown
        spreads = self.column(column.spread)
        return [
            text if spread is None else f"{text} ± {column.show(spread)}"
            for text, spread in zip(shown, spreads, strict=True)
        ]


def column_numbers(cells: Sequence[Cell]) -> list[float]:
    """Return the cells of a column of numbers, NaN for None."""
    return [float("nan") if cell is None else float(cell) for cell in cells]
