"""Which part of the images a command works on: `--part 3/10`, or the place of a task in an array of a batch system."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weakseg.errors import UsageError

MAX_PARTS = 1_000_000
"""More than any batch system takes."""


@dataclass(frozen=True)
class Part:
    """One of several parts of the images.

    Args:
        number: Which, counted from 1.
        count: Of how many.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_part(text: str, environment: Mapping[str, str]) -> Part:
    """Read `--part`: `3/10`; `auto`, the place of this task in its array; or `auto/10`, with the number of parts.

    Slurm tells task and number of tasks, Kubernetes the completion index alone. With `auto/N` tasks count from 0, so
    that any of them can be started again by itself.

    Args:
        text: The word.
        environment: The process's variables.

    Raises:
        UsageError: If it is something else, there is no such part, or the variables do not tell which it is.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})|auto(?:/(\d{1,9}))?", text.strip())
    if found is None:
        raise UsageError(f"--part: expected I/N such as 3/10, auto, or auto/N, got '{text}'")
    if found[1] is not None:
        return _require_possible(Part(int(found[1]), int(found[2])), text, "parts count from 1")
    if found[3] is None:
        return _require_possible(_whole_array(environment), text, "so say Slurm's variables; write auto/N")
    name, task = _find_task(environment)
    advice = f"since {name} is {task}; with auto/N tasks count from 0"
    return _require_possible(Part(task + 1, int(found[3])), text, advice)


def _require_possible(part: Part, text: str, advice: str) -> Part:
    if not 1 <= part.number <= part.count <= MAX_PARTS:
        raise UsageError(f"--part {text}: there is no part {part} ({advice}; at most {MAX_PARTS} parts)")
    return part


def _whole_array(environment: Mapping[str, str]) -> Part:
    """Return the part of a task in a Slurm array that counts in equal steps."""
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN")
    if "SLURM_ARRAY_TASK_ID" not in environment:
        name, _ = _find_task(environment)
        raise UsageError(f"--part auto: {name} does not tell the number of parts; write auto/N")
    task, count, first = (_read_number(environment, name) for name in names)
    step = max(1, _read_number(environment, "SLURM_ARRAY_TASK_STEP", default=1))
    return Part((task - first) // step + 1, count)


def _find_task(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return the variable that holds the number of this task, and that number."""
    for name in ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"):
        if name in environment:
            return name, _read_number(environment, name)
    raise UsageError(
        "--part auto: expected SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX in the environment, where Slurm and "
        "Kubernetes put the number of a task; elsewhere write I/N"
    )


def _read_number(environment: Mapping[str, str], name: str, *, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"--part auto: expected a number in the variable {name}, got '{text}'")
    return int(text)
