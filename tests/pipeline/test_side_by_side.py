import threading
import time
from collections.abc import Iterator

import pytest
import torch

from weakseg.errors import DataError
from weakseg.pipeline.side_by_side import run_side_by_side


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def never(item: int) -> bool:
    return False


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_come_in_the_order_of_the_items(count: int, threads: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3 == 0))
        return item * 10

    found = list(run_side_by_side(work, range(count), threads=threads, is_large=never))
    assert found == [10 * item for item in range(count)]
    assert torch.get_num_threads() == 3


def test_items_are_worked_on_at_once_with_one_torch_thread_each() -> None:
    together = threading.Barrier(3, timeout=10)

    def work(item: int) -> int:
        together.wait()  # passed only where three are there
        return torch.get_num_threads()

    assert list(run_side_by_side(work, range(6), threads=3, is_large=never)) == [1] * 6


def test_a_large_item_is_worked_on_alone_by_all_threads() -> None:
    running: set[int] = set()
    seen: dict[int, tuple[set[int], int, bool]] = {}

    def work(item: int) -> int:
        running.add(item)
        time.sleep(0.002)
        seen[item] = set(running), torch.get_num_threads(), threading.current_thread() is threading.main_thread()
        running.discard(item)
        return item

    assert list(run_side_by_side(work, range(5), threads=3, is_large=lambda item: item == 2)) == list(range(5))
    assert seen[2] == ({2}, 3, True)
    assert not seen[3][2]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_as_it_was_and_ends_the_work(threads: int) -> None:
    done: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise DataError("image 1 is damaged")
        done.append(item)

    with pytest.raises(DataError, match="image 1 is damaged"):
        list(run_side_by_side(work, range(100), threads=threads, is_large=never))
    assert len(done) < 10
    assert torch.get_num_threads() == 3


def test_threads_have_ended_when_it_ends() -> None:
    before = threading.active_count()
    list(run_side_by_side(lambda item: item, range(5), threads=3, is_large=never))
    assert threading.active_count() == before
