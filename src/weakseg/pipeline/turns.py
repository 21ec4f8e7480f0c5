"""Whose turn an image is: images are handed out one by one to the processes that work on them.

Fixed shares would let all wait for the process with the slowest images or the slowest machine. Here each takes the next
images when it has done its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Protocol

import torch.distributed as dist

from weakseg.errors import WeaksegError
from weakseg.train.distributed import world_size

LARGEST_BLOCK = 16
"""So many images are taken from the common store at once, while there are many."""

BLOCKS_LEFT = 8
"""Blocks shrink so that each process can still take so many of those that are left; the last images go one by one."""


class Turns(Protocol):
    """Hands out images, by their places in a list that all processes know."""

    def __iter__(self) -> Iterator[int]:
        """Yield the places that are this process's turn; it may wait before each of them."""
        ...

    def finish(self, place: int, outcome: str | None, /) -> tuple[int, int]:
        """Say that an image is done, and what came of it; return how many all processes have done, of how many."""
        ...


class Counters(Protocol):
    """Counts for several processes, as torch's stores do."""

    def add(self, key: str, amount: int, /) -> int:
        """Add to a count, which begins at 0, and return it."""
        ...


class OwnTurns:
    """All images are this process's own.

    Args:
        places: Their places.
    """

    def __init__(self, places: Sequence[int]) -> None:
        self._places = places
        self._done = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def finish(self, place: int, outcome: str | None, /) -> tuple[int, int]:
        """See `Turns`."""
        self._done += 1
        return self._done, len(self._places)


class CommonTurns:
    """The processes of `torchrun` take images out of the store through which they met.

    Each sees for itself whether an image still has to be worked on when it takes it, since lists of those would differ
    from process to process. When one is lost and `torchrun` starts all again, only images that were being worked on are
    repeated.

    Args:
        store: Where the processes count.
        key: Name of this work, the same in all processes.
        images: Number of images, those that are done before included.
        is_pending: Says of a place whether its image is still to be worked on.
        total: How many are, as far as this process sees.
    """

    def __init__(
        self, store: Counters, *, key: str, images: int, is_pending: Callable[[int], bool], total: int
    ) -> None:
        self._store = store
        self._key = key
        self._blocks = cut_blocks(images, world_size())
        self._is_pending = is_pending
        self._total = total

    def __iter__(self) -> Iterator[int]:
        while True:
            number = self._count("taken") - 1
            if number >= len(self._blocks):
                return
            yield from (place for place in self._blocks[number] if self._is_pending(place))

    def finish(self, place: int, outcome: str | None, /) -> tuple[int, int]:
        """See `Turns`."""
        done = self._count("done")
        return done, max(done, self._total)

    def _count(self, what: str) -> int:
        try:
            return int(self._store.add(f"{self._key}/{what}", 1))
        except RuntimeError as error:
            raise WeaksegError(
                "the process that hands out images has gone without a word; start the same command again to go on"
            ) from error


def cut_blocks(images: int, processes: int) -> list[range]:
    """Cut the places of images into blocks to be taken one after another: large ones first, single images last."""
    blocks, start = [], 0
    while start < images:
        size = min(LARGEST_BLOCK, max(1, (images - start) // (BLOCKS_LEFT * processes)))
        blocks.append(range(start, start + size))
        start += size
    return blocks


_opened = count()
"""Numbers the works of this process; all processes of a run open the same ones, one after another."""


def open_turns(images: int, *, is_pending: Callable[[int], bool]) -> Turns:
    """Return the turns of this process, one of those that `torchrun` started or the only one.

    Args:
        images: Number of images; in the same order in all processes, each of which calls this.
        is_pending: Says of a place whether its image is still to be worked on.
    """
    pending = [place for place in range(images) if is_pending(place)]
    if world_size() == 1:
        return OwnTurns(pending)
    store = dist.distributed_c10d._get_default_store()
    key = f"weakseg/turns/{next(_opened)}"
    return CommonTurns(store, key=key, images=images, is_pending=is_pending, total=len(pending))
