"""Measuring within a given time: steps of a training that is broken off, and images that are worked on one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from weakseg.tasks.estimate.costs import ImageTimes, StepTimes
from weakseg.train.loop import TrainingDiverged
from weakseg.train.plan import TrainingHooks

Clock = Callable[[], float]

SMALL_BATCH = 2
"""Images of the first steps, which tell whether there is time for whole ones; batch norm needs two."""

SMALL_STEPS, WHOLE_STEPS = 3, 8
"""The first of them, during which much is set up, does not count."""

SAFETY = 1.3
"""Something is only begun if this many times its expected duration is left."""

MAX_ROUNDS = 3
"""So often more images are tried, since the first ones seem slower than they are."""

WORTH_AGAIN_S = 2.0
"""An image that took less is tried a second time even if there is no time left."""

MIN_S = 1e-6
"""Nothing takes less."""

MANY_IMAGES = 4
"""From so many images in one go, what comes before the first is worth measuring by itself."""


class _EnoughSteps(Exception):
    """Breaks off a training."""


@dataclass
class _StepWatch:
    """Notes when steps begin and end, and breaks off the training in time: after one step if that took very long."""

    clock: Clock
    deadline_s: float
    hard_deadline_s: float
    max_steps: int
    begun_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)

    def before_module(self, module: nn.Module, arguments: object) -> None:
        """Note the first module of a step to be called: its batch is there."""
        if len(self.begun_s) == len(self.ended_s):
            self.begun_s.append(self.clock())

    def tick(self, done: int, total: int) -> None:
        """Note the end of a step."""
        now_s = self.clock()
        if len(self.begun_s) == len(self.ended_s):
            self.begun_s.append(now_s)
        self.ended_s.append(now_s)
        steps = len(self.ended_s)
        if steps >= self.max_steps or now_s > self.hard_deadline_s:
            raise _EnoughSteps
        # The first step says little: much is set up in it.
        if steps > 1 and now_s + self.ended_s[-1] - self.ended_s[-2] > self.deadline_s:
            raise _EnoughSteps

    def times(self, started_s: float, *, batch: int, epoch_steps: int) -> StepTimes | None:
        """Return what was measured; None without a whole step."""
        steps = len(self.ended_s)
        if steps == 0:
            return None
        counted = range(1, steps) if steps > 1 else range(1)
        work_s = [self.ended_s[step] - self.begun_s[step] for step in counted]
        # An epoch's first step waits for its workers to start, which `start_s` stands for.
        waits_s = [self.begun_s[step] - self.ended_s[step - 1] for step in range(1, steps) if step % epoch_steps]
        wait_s = sum(waits_s) / len(waits_s) if waits_s else 0.0
        return StepTimes(self.begun_s[0] - started_s, sum(work_s) / len(work_s) + wait_s, batch, len(work_s))


def time_training(
    fit: Callable[[int, TrainingHooks], object],
    *,
    images: int,
    batch: int,
    deadline_s: float,
    synchronise: Callable[[], None] = lambda: None,
    clock: Clock = time.monotonic,
) -> StepTimes:
    """Measure some steps of a training: of two images each, then whole ones if there is time.

    Args:
        fit: Trains with batches of the given size and the given hooks.
        images: Number of training images.
        batch: Images of a whole step.
        deadline_s: When to be done, as the clock has it.
        synchronise: Waits until the device has done what it was given.
        clock: Returns seconds.

    Raises:
        RuntimeError: If the training ends before it has made a step.
        Exception: What `fit` raises.
    """

    def run(size: int, steps: int, until_s: float) -> StepTimes:
        watch = _StepWatch(clock, until_s, deadline_s, steps)

        def tick(done: int, total: int) -> None:
            synchronise()
            watch.tick(done, total)

        handle = register_module_forward_pre_hook(watch.before_module)
        started_s = clock()
        try:
            fit(size, TrainingHooks(tick=tick))
        except (_EnoughSteps, TrainingDiverged):
            pass
        finally:
            handle.remove()
        times = watch.times(started_s, batch=size, epoch_steps=max(1, images // size))
        if times is None:
            raise RuntimeError("the training made no step")
        return times

    small = min(SMALL_BATCH, batch)
    now_s = clock()
    times = run(small, SMALL_STEPS if batch > small else WHOLE_STEPS, (now_s + deadline_s) / 2)
    expected_s = times.start_s + 2 * times.step_s * batch / small
    if batch > small and clock() + SAFETY * expected_s < deadline_s:
        times = run(batch, WHOLE_STEPS, deadline_s)
    return times


def time_images(
    work: Callable[[Sequence[str], int | None], object],
    pool: Sequence[str],
    *,
    count_pixels: Callable[[Sequence[str], int | None], float],
    sides_px: Sequence[int | None],
    deadline_s: float,
    clock: Clock = time.monotonic,
) -> ImageTimes:
    """Measure what images take that are worked on one by one: one that is made small first, then more and larger ones.

    Args:
        work: Does it all for images of the pool, shrunk to a longer side if one is given.
        pool: Ids of images to try it on, at least one.
        count_pixels: Returns the mean number of pixels of images at a longer side.
        sides_px: Longer sides from the smallest on; the last, None, for images as they are.
        deadline_s: When to be done, as the clock has it.
        clock: Returns seconds.
    """

    def run(ids: Sequence[str], side_px: int | None) -> float:
        started_s = clock()
        work(ids, side_px)
        return clock() - started_s

    first = pool[:1]
    side_px, spent_s = sides_px[0], run(first, sides_px[0])
    for larger_px in sides_px[1:]:
        factor = count_pixels(first, larger_px) / count_pixels(first, side_px)
        if clock() + SAFETY * factor * spent_s > deadline_s:
            break
        side_px, spent_s = larger_px, run(first, larger_px)
    rest = pool[1:] or first
    ids, image_s, start_s = first, spent_s, 0.0
    for _ in range(MAX_ROUNDS):
        number = min(len(rest), int((deadline_s - clock()) / (SAFETY * max(image_s, MIN_S))))
        if ids is first and image_s < WORTH_AGAIN_S:
            number = max(1, number)  # the first image paid for what is set up once in a process
        if number == 0 or (ids is not first and number < 2 * len(ids)):
            break
        ids = rest[:number]
        together_s = run(ids, side_px)
        image_s = together_s / number
    if len(ids) >= MANY_IMAGES:
        alone_s = run(ids[:1], side_px)
        image_s = max((together_s - alone_s) / (len(ids) - 1), image_s / 2)
        start_s = max(0.0, alone_s - image_s)
    return ImageTimes(start_s, image_s, count_pixels(ids, side_px), len(ids), shrunk=side_px != sides_px[-1])
