"""Calls of several threads with inputs of one shape, joined into one: passes of single images leave a GPU idle.

Images are worked on side by side, each in a thread of its own, by code that knows nothing of one another. Their passes
through the network meet here. What joins what depends on which thread is faster, so that results agree with those of
single calls up to the rounding of sums, and not to the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

import torch
from torch import Tensor

from weakseg.models.classifier import Classifier

Function = Callable[[Tensor], Tensor]
"""Maps a batch (N, ...) to a tensor (N, ...), each entry by itself."""


@dataclass(eq=False)
class _Call:
    """What a thread asks for, and what it gets."""

    function: Function
    batch: Tensor
    result: Tensor | None = None
    error: BaseException | None = None


class JoinedCalls:
    """Joins the calls of several threads to some functions, which run one at a time.

    Args:
        most: So many calls are joined at most.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._changed = Condition()
        self._waiting: list[_Call] = []
        self._threads = 0

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """Have others wait for this thread's next call, until the block ends; every call is made in such a block."""
        with self._changed:
            self._threads += 1
        try:
            yield
        finally:
            with self._changed:
                self._threads -= 1
                self._changed.notify_all()

    def join(self, function: Function) -> Function:
        """Return a function whose calls are joined; what it raises is raised in all threads of a call."""
        return lambda batch: self._call(function, batch)

    def _call(self, function: Function, batch: Tensor) -> Tensor:
        own = _Call(function, batch)
        with self._changed:
            self._waiting.append(own)
            while own.result is None and own.error is None:
                group = self._choose()
                if group:
                    self._run(group)
                    self._changed.notify_all()
                else:
                    self._changed.wait()
        if own.error is not None:
            raise own.error
        assert own.result is not None, "the loop ends with either"
        return own.result

    def _choose(self) -> list[_Call]:
        """Return the largest group of calls that can be joined, none while another thread may still enlarge it."""
        groups: dict[tuple[Function, torch.Size], list[_Call]] = {}
        for call in self._waiting:
            groups.setdefault((call.function, call.batch.shape), []).append(call)
        largest = max(groups.values(), key=len, default=[])
        if len(self._waiting) < self._threads and len(largest) < self._most:
            return []
        return largest[: self._most]

    def _run(self, group: list[_Call]) -> None:
        self._waiting = [call for call in self._waiting if call not in group]
        try:
            joined = group[0].batch if len(group) == 1 else torch.cat([call.batch for call in group])
            found = torch.split(group[0].function(joined), [len(call.batch) for call in group])
        except BaseException as error:  # a thread that is not told would wait for ever
            for call in group:
                call.error = error
            return
        for call, part in zip(group, found, strict=True):
            call.result = part


def join_passes(classifier: Classifier, *, most: int) -> JoinedCalls:
    """Have the passes of several threads through a classifier's trunk and head join.

    Args:
        classifier: Both are replaced; weights and modes stay as they are.
        most: See `JoinedCalls`.

    Returns:
        What the threads take part in.
    """
    calls = JoinedCalls(most=most)
    classifier.trunk = calls.join(classifier.trunk)  # type: ignore[assignment, method-assign]
    classifier.head = calls.join(classifier.head)  # type: ignore[assignment, method-assign]
    return calls
