"""Saving a training within an epoch, so that jobs of short slices make progress and a loss costs minutes at most."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from weakseg.data.crops import Batch, EpochOfCrops
from weakseg.train.distributed import rank, sum_over_ranks, world_size

MAX_STEPS_BETWEEN = 200
"""Several processes agree at least once in so many steps on when to save: steps may become slower."""


@dataclass(frozen=True, eq=False)
class BegunEpoch:
    """How far an epoch has come.

    Args:
        steps: Steps done.
        losses: Sum of the losses of these steps, float32 by process, on the CPU.
    """

    steps: int
    losses: Tensor


NOT_BEGUN = BegunEpoch(0, torch.zeros(1))
"""Of an epoch without a step."""


class SaveClock:
    """Says after which steps to save: about every so many seconds, in all processes after the same steps.

    Args:
        every_s: Seconds; None never saves.
        device: Where the processes exchange numbers.
    """

    def __init__(self, every_s: float | None, device: torch.device) -> None:
        self._every_s = every_s
        self._device = device
        self._begin()

    def _begin(self) -> None:
        self._since_s = time.monotonic()
        self._steps, self._asked_after = 0, 1

    def is_due(self) -> bool:
        """Say whether to save now; asked after each step, in each process."""
        if self._every_s is None:
            return False
        self._steps += 1
        if self._steps < self._asked_after:
            return False
        steps = self._agree(self._steps_left(self._every_s))
        if steps == 0:
            self._begin()
            return True
        self._asked_after = self._steps + steps
        return False

    def _steps_left(self, every_s: float) -> int:
        """Return after how many more steps it will be time."""
        spent_s = time.monotonic() - self._since_s
        if spent_s >= every_s:
            return 0
        left = MAX_STEPS_BETWEEN if spent_s == 0 else int((every_s - spent_s) / spent_s * self._steps)
        return max(1, min(left, MAX_STEPS_BETWEEN))

    def _agree(self, steps: int) -> int:
        """Return what rank 0 says; alone, look again after every step."""
        if world_size() == 1:
            return min(steps, 1)
        told = torch.tensor([steps if rank() == 0 else 0], device=self._device)
        return int(sum_over_ranks(told))


def gather_losses(total: Tensor) -> Tensor:
    """Return the sums of the losses of all processes, float32 on the CPU, by process."""
    own = torch.zeros(world_size(), device=total.device)
    own[rank()] = total
    return sum_over_ranks(own).cpu()


def own_loss(begun: BegunEpoch, device: torch.device) -> Tensor:
    """Return the sum of this process's losses, a new scalar; rank 0 has all where another number of processes began."""
    if len(begun.losses) == world_size():
        return begun.losses[rank()].clone().to(device)
    total = begun.losses.sum() if rank() == 0 else torch.zeros(())
    return total.to(device)


def skip_batches(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    """Return an epoch's batches without the first ones, which are not loaded where they say so themselves."""
    if count == 0:
        return batches
    return batches.after(count) if isinstance(batches, EpochOfCrops) else islice(batches, count, None)
