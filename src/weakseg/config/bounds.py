"""What a setting says of itself beside its type and default: its bounds, and whether it is a path.

    iterations: int = setting(10, COUNT)

`weakseg.config.ranges` and `weakseg.config.paths` read it, in a stranger's method as in ours.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")

_KEY = "weakseg"


@dataclass(frozen=True)
class Range:
    """Closed bounds; None leaves a side open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low:g}"
        if self.low is None:
            return f"at most {self.high:g}"
        return f"within {self.low:g}..{self.high:g}"

    def holds(self, value: float) -> bool:
        """Say whether a number lies within the bounds; NaN never does."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high) and value == value


AUTO = "auto"
"""Where a number is chosen from the data; the type says which settings can be."""

WEIGHTS = ("imagenet", "none", "auto", "classifier", "pretrained")
"""What a setting `weights` may say instead of a path; not every network knows all of them."""

Bounds = Range | tuple[Range, ...]
"""In a list, those of all its entries, or of each."""

SHARE = Range(0, 1)
COUNT = Range(1)
NOT_NEGATIVE = Range(0)
SIDE_PX = Range(16, 16384)
_WIDTH = Range(0.01)
GAUSSIAN = (_WIDTH, NOT_NEGATIVE)
"""Width and weight of the CRF's kernel on positions; `weakseg.ops.crf` takes no narrower one."""
BILATERAL = (_WIDTH, _WIDTH, NOT_NEGATIVE)
"""Widths and weight of the CRF's kernel on positions and colours."""


@dataclass(frozen=True)
class Limits:
    """What a setting says of itself.

    Args:
        bounds: Which numbers it may be; None if it is none.
        ascending: Whether it is [smallest, largest].
        words: A path unless it is null or one of these words; None if it is no path.
        is_model: Whether it is a repository of the Hugging Face hub, or a path if there is something at it.
    """

    bounds: Bounds | None = None
    ascending: bool = False
    words: tuple[str, ...] | None = None
    is_model: bool = False


def setting(default: Value, bounds: Bounds, *, ascending: bool = False) -> Value:
    """Declare a number, or a list of them, with its default and bounds.

    Args:
        default: The default.
        bounds: Which values it may take.
        ascending: Whether it is [smallest, largest].

    Returns:
        The field of a dataclass, typed as its value.
    """
    limits = Limits(bounds, ascending)
    return dataclasses.field(default=default, metadata={_KEY: limits})


def path_setting(default: Value, *, words: tuple[str, ...] = ()) -> Value:
    """Declare a path with its default; a run keeps it absolute.

    Args:
        default: The default, null for none.
        words: Words that are no paths.

    Returns:
        The field of a dataclass, typed as its value.
    """
    limits = Limits(words=words)
    return dataclasses.field(default=default, metadata={_KEY: limits})


def model_setting(default: Value) -> Value:
    """Declare a repository of the Hugging Face hub, or a folder or file, with its default; a run keeps paths absolute.

    Args:
        default: The default, null for none.

    Returns:
        The field of a dataclass, typed as its value.
    """
    return dataclasses.field(default=default, metadata={_KEY: Limits(is_model=True)})


def walk_limits(section: type, prefix: str = "") -> Iterator[tuple[str, Limits]]:
    """Yield the dotted path of every setting of a section that says something of itself, and what."""
    hints = typing.get_type_hints(section)
    for item in dataclasses.fields(section):
        if dataclasses.is_dataclass(hints[item.name]):
            yield from walk_limits(hints[item.name], f"{prefix}{item.name}.")
        elif _KEY in item.metadata:
            yield f"{prefix}{item.name}", item.metadata[_KEY]
