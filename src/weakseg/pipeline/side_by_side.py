"""Images worked on side by side, one per core, where one image does not fill all cores.

A network's pass over a small image, or its CRF, gains little from a second thread; two images at once gain nearly all
of it. Large images are worked on alone by all threads, so that memory holds one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

LARGE_PX = 1_500_000
"""Images of more pixels are worked on alone."""


def run_side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, is_large: Callable[[Item], bool]
) -> Iterator[Result]:
    """Do the same to every item, some at a time, and yield the results in the order of the items.

    Threads start after the first item is there and have ended when this ends, so that `items` may fork processes when
    it begins. While it runs, torch uses one thread per item, but all of them on a large one.

    Args:
        work: Called from threads; must not change what another call reads. What it raises is raised here.
        items: Taken as they are needed, in the calling thread.
        threads: Items at a time; 1 does everything in the calling thread.
        is_large: Whether an item is worked on alone, in the calling thread.

    Yields:
        What `work` returns.
    """
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with _torch_threads(1):
            for item in items:
                if is_large(item):
                    while waiting:
                        yield waiting.popleft().result()
                    with _torch_threads(threads):
                        result = work(item)
                    yield result
                    continue
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:  # one more than is worked on, so that no thread waits for the caller
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
