import dataclasses
import typing

import pytest

from weakseg.config.ranges import RANGES, Range
from weakseg.config.schema import RunConfig


def numeric_settings(section: type, prefix: str = "") -> list[str]:
    found = []
    for name, annotation in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(annotation):
            found += numeric_settings(annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif annotation is not bool and {int, float} & set(typing.get_args(annotation) or (annotation,)):
            found.append(f"{prefix}{name}")
    return found


def test_every_number_has_a_range_and_every_range_a_number() -> None:
    assert sorted(numeric_settings(RunConfig)) == sorted(RANGES)


@pytest.mark.parametrize(
    ("bounds", "value", "holds"),
    [
        (Range(0, 1), 0, True),
        (Range(0, 1), 1, True),
        (Range(0, 1), 1.001, False),
        (Range(1), 0, False),
        (Range(1), 1e9, True),
        (Range(None, 3), 4, False),
        (Range(0, 1), float("nan"), False),
        (Range(), float("inf"), True),
    ],
)
def test_bounds_are_closed_and_nan_is_outside(bounds: Range, value: float, holds: bool) -> None:
    assert bounds.holds(value) is holds


def test_bounds_say_themselves() -> None:
    assert [str(bounds) for bounds in (Range(0, 1), Range(1), Range(None, 3))] == [
        "within 0..1",
        "at least 1",
        "at most 3",
    ]
