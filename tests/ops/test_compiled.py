import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.compiled import MIN_PART, Team, compiled


@compiled
def add_up(values: NDArray[np.int64]) -> int:
    total = 0
    for value in values:
        total += value
    return total


@pytest.mark.parametrize("num_threads", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, MIN_PART - 1, 2 * MIN_PART, 10 * MIN_PART + 1])
def test_parts_cover_a_loop_once(num_threads: int, length: int) -> None:
    parts: list[tuple[int, int]] = []
    with Team(num_threads) as team:
        team.run(lambda first, last: parts.append((first, last)), length)
    parts.sort()
    assert [first for first, _ in parts] == [0, *(last for _, last in parts[:-1])]
    assert parts[-1][1] == length
    assert len(parts) == max(1, min(num_threads, length // MIN_PART))


def test_parts_are_done_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=30)

    def meet(first: int, last: int) -> None:
        meeting.wait()  # raises unless all three come

    with Team(3) as team:
        team.run(meet, 3 * MIN_PART)


def test_threads_end_with_the_block() -> None:
    before = threading.active_count()
    with Team(3) as team:
        team.run(lambda first, last: None, 3 * MIN_PART)
    assert threading.active_count() == before


def test_as_many_threads_as_torch_uses_unless_told() -> None:
    parts: list[int] = []
    with Team() as team:
        team.run(lambda first, last: parts.append(first), 100 * MIN_PART)
    assert len(parts) == torch.get_num_threads()


@pytest.mark.parametrize("failing", [0, 2 * MIN_PART])
def test_error_in_any_part_is_raised(failing: int) -> None:
    def fail(first: int, last: int) -> None:
        if first == failing:
            raise ValueError(f"part at {first}")

    with Team(3) as team, pytest.raises(ValueError, match=f"part at {failing}"):
        team.run(fail, 3 * MIN_PART)


def test_number_of_threads_below_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_threads: expected 1 or more, or None for torch's number, got 0"):
        Team(0)


def test_function_is_compiled() -> None:
    assert add_up(np.array([1, 2, 3])) == 6
    assert add_up.nopython_signatures  # type: ignore[attr-defined]


def test_function_without_a_place_for_its_code_is_compiled_anew() -> None:
    # Without a source file numba finds no folder, as in a read-only installation without a home folder.
    made: dict[str, object] = {}
    exec("def double(number):\n    return 2 * number", made)
    double = compiled(made["double"])  # type: ignore[arg-type]
    assert double(21) == 42
