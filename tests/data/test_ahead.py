import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from weakseg.data import ahead
from weakseg.data.ahead import WorkerLost, free_shared_bytes, load_ahead, load_in_turn, tell_progress
from weakseg.errors import DataError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the items below do something to their own process"),
]


@dataclass(frozen=True)
class Numbered:
    """Item i holds i in 3 x 5 pixels; one item does something else first."""

    count: int = 5
    special: int = -1
    deed: str = ""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        if index == self.special:
            self.do()
        tell_progress()
        return torch.full((3, 5), index, dtype=torch.uint8), (index, 7)

    def do(self) -> None:
        if self.deed == "error":
            raise DataError("image 'x' is damaged")
        time.sleep(0.1)  # what was prepared before is handed over by a thread
        if self.deed == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.deed == "hang":
            time.sleep(600)
        elif self.deed == "exit":
            os._exit(3)
        else:
            os.kill(os.getpid(), signal.Signals[self.deed])

    def describe(self, index: int) -> str:
        return f"'image {index}'"


def load(items: Numbered, workers: int) -> list[tuple[list[int], tuple[int, int]]]:
    return [(image.unique().tolist(), size_hw) for image, size_hw in load_ahead(items, workers=workers)]


@pytest.mark.parametrize("free", [None, 0, 10**9], ids=["no limit", "no room", "room"])
@pytest.mark.parametrize("workers", [0, 2])
def test_items_come_in_order_whatever_room_shared_memory_has(
    workers: int, free: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "free_shared_bytes", lambda: free)
    assert load(Numbered(), workers) == [([index], (index, 7)) for index in range(5)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_order_is_asked_for_as_items_are_wanted(workers: int) -> None:
    asked: list[int] = []

    def draw() -> Iterator[int]:
        for index in (4, 1, 3, 0, 2, 1, 4, 4, 4):
            asked.append(index)
            yield index

    loaded = load_in_turn(Numbered(), draw(), workers=workers)
    found = [next(loaded) for _ in range(2)]
    assert len(asked) == (2 if workers == 0 else 4 + 2)
    found += loaded
    assert [(index, item[0].unique().tolist()) for index, item in found] == [(index, [index]) for index in asked]


def test_what_has_no_room_does_not_pass_through_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: Tensor) -> None:
        raise AssertionError("shared memory is full")

    monkeypatch.setattr(ahead, "reduce_tensor", refuse)
    needed = 3 * 5 * ahead.ITEMS_A_WORKER * 2
    monkeypatch.setattr(ahead, "free_shared_bytes", lambda: needed - 1)
    assert len(load(Numbered(), 2)) == 5


def test_room_taken_by_others_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: Tensor) -> None:
        raise RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")

    monkeypatch.setattr(ahead, "reduce_tensor", refuse)
    assert len(load(Numbered(), 2)) == 5


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        ("SIGKILL", r"ended by SIGKILL while 'image \d' was waited for, which often means that the memory does not"),
        ("SIGBUS", r"ended by SIGBUS while 'image \d' was waited for, which often means that /dev/shm is full"),
        ("exit", r"ended by exit code 3 while 'image \d' was waited for"),
    ],
)
def test_a_worker_that_dies_is_one_line(deed: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "CHECK_S", 0.2)
    monkeypatch.setattr(ahead, "STUCK_CHECKS", 10**6)  # on a busy machine workers take long to begin
    before = set(multiprocessing.active_children())
    with pytest.raises(WorkerLost, match=message):
        load(Numbered(special=2, deed=deed), 2)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("deed", ["stop", "hang"])
def test_a_worker_that_is_stuck_is_one_line_and_gone(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "CHECK_S", 0.2)
    before = set(multiprocessing.active_children())
    with pytest.raises(WorkerLost, match=r"has done nothing for 0\.6 s, at 'image \d'; look whether the file can be"):
        load(Numbered(special=0, deed=deed), 2)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize(
    ("beats", "looks"),
    [
        ([0, 0, 0, 0], 3),  # nothing from the beginning
        ([1, 2, 3, 3, 3, 3], 6),  # three images, then nothing
        ([1, 1, 2, 2, 3, 3, 3, 3], 8),  # images that take longer than a look
    ],
)
def test_a_worker_is_waited_for_as_long_as_its_images_come(beats: list[int], looks: int) -> None:
    crew, looked = ahead._Crew(iter(()), (), (ctypes.c_uint64 * 2)()), 0

    class Late:
        def __next__(self) -> Tensor:
            nonlocal looked
            crew.beats[1], crew.beats[0] = beats[looked], looked  # the other worker goes on
            looked += 1
            raise RuntimeError("DataLoader timed out after 15 seconds")

        def __iter__(self) -> "Late":
            return self

    late = replace(crew, loaded=Late())
    crew = late
    with pytest.raises(WorkerLost, match="has done nothing for 45 s, at 'image 1'"):
        ahead._take(late, Numbered(), 1, 1)
    assert looked == looks


def test_the_end_comes_within_a_minute() -> None:
    assert (ahead.STUCK_CHECKS + 1) * ahead.CHECK_S <= 60


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_images_arrive_as_they_are(workers: int) -> None:
    with pytest.raises(DataError, match=r"^image 'x' is damaged$"):
        load(Numbered(special=2, deed="error"), workers)


def test_a_death_while_the_program_computes_interrupts_it_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch would raise in whatever line the program is; here the item that is missing is the place."""
    monkeypatch.setattr(ahead, "CHECK_S", 0.2)
    monkeypatch.setattr(ahead, "STUCK_CHECKS", 10**6)
    loaded = load_ahead(Numbered(special=1, deed="SIGKILL"), workers=2)
    next(loaded)
    time.sleep(0.5)
    with pytest.raises(WorkerLost, match="ended by SIGKILL"):
        list(loaded)


def test_where_no_process_can_be_started_this_one_does_the_work(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    def refuse(loader: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ahead, "_iterate_quietly", refuse)
    assert len(load(Numbered(), 2)) == 5
    assert told == ["images are prepared in this process, since no others can be started: [Errno 13] Permission denied"]


def test_shared_memory_that_is_not_there_has_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ahead, "SHARED_MEMORY", tmp_path / "nowhere")
    assert free_shared_bytes() is None
    monkeypatch.setattr(ahead, "SHARED_MEMORY", tmp_path)
    free = free_shared_bytes()
    assert free is not None
    assert free > 0
