"""One part of a stage tried and turned into the cost of all of it: a training, or work on one image after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from weakseg.data.crops import order_batches
from weakseg.estimate.costs import PartCost, StepTimes, scale_memory
from weakseg.estimate.measure import time_images, time_training
from weakseg.estimate.memory import read_gpu_peak, read_peak, start_peak
from weakseg.estimate.trial import Trial
from weakseg.pipeline.context import Context
from weakseg.train.plan import TrainingHooks

MIN_SHARE = 1e-6
"""Parts that need no time have no share."""

ImageWork = Callable[[Sequence[str], int | None], object]
"""Does something for images whose ids are given, limited to a longer side if one is given."""


@dataclass(frozen=True)
class Part:
    """A part of a stage that can be tried.

    Args:
        stage: The stage.
        what: What is done, in a few words.
        share: How much of the time there is it gets, relative to other parts.
        run: Tries it until the clock `time.monotonic` shows the given second.
    """

    stage: str
    what: str
    share: float
    run: Callable[[Trial, float], PartCost]


def training_part(
    stage: str,
    name: str,
    build: Callable[[Trial], nn.Module],
    fit: Callable[[Context, nn.Module, int, TrainingHooks], object],
    *,
    images: int,
    epochs: int,
    batch: int,
    accumulate: int = 1,
    share: float = 4.0,
) -> Part:
    """Return a part that trains a network.

    Args:
        stage: The stage.
        name: Name of the network, for people.
        build: Builds it.
        fit: Trains it on the training split with batches of the given size.
        images: Images of an epoch.
        epochs: Number of epochs.
        batch: Images of a step.
        accumulate: In how many parts a batch passes through the network.
        share: See `Part`.
    """
    batch = min(batch, images)
    steps = len(order_batches(images, batch_size=batch, seed=0, epoch=0))
    what = f"{name}: {epochs} x {steps} steps of {batch} images"

    def run(trial: Trial, deadline_s: float) -> PartCost:
        device = trial.context.device
        network = build(trial)
        before = start_peak(device)
        times = time_training(
            lambda count, size, hooks: fit(trial.learning(count), network, size, hooks),
            images=images,
            batch=batch,
            deadline_s=deadline_s,
            synchronise=lambda: _synchronise(device),
        )
        at_once = -(-batch // accumulate)
        tried_at_once = at_once if times.batch == batch else times.batch
        # Beside activations, which grow with the batch, there are gradients and, for most optimisers, momenta.
        fixed = 2 * sum(value.numel() * value.element_size() for value in network.parameters())
        memory = scale_memory(before, read_peak(), fixed=fixed, factor=at_once / tried_at_once)
        time_s = times.whole(epochs=epochs, steps=steps, batch=batch, images=images)
        return PartCost(stage, what, time_s, memory, read_gpu_peak(device), _describe_steps(times, batch))

    return Part(stage, what, share, run)


def image_part(
    stage: str,
    what: str,
    work: Callable[[Trial], ImageWork],
    *,
    images: int,
    told: int | None = None,
    share: float = 1.0,
    shrinks: bool = True,
    repeats: int = 1,
    memory: bool = True,
) -> Part:
    """Return a part that works on images one by one.

    Args:
        stage: The stage.
        what: What is done.
        work: Makes ready and returns what does it.
        images: For how many images it is done.
        told: The number that people are told, where `images` counts some of them several times.
        share: See `Part`.
        shrinks: Whether an image's time grows with its pixels, so that small copies tell it.
        repeats: How often it is done for all of them.
        memory: Whether its memory is worth telling.
    """
    what = f"{what}: {'' if repeats == 1 else f'{repeats} x '}{images if told is None else told} images"

    def run(trial: Trial, deadline_s: float) -> PartCost:
        device = trial.context.device
        do = work(trial)
        before = start_peak(device)
        times = time_images(
            do,
            trial.pool,
            count_pixels=trial.mean_pixels,
            sides_px=trial.sides_px() if shrinks else (None,),
            deadline_s=deadline_s,
        )
        peak = scale_memory(before, read_peak(), fixed=0, factor=trial.largest_pixels() / times.pixels)
        time_s = repeats * times.whole(images=images, pixels=trial.mean_pixels())
        note = f"tried on {times.images}" + (", made smaller" if times.shrunk else "")
        return PartCost(stage, what, time_s, peak if memory else None, read_gpu_peak(device), note)

    return Part(stage, what, share, run)


def try_parts(trial: Trial, parts: Sequence[Part], *, deadline_s: float, done: Callable[[PartCost], object]) -> None:
    """Try parts one after the other; each gets its share of the time that is left.

    Args:
        trial: What to try them with.
        parts: The parts.
        deadline_s: When to be done, on the clock `time.monotonic`.
        done: Receives each part's cost as soon as it is known; a part that failed has none, and says why.
    """
    for place, part in enumerate(parts):
        now_s = time.monotonic()
        left = sum(other.share for other in parts[place:])
        until_s = now_s + max(0.0, deadline_s - now_s) * part.share / max(left, MIN_SHARE)
        try:
            cost = part.run(trial, until_s)
        except Exception as error:  # whatever it is, the stages after it can still be tried
            reason = " ".join(str(error).split()) or type(error).__name__
            cost = PartCost(part.stage, part.what, None, note=f"could not be tried: {reason}")
        done(cost)


def _describe_steps(times: StepTimes, batch: int) -> str:
    steps = f"tried {times.steps} step{'s' * (times.steps > 1)}"
    return steps if times.batch == batch else f"{steps} of {times.batch} images"


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
