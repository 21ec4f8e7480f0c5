"""The order of the list, found while a person already looks: what it rests on is measured in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weakseg.errors import WeaksegError
from weakseg.review.desk import Desk, Entry
from weakseg.review.evidence import Tell

logger = logging.getLogger("weakseg")

Find = Callable[[Tell], Sequence[Entry]]
"""Finds the order; it may raise a `WeaksegError`."""


class _Stopped(Exception):
    """Nobody waits for the order any more."""


@dataclass(frozen=True)
class Progress:
    """How far the order is found.

    Args:
        done: Images that were measured.
        total: Of how many; 0 while that is not known.
        is_done: Whether the list is ordered.
        problem: Why it will not be, one line; empty if nothing is wrong.
    """

    done: int = 0
    total: int = 0
    is_done: bool = False
    problem: str = ""


class Ordering:
    """Finds the order of a desk's images in a thread and brings them into it.

    Args:
        desk: The images; their order changes once, at the end.
        find: Finds the order.
    """

    def __init__(self, desk: Desk, find: Find) -> None:
        self.progress = Progress()
        self._desk = desk
        self._find = find
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ordering", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, wait_s: float = 10.0) -> None:
        """End after the present image, and wait for that; what was measured is kept."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _tell(self, done: int, total: int) -> None:
        if self._is_stopped.is_set():
            raise _Stopped
        self.progress = Progress(done, total)

    def _run(self) -> None:
        try:
            entries = self._find(self._tell)
        except _Stopped:
            return
        except Exception as error:
            self.progress = Progress(problem=f"The list could not be ordered: {error}")
            if not isinstance(error, WeaksegError):
                raise
            logger.warning("the images could not be ordered, and stay as the data set has them: %s", error)
            return
        self._desk.reorder(entries)
        self.progress = Progress(len(entries), len(entries), is_done=True)
        logger.info("the list is ordered now: the most doubtful masks come first")
