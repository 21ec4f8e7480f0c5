"""Compiled loops, and the threads that share them.

numba's own `prange` is not used: of the thread pools it can stand on, GNU OpenMP kills a process that was forked after
its parent ran a loop, and `workqueue` aborts the process when two threads call at once. Here a compiled loop takes its
bounds as its last two arguments and releases the interpreter lock, and `Team` hands its parts to threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

import torch
from numba import njit

from weakseg.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

Part = Callable[[int, int], None]
"""Does the steps `first` to `last - 1` of a loop; writes nothing that another part reads or writes."""

MIN_PART = 4096
"""Steps below which a part is not worth a thread: handing it over takes about as long as doing it."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on its first call, by `numba.njit`, and keep the machine code on disk.

    The code goes to `__pycache__` beside the source file or, where that cannot be written, to the user's cache folder;
    `NUMBA_CACHE_DIR` names another. Where none can be written, every process compiles anew. Floats are neither
    reordered nor contracted, so that a result does not depend on the machine's registers or on how a loop was split.
    A division by zero gives infinity or NaN, as in NumPy.
    """
    try:
        kept: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba's "no locator available": a read-only installation and no home folder
        kept = njit(nogil=True, error_model="numpy")(function)
    return kept


class Team:
    """Threads that do parts of a loop side by side; use it as a context manager.

    They end with the block: a process that is forked later inherits nothing that could lock it up.

    Args:
        num_threads: Number of threads with the calling one, at least 1. None for as many as torch uses: one per core
            unless `torch.set_num_threads` or `OMP_NUM_THREADS` says otherwise, as `torchrun` does.

    Raises:
        ConfigError: If the number is below 1.
    """

    def __init__(self, num_threads: int | None = None) -> None:
        if num_threads is not None and num_threads < 1:
            raise ConfigError(f"num_threads: expected 1 or more, or None for torch's number, got {num_threads}")
        self._num_threads = torch.get_num_threads() if num_threads is None else num_threads
        # The executor starts a thread when it is first needed, so none for short loops.
        self._others = ThreadPoolExecutor(max(1, self._num_threads - 1))

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._others.shutdown()

    def run(self, part: Part, length: int) -> None:
        """Do the steps 0 to `length - 1` of a loop, part by part, and return when all are done."""
        num_parts = max(1, min(self._num_threads, length // MIN_PART))
        bounds = [length * index // num_parts for index in range(num_parts + 1)]
        handed_over = [self._others.submit(part, bounds[index], bounds[index + 1]) for index in range(1, num_parts)]
        part(bounds[0], bounds[1])
        for future in handed_over:
            future.result()
