"""Loading ahead of time: worker processes prepare items while others are computed with.

Tensors pass through shared memory where it has room, and through pipes where it has not: containers often have 64 MB of
it, and photographs are larger. A worker that has died, or that does nothing for `STUCK_CHECKS * CHECK_S` seconds, is an
error instead of a wait without end.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from weakseg.errors import WeaksegError

logger = logging.getLogger("weakseg")

CHECK_S = 15.0
"""How often one looks at a worker that is waited for."""

STUCK_CHECKS = 3
"""So many looks at one that has prepared no image in between, and it is stuck."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps it; elsewhere it has no size of its own."""

ITEMS_A_WORKER = 4
"""What shared memory must have room for: two items prepared ahead, one in use, and one to spare."""

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class WorkerLost(WeaksegError):
    """A process that prepares images has died or is stuck."""


class Items(Protocol[Item_co]):
    """What workers load: items by index, which call `tell_progress` after each image."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Item_co: ...

    def describe(self, index: int, /) -> str:
        """Name the images of an item, for messages."""
        ...


def load_ahead(items: Items[Item], *, workers: int) -> Iterator[Item]:
    """Yield items in order, loaded by worker processes; an error raised in one is raised here as it was.

    Args:
        items: What to load; it travels to the workers.
        workers: How many processes; 0 loads in this one.

    Raises:
        WorkerLost: If a worker dies or is stuck.
    """
    for _, item in load_in_turn(items, range(len(items)), workers=workers):
        yield item


def load_in_turn(items: Items[Item], order: Iterable[int], *, workers: int) -> Iterator[tuple[int, Item]]:
    """Yield items with their indices, in an order that may be found out on the way; see `load_ahead`.

    Args:
        items: What to load; it travels to the workers.
        order: The indices. Asked for in this process, two items a worker ahead of those that are yielded.
        workers: How many processes; 0 loads in this one, and asks for an index only when its item is wanted.

    Raises:
        WorkerLost: If a worker dies or is stuck.
    """
    ordered = _Ordered(order)
    crew = _start(items, ordered, workers) if workers else None
    if crew is None:
        for index in chain(ordered.waiting, ordered.rest):
            yield index, items[index]
        return
    number = 0
    try:
        while ordered.waiting:
            item = _take(crew, items, ordered.waiting[0], number % workers)
            if isinstance(item, WeaksegError):
                raise item
            yield ordered.waiting.popleft(), item
            number += 1
    except WorkerLost:
        for process in crew.processes:
            process.kill()  # one that is stopped heeds nothing else, and would be waited for at the end
        raise


def tell_progress() -> None:
    """Say that this process has prepared another image; does nothing outside of workers."""
    if _own_beat is not None:
        _own_beat()


_own_beat: Callable[[], None] | None = None


class _Ordered:
    """Passes indices on and keeps those whose items are still to come.

    Args:
        order: The indices.
    """

    def __init__(self, order: Iterable[int]) -> None:
        self.rest = iter(order)
        self.waiting: deque[int] = deque()

    def __iter__(self) -> Iterator[int]:
        for index in self.rest:
            self.waiting.append(index)
            yield index


class _Guarded(TorchDataset[Item | WeaksegError]):
    """Returns errors instead of raising them: from a worker one would arrive with a traceback for its message."""

    def __init__(self, items: Items[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item | WeaksegError:
        try:
            return self.items[index]
        except WeaksegError as error:
            return error


@dataclass(frozen=True, eq=False)
class _Crew(Generic[Item]):
    """Running workers: what they yield, the processes, and how many images each has prepared."""

    loaded: Iterator[Item | WeaksegError]
    processes: tuple[BaseProcess, ...]
    beats: ctypes.Array[ctypes.c_uint64]


def _start(items: Items[Item], order: _Ordered, workers: int) -> _Crew[Item] | None:
    """Start workers; None, and a line, where the system cannot."""
    try:
        beats = RawArray(ctypes.c_uint64, workers)
        loader: DataLoader[Item | WeaksegError] = DataLoader(
            _Guarded(items),
            batch_size=None,
            sampler=order,
            num_workers=workers,
            timeout=CHECK_S,
            collate_fn=_keep,
            worker_init_fn=_Beginning(beats, workers),
            # It only seeds the workers, which draw nothing from it; torch would take it from its global generator.
            generator=torch.Generator(),
        )
        before = set(multiprocessing.active_children())
        loaded = _iterate_quietly(loader)
    except OSError as error:  # no semaphores, no shared memory at all, no more processes
        logger.warning("images are prepared in this process, since no others can be started: %s", error)
        return None
    started = tuple(child for child in multiprocessing.active_children() if child not in before)
    return _Crew(loaded, started, beats)


def _iterate_quietly(loader: DataLoader[Item]) -> Iterator[Item]:
    """Start a loader's workers without the handler by which torch raises errors of them anywhere in the program."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return iter(loader)
    handler = signal.getsignal(signal.SIGCHLD)
    loaded = iter(loader)
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)
    return loaded


def _take(crew: _Crew[Item], items: Items[Item], index: int, worker: int) -> Item | WeaksegError:
    """Wait for the next item as long as its worker goes on preparing images; the loader deals out indices in turn."""
    beat, looks = crew.beats[worker], 0
    while True:
        try:
            return next(crew.loaded)
        except RuntimeError as error:
            if str(error).startswith("Caught "):  # what a worker met; torch gives it the same type
                raise
            dead = [code for process in crew.processes if (code := process.exitcode)]
            if dead or "timed out" not in str(error):
                raise WorkerLost(_explain_death(dead, items.describe(index), error)) from error
        looks = looks + 1 if crew.beats[worker] == beat else 0
        beat = crew.beats[worker]
        if looks == STUCK_CHECKS:
            raise WorkerLost(
                f"a process that prepares images has done nothing for {STUCK_CHECKS * CHECK_S:g} s, at "
                f"{items.describe(index)}; look whether the file can be read (a network folder?) and start the same "
                "command again to go on"
            )


def _explain_death(codes: list[int], where: str, error: RuntimeError) -> str:
    if not codes:
        return f"a process that prepares images cannot hand over {where}: {error}; lower runtime.workers"
    code = codes[0]
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    hints = {
        "SIGKILL": "which often means that the memory does not suffice; lower runtime.workers",
        "SIGBUS": f"which often means that {SHARED_MEMORY} is full; make room there or lower runtime.workers",
    }
    advice = hints.get(how, "at or soon after these; lower runtime.workers, or leave them out")
    return (
        f"a process that prepares images was ended by {how} while {where} was waited for, {advice}, and start the same "
        "command again to go on"
    )


def _keep(item: Item) -> Item:
    """Stands for torch's conversion of arrays and tuples."""
    return item


@dataclass(frozen=True, eq=False)
class _Beginning:
    """What a worker does first."""

    beats: ctypes.Array[ctypes.c_uint64]
    workers: int

    def __call__(self, worker: int) -> None:
        global _own_beat
        torch.set_num_threads(1)  # a pool of threads in each would only get in the way
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
        ForkingPickler.register(Tensor, _Sender(self.workers))

        def beat() -> None:
            self.beats[worker] += 1

        _own_beat = beat


@dataclass(frozen=True)
class _Sender:
    """Packs tensors for the parent: by name where shared memory has room, else with their content.

    Args:
        workers: How many share it.
    """

    workers: int

    def __call__(self, tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[object, ...]]:
        """Return a function and its arguments, as pickle wants them."""
        wanted = tensor.nbytes * self.workers * ITEMS_A_WORKER * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        free = free_shared_bytes()
        if free is None or wanted <= free:
            try:
                packed: tuple[Callable[..., Tensor], tuple[object, ...]]
                packed = reduce_tensor(tensor)  # type: ignore[no-untyped-call]
                return packed
            except (RuntimeError, OSError):  # another program has taken the room, or too many files are open
                pass
        return torch.from_numpy, (tensor.numpy(),)


def free_shared_bytes() -> int | None:
    """Return the room left in shared memory; None where it has no limit of its own."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except (AttributeError, OSError):
        return None
    return state.f_bavail * state.f_frsize
