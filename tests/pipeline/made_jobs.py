"""A job for the tests of engines: an image's file holds its size, and some images do something to their process first.

Its functions are those of a module, since they travel to other processes.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from weakseg.data.images import ShrunkImage
from weakseg.errors import DataError
from weakseg.files import write_text
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, ImageWork, Question
from weakseg.types import Sample


def output(context: Context, sample_id: str) -> Path:
    return context.folder.root / "sizes" / f"{sample_id}.txt"


def prepare(context: Context) -> None:
    write_text(context.folder.root / "prepared", "")


def note(outcomes: Counter[str]) -> str:
    return f" {sorted(outcomes.items())}"


@contextmanager
def open_sizes(context: Context) -> Iterator[ImageWork]:
    assert (context.folder.root / "prepared").exists()

    def work(sample: Sample, image: ShrunkImage) -> str:
        heed(context.folder.root / "deeds", sample.id)
        height, width = image.size_hw
        write_text(output(context, sample.id), f"{sample.id}: {height} x {width}, red {image.pixels[0, 0, 0]}")
        return "tall" if height > width else "wide"

    yield work


def heed(deeds: Path, sample_id: str) -> None:
    """Do what the file `deeds/<id>` says; `once` is removed before."""
    path = deeds / sample_id
    if not path.exists():
        return
    deed = path.read_text()
    if deed == "damaged":
        raise DataError(f"image '{sample_id}' is damaged")
    if deed == "odd":
        raise OddError(1, 2)
    if deed == "once":
        path.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


class OddError(Exception):
    """Cannot be rebuilt from what it is packed as."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"odd {first} {second}")


@contextmanager
def open_badly(context: Context) -> Iterator[ImageWork]:
    os.kill(os.getpid(), signal.SIGKILL)
    yield lambda sample, image: None


SIZES = ImageJob(
    name="sizes",
    stage="localize",
    label="measuring",
    output=output,
    open=open_sizes,
    prepare=prepare,
    note=note,
)
BAD = replace(SIZES, open=open_badly)


@contextmanager
def open_names(context: Context) -> Iterator[Callable[[Sample], tuple[str, int]]]:
    def name(sample: Sample) -> tuple[str, int]:
        heed(context.folder.root / "deeds", sample.id)
        return sample.id, os.getpid()

    yield name


NAMES = Question("naming", open_names)
