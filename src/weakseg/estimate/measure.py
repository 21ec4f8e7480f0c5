"""Measuring within a given time: steps of a training that is broken off, and images that are worked on one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from weakseg.estimate.costs import ImageTimes, StepTimes
from weakseg.train.loop import TrainingDiverged
from weakseg.train.plan import TrainingHooks

Clock = Callable[[], float]

SMALL_BATCH = 2
"""Images of the first steps, which tell whether there is time for whole ones; batch norm needs two."""

EPOCH_STEPS = 3
"""Epochs are made as short as this, so that some begin while it is measured."""

SMALL_STEPS, WHOLE_STEPS = 3, 8
"""The first of them, during which much is set up, does not count."""

SAFETY = 1.3
"""Something is only begun if this many times its expected duration is left."""

MAX_ROUNDS = 3
"""So often more images are tried, since the first ones seem slower than they are."""

WORTH_AGAIN_S = 2.0
"""An image that took less is tried a second time even if there is little time."""

MIN_S = 1e-6
"""Nothing takes less."""


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
        # Before an epoch's first step workers start; that is no part of a step.
        waits_s: dict[bool, list[float]] = {True: [], False: []}
        for step in range(1, steps):
            waits_s[step % epoch_steps == 0].append(self.begun_s[step] - self.ended_s[step - 1])
        first_s = self.begun_s[0] - started_s
        return StepTimes(
            first_s=first_s,
            start_s=_mean(waits_s[True], first_s),
            step_s=_mean(work_s, 0.0) + _mean(waits_s[False], 0.0),
            batch=batch,
            steps=len(work_s),
            images=batch * epoch_steps,
        )


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def time_training(
    fit: Callable[[int, int, TrainingHooks], object],
    *,
    images: int,
    batch: int,
    deadline_s: float,
    synchronise: Callable[[], None] = lambda: None,
    clock: Clock = time.monotonic,
) -> StepTimes:
    """Measure some steps of a training: of two images each, then whole ones if there is time.

    Args:
        fit: Trains on so many images, with batches of the size that follows and with the given hooks.
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
        epoch_steps = max(1, min(EPOCH_STEPS, images // size))

        def tick(done: int, total: int) -> None:
            synchronise()
            watch.tick(done, total)

        handle = register_module_forward_pre_hook(watch.before_module)
        started_s = clock()
        try:
            fit(epoch_steps * size, size, TrainingHooks(tick=tick))
        except (_EnoughSteps, TrainingDiverged):
            pass
        finally:
            handle.remove()
        times = watch.times(started_s, batch=size, epoch_steps=epoch_steps)
        if times is None:
            raise RuntimeError("the training made no step")
        return times

    small = min(SMALL_BATCH, batch)
    now_s = clock()
    times = run(small, SMALL_STEPS if batch > small else WHOLE_STEPS, (now_s + deadline_s) / 2)
    size = batch
    while size > small and clock() + SAFETY * (times.first_s + 2 * times.step_s * size / small) >= deadline_s:
        size //= 2
    return run(size, WHOLE_STEPS, deadline_s) if size > small else times


def time_images(
    work: Callable[[Sequence[str], int | None], object],
    pool: Sequence[str],
    *,
    count_pixels: Callable[[Sequence[str], int | None], float],
    sides_px: Sequence[int | None],
    deadline_s: float,
    clock: Clock = time.monotonic,
) -> ImageTimes:
    """Measure what images take: one that is made small first, then larger and more ones.

    What a call takes before its first image, such as reading a network's file, is told apart from what each image
    takes, by calls of one image and of several, or of a small one and of a large one.

    Args:
        work: Does it all for images of the pool, shrunk to a longer side if one is given.
        pool: Ids of images to try it on, at least one.
        count_pixels: Returns the mean number of pixels of images at a longer side.
        sides_px: Longer sides from the smallest on; the last, None, for images as they are.
        deadline_s: When to be done, as the clock has it.
        clock: Returns seconds.
    """

    def run(ids: Sequence[str], side_px: int | None) -> _Call:
        started_s = clock()
        work(ids, side_px)
        return _Call(len(ids), len(ids) * count_pixels(ids, side_px), clock() - started_s)

    def fits(expected_s: float) -> bool:
        return clock() + SAFETY * expected_s < deadline_s

    one, side_px = pool[:1], sides_px[0]
    call = run(one, side_px)
    if call.time_s < WORTH_AGAIN_S or fits(call.time_s):
        call = run(one, side_px)  # the first time paid for what is set up once in a process
    smaller = None
    for larger_px in reversed(sides_px[1:]):  # the largest for which there is time, if all of a call grew with it
        # Something is set up for every size, so that it takes two calls to know one.
        if fits(2 * call.time_s * count_pixels(one, larger_px) / call.pixels):
            smaller, side_px = call, larger_px
            call = run(one, side_px)
            if fits(call.time_s):
                call = run(one, side_px)
            break
    least_start_s = call.time_s if smaller is None else min(smaller.time_s, call.time_s)
    for _ in range(MAX_ROUNDS):
        number = min(len(pool), int((deadline_s - clock()) / (SAFETY * max(call.time_s / call.images, MIN_S))))
        if number < 2 * call.images:
            break
        # Images may be worked on side by side, so that several cost less than as many alone.
        number -= number % 2
        smaller, call = call, run(pool[:number], side_px)
    start_s = 0.0 if smaller is None else min(least_start_s, smaller.tell_start(call))
    image_s = (call.time_s - start_s) / call.images
    return ImageTimes(start_s, image_s, call.pixels / call.images, call.images, shrunk=side_px != sides_px[-1])


@dataclass(frozen=True)
class _Call:
    """What a call with some images took; `pixels` are those of all of them."""

    images: int
    pixels: float
    time_s: float

    def tell_start(self, larger: _Call) -> float:
        """Return how much of both calls does not grow with the pixels, at most half of the larger one."""
        pixel_s = (larger.time_s - self.time_s) / (larger.pixels - self.pixels)
        pixel_s = max(pixel_s, larger.time_s / larger.pixels / 2)
        return max(0.0, larger.time_s - larger.pixels * pixel_s)
