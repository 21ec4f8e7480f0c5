from pathlib import Path

import numpy as np
import pytest

from weakseg.checks.names import judge_names
from weakseg.data.base import Dataset
from weakseg.types import ClassSet, Sample


def split(*ids: str) -> Dataset:
    tags, known = np.ones(1, np.uint8), np.ones(1, np.bool_)
    samples = tuple(Sample(key, Path(f"{key}.jpg"), tags, known) for key in ids)
    return Dataset("folder", "train", ClassSet(("cat",)), samples)


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (("a", "b/c", "100%"), []),
        (("12:30",), [("renamed", "12:30")]),
        (("x" * 241,), [("renamed", "x" * 241)]),
        (("con/a", "con/b"), [("renamed", "con/a"), ("renamed", "con/b")]),
        (("Cat", "cat"), [("same-elsewhere", "cat")]),
        (("f\u00fcr", "fu\u0308r"), [("same-elsewhere", "fu\u0308r")]),
    ],
)
def test_names_that_some_file_system_refuses_or_confuses_are_noted(
    ids: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    problems = list(judge_names([split(*ids), split(*ids)]))
    assert [(problem.kind, problem.where) for problem in problems] == found
    assert {problem.severity for problem in problems} <= {"note"}


def test_the_new_name_is_told() -> None:
    (problem,) = judge_names([split("12:30")])
    assert "are called '12_30~" in problem.message
