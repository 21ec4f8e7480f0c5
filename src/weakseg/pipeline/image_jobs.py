"""What stages do to single images, told so that any process on any machine can do it, and the engines that do.

A job is the same whoever works it off: the file of an image depends on that image, the run's files and the recipe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch

from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.errors import WeaksegError
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import Images, Reading, list_images, work_on
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.turns import open_turns
from weakseg.train.distributed import rank, sum_over_ranks, wait_for_all, world_size
from weakseg.types import Sample

ImageWork = Callable[[Sample, ShrunkImage], str | None]
"""Writes the files of an image; may return a word for what came of it, which is counted."""

Answer = TypeVar("Answer")
"""What somebody wants to know of an image; it travels between processes."""


def say_nothing(outcomes: Counter[str]) -> str:
    """Stand for the note of jobs that have none."""
    return ""


@dataclass(frozen=True)
class ImageJob:
    """Something that is done to each of some images. Its functions are those of modules, since it travels.

    Args:
        name: One word, the same in every process: `seeds`.
        stage: The stage that does it: `localize`.
        label: What is being done, for the progress: `localizing`.
        output: Names a file of an image that is missing as long as the image is not done.
        open: Lends what works on images; called in each process that does.
        reading: What is decoded of an image.
        side_by_side: Whether a process works on several images at once, see `run_side_by_side`.
        threads: On how many; as many as torch has threads when None.
        prepare: Makes what all images need, such as prototypes, if it is not there; called once before images are
            handed out to other processes. `open` makes it, too.
        note: Puts the counted outcomes into words, which stand behind the label.
        few: Whether these are so few images that they are not handed out in parts.
        again: Words that make here what parts have not made, for messages; those of `weakseg run` when None.
    """

    name: str
    stage: str
    label: str
    output: Callable[[Context, str], Path]
    open: Callable[[Context], AbstractContextManager[ImageWork]]
    reading: Reading = "copy"
    side_by_side: bool = False
    threads: int | None = None
    prepare: Callable[[Context], None] | None = None
    note: Callable[[Counter[str]], str] = say_nothing
    few: bool = False
    again: str | None = None

    def is_pending(self, context: Context, sample: Sample) -> bool:
        """Say whether an image is still to be worked on."""
        return not self.output(context, sample.id).exists()

    def work_in_turn(self, context: Context, images: Images, turns: Iterable[int]) -> Iterator[tuple[int, str | None]]:
        """Work on the images whose turn it is in this process; yields place and outcome of each that is done."""
        with self.open(context) as work:
            yield from work_on(
                context, images, turns, work, reading=self.reading, side_by_side=self.side_by_side, threads=self.threads
            )


@dataclass(frozen=True)
class Question(Generic[Answer]):
    """Something that is wanted to know of each of some images, and written nowhere. Its functions travel, too.

    Args:
        label: What is being done, for the progress: `judging the masks`.
        open: Lends what answers; called in each process that does.
    """

    label: str
    open: Callable[[Context], AbstractContextManager[Callable[[Sample], Answer]]]

    def work_in_turn(self, context: Context, images: Images, turns: Iterable[int]) -> Iterator[tuple[int, Answer]]:
        """Ask of the images whose turn it is in this process; yields place and answer of each."""
        with self.open(context) as ask:
            for place in turns:
                yield place, ask(images[place][1])


class Engine(Protocol):
    """Sees to it that a job's images are worked on: here, in other processes, or on other machines."""

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """Work on every image that is not done; returns when all are.

        Args:
            context: The run. All files that the job reads are there.
            job: What is to be done.
            datasets: The images.
        """
        ...

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """Ask of every image; under `torchrun` each process gets the answers of its share alone.

        Args:
            context: The run.
            question: What is wanted to know.
            datasets: The images.

        Returns:
            Answers by the places of the images, as `list_images` has them.
        """
        ...

    def close(self) -> None:
        """End what it has started; it is not used again."""
        ...


class OneProcess:
    """This process, or those of `torchrun` together: each works on the images whose turn it is."""

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """See `Engine`."""
        images = list_images(datasets)
        self._work_once(context, job, images)
        # Should the processes' counts ever be wrong, as when others join, nobody would have had some images.
        before = len(images) + 1
        while world_size() > 1 and (left := _count_left(context, job, images)):
            if left == before:
                raise WeaksegError(f"{left} images have no file though they were worked on ({job.label})")
            self._work_once(context, job, images)
            before = left

    def _work_once(self, context: Context, job: ImageJob, images: Images) -> None:
        outcomes: Counter[str] = Counter()
        turns = open_turns(len(images), is_pending=lambda place: job.is_pending(context, images[place][1]))
        with show_progress(job.label, note=lambda: job.note(outcomes)) as tick:
            for place, outcome in job.work_in_turn(context, images, turns):
                outcomes.update([] if outcome is None else [outcome])
                tick(*turns.finish(place, outcome))

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """See `Engine`."""
        images = list_images(datasets)
        mine = range(rank(), len(images), world_size())
        answers: dict[int, Answer] = {}
        with show_progress(question.label) as tick:
            for place, answer in question.work_in_turn(context, images, mine):
                answers[place] = answer
                tick(len(answers), len(mine))
        return answers

    def close(self) -> None:
        """Nothing was started."""


def _count_left(context: Context, job: ImageJob, images: Images) -> int:
    """Return how many images rank 0 sees that are not done, once all processes have done theirs."""
    wait_for_all()
    left = sum(job.is_pending(context, sample) for _, sample in images) if rank() == 0 else 0
    return int(sum_over_ranks(torch.tensor([left], device=context.device)))


def run_job(context: Context, job: ImageJob, datasets: Sequence[Dataset]) -> None:
    """Have the run's engine work on every image that is not done."""
    (context.engine or OneProcess()).work_off(context, job, datasets)


def ask_images(context: Context, question: Question[Answer], datasets: Sequence[Dataset]) -> dict[int, Answer]:
    """Have the run's engine ask of every image, see `Engine.ask`."""
    return (context.engine or OneProcess()).ask(context, question, datasets)
