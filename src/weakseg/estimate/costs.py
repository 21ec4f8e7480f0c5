"""What the parts of a stage cost, and how a few measured steps or images become the cost of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StepTimes:
    """What some steps of a training on some images took.

    Args:
        first_s: Seconds until the first batch of all is there: images may be decoded here once and for all.
        start_s: Seconds until a later epoch's first batch is there.
        step_s: Seconds of a step, with the wait for its batch.
        batch: Images of a measured step.
        steps: Number of measured steps.
        images: Number of training images.
    """

    first_s: float
    start_s: float
    step_s: float
    batch: int
    steps: int
    images: int

    def whole(self, *, epochs: int, steps: int, batch: int, images: int) -> float:
        """Return the seconds of a training of so many epochs and steps per epoch, each of `batch` images.

        The time of a step grows with its images, and what is done once for all images with their number.
        """
        once_s = max(0.0, self.first_s - self.start_s) * images / self.images
        return once_s + epochs * (self.start_s + steps * self.step_s * batch / self.batch)


@dataclass(frozen=True)
class ImageTimes:
    """What some images took that are worked on one by one.

    Args:
        start_s: Seconds before the first one.
        image_s: Seconds of an image, as large as it was.
        pixels: Mean number of pixels of the measured images.
        images: Number of measured images.
        shrunk: Whether they were smaller than they will be.
    """

    start_s: float
    image_s: float
    pixels: float
    images: int
    shrunk: bool

    def whole(self, *, images: int, pixels: float) -> float:
        """Return the seconds of so many images with `pixels` pixels in the mean; an image's time grows with them."""
        return self.start_s + images * self.image_s * pixels / self.pixels if images else 0.0


def scale_memory(before: int, peak: int, *, fixed: int, factor: float) -> int:
    """Return the memory in bytes of something `factor` times as large as what was tried.

    Args:
        before: Memory of the process before the trial.
        peak: The most it had during it.
        fixed: Share of the growth that does not depend on the size, such as gradients.
        factor: How much larger the whole is; below 1 counts as 1.
    """
    growth = max(0, peak - before)
    kept = min(fixed, growth)
    return before + kept + round((growth - kept) * max(1.0, factor))


@dataclass(frozen=True)
class PartCost:
    """The cost of one part of a stage.

    Args:
        stage: Name of the stage.
        what: What is done, how often.
        time_s: How long that takes; None if it could not be tried.
        memory_bytes: The most memory the process needs for it, GPU's left out; None if not known.
        gpu_bytes: The same on the GPU; None without one.
        note: What was measured, or why nothing was.
    """

    stage: str
    what: str
    time_s: float | None
    memory_bytes: int | None = None
    gpu_bytes: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a recipe will cost.

    Args:
        parts: Costs in the order of the stages.
        device: What was measured on, in words.
        took_s: Seconds the trials took.
        workers: Processes that decode images beside the one whose memory is told.
        missing: Names of stages that were not come to.
        stopped: Why the trials ended early; empty if they did not.
    """

    parts: tuple[PartCost, ...]
    device: str
    took_s: float
    workers: int
    missing: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that were tried, in order."""
        return tuple(dict.fromkeys(part.stage for part in self.parts))

    @property
    def complete(self) -> bool:
        """Whether every part has a time."""
        return not self.missing and all(part.time_s is not None for part in self.parts)

    def of(self, stage: str) -> tuple[PartCost, ...]:
        """Return the parts of a stage."""
        return tuple(part for part in self.parts if part.stage == stage)


def total_time(parts: Sequence[PartCost]) -> float:
    """Add up the seconds of parts, those without a time left out."""
    return sum(part.time_s for part in parts if part.time_s is not None)


def most_memory(parts: Sequence[PartCost]) -> int | None:
    """Return the largest memory of parts in bytes; None if no part's is known."""
    return max((part.memory_bytes for part in parts if part.memory_bytes is not None), default=None)


def most_gpu_memory(parts: Sequence[PartCost]) -> int | None:
    """Return the largest memory of parts on the GPU in bytes; None without one."""
    return max((part.gpu_bytes for part in parts if part.gpu_bytes is not None), default=None)
