"""Columns of numbers that were measured with several seeds: mean, sample standard deviation, and every seed's own."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from weakseg.scoring.scores import number
from weakseg.studies.table import Cell, Column

Measured = Mapping[str, float | None]
"""What was measured with one seed, by name; None where it is undefined."""


@dataclass(frozen=True)
class Measure:
    """Something that is measured with every seed.

    Args:
        column: How to show its mean; the name of the column is that of the measure.
        has_spread: Whether the spread matters to people; it is always kept for programs.
    """

    column: Column
    has_spread: bool = True

    @property
    def name(self) -> str:
        """Key of its values."""
        return self.column.name

    def columns(self, seeds: Sequence[int]) -> tuple[Column, ...]:
        """Return its columns: mean, spread, and one per seed; people see the first, with the second behind it."""
        spread = f"{self.name}_sd"
        mean = replace(self.column, spread=spread) if self.has_spread else self.column
        if self.column.is_time:
            return (mean,)
        hidden = replace(self.column, heading="", hidden=True)
        return (
            mean,
            replace(hidden, name=spread),
            *(replace(hidden, name=f"{self.name}_seed{seed}") for seed in seeds),
        )

    def cells(self, measured: Sequence[Measured]) -> tuple[Cell, ...]:
        """Return the cells of its columns from what was measured with each seed."""
        values = [one.get(self.name) for one in measured]
        mean, spread = mean_and_spread(values)
        return (mean,) if self.column.is_time else (mean, spread, *values)


def mean_and_spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation (divided by n - 1).

    Args:
        values: One per seed.

    Returns:
        Rounded as all scores are. Both are None where a value is undefined or there is none, the spread also where
        there is only one.
    """
    defined = [value for value in values if value is not None]
    if not defined or len(defined) < len(values):
        return None, None
    spread = number(statistics.stdev(defined)) if len(defined) > 1 else None
    return number(statistics.fmean(defined)), spread


def describe_spread(seeds: Sequence[int]) -> str:
    """Say in a note what the numbers are."""
    if len(seeds) == 1:
        return f"one seed, {seeds[0]}: no spread is known"
    listed = ", ".join(map(str, seeds))
    return f"mean ± sample standard deviation over n = {len(seeds)} seeds ({listed})"
