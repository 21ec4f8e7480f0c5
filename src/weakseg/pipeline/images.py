"""The images a per-image stage works on: decoded ahead, handed out to processes, and skipped where they are done.

An image whose file exists is skipped, which is all that resuming takes, since every file is written whole or not at
all. `weakseg.pipeline.turns` says which process works on which image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.data.whole_images import iterate_places
from weakseg.pipeline.context import Context
from weakseg.pipeline.side_by_side import LARGE_PX, run_side_by_side
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.turns import open_turns
from weakseg.types import Sample

Reading = Literal["copy", "whole", "nothing"]
"""What is decoded of an image: a copy of at most `data.max_side_px`, all of its pixels, or nothing."""

Images = Sequence[tuple[Dataset, Sample]]
"""Images in the order of their places, each with its dataset."""

NO_IMAGE = ShrunkImage(np.zeros((0, 0, 3), np.uint8), (0, 0))
"""Stands for an image that is not read."""

Outcome = TypeVar("Outcome")


def seeded_datasets(context: Context) -> list[Dataset]:
    """Return the splits that get seeds and masks, or those of their images that do (`Context.only`).

    Images that both splits hold are taken from the first; an image of which no tag is known gets none.
    """
    datasets, only = whole_datasets(context), context.only
    return datasets if only is None else [dataset.keep(only) for dataset in datasets]


def learning_images(context: Context) -> Dataset:
    """Return the training images from whose seeds a refiner learns: all but those that `Context.only` leaves out."""
    return context.train if context.only is None else context.train.keep(context.only)


def whole_datasets(context: Context) -> list[Dataset]:
    """Return the same as `seeded_datasets`, whatever `Context.only` says: an image's place in them draws for it."""
    chosen = {"train": context.train, "val": context.val}
    datasets: list[Dataset] = []
    seen: set[str] = set()
    for name in context.config.localize.splits:
        dataset = chosen[name]
        if dataset is not None:
            fresh = dataset.keep(sample.id for sample in dataset if sample.id not in seen and sample.known.any())
            seen.update(sample.id for sample in fresh)
            datasets.append(fresh)
    return datasets


def first_missing(files: Sequence[Path]) -> Path:
    """Return the first of an image's files that is not there, else the last: the output of `iterate_pending`."""
    return next((path for path in files if not path.exists()), files[-1])


def list_images(datasets: Sequence[Dataset]) -> Images:
    """Return the images of datasets, one dataset after another."""
    return [(dataset, sample) for dataset in datasets for sample in dataset]


def iterate_pending(
    context: Context,
    datasets: Sequence[Dataset],
    output: Callable[[str], Path],
    *,
    label: str,
    note: Callable[[], str] = str,
) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Decode the images of this process whose output file is still missing, and show progress.

    Args:
        context: Says how many workers decode.
        datasets: Which images.
        output: Names the file an image's result is written to; an existing one is left as it is.
        label: What is being done.
        note: See `show_progress`.

    Yields:
        Sample and image (H, W, 3) uint8.
    """
    images = list_images(datasets)
    with show_progress(label, note=note) as tick:
        turns = open_turns(len(images), is_pending=lambda place: not output(images[place][1].id).exists())
        for place, image in read_images(context, images, turns, reading="whole"):
            yield images[place][1], image.pixels
            tick(*turns.finish(place, None))


def process_pending(
    context: Context,
    datasets: Sequence[Dataset],
    output: Callable[[str], Path],
    work: Callable[[Sample, ShrunkImage], None],
    *,
    label: str,
    side_by_side: bool,
    note: Callable[[], str] = str,
) -> None:
    """Work on the images of this process whose output file is still missing, as networks see them; show progress.

    Args:
        context: Says how many workers decode, and how large images may be (`data.max_side_px`).
        datasets: Which images.
        output: Names the file an image's result is written to; an existing one is left as it is.
        work: Writes it. With `side_by_side` called from threads.
        label: What is being done.
        side_by_side: Work on several images at once, as many as torch has threads, see `run_side_by_side`.
        note: See `show_progress`.
    """
    images = list_images(datasets)
    with show_progress(label, note=note) as tick:
        turns = open_turns(len(images), is_pending=lambda place: not output(images[place][1].id).exists())
        for place, _ in work_on(context, images, turns, work, reading="copy", side_by_side=side_by_side):
            tick(*turns.finish(place, None))


def work_on(
    context: Context,
    images: Images,
    order: Iterable[int],
    work: Callable[[Sample, ShrunkImage], Outcome],
    *,
    reading: Reading,
    side_by_side: bool,
    threads: int | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Work on images in this process.

    Args:
        context: See `process_pending`.
        images: All that may be worked on.
        order: Places of those that are; each is asked for when it is wanted.
        work: Called with each image, with `side_by_side` from threads.
        reading: What it gets of the image.
        side_by_side: See `process_pending`.
        threads: Images at once, with `side_by_side`; as many as torch has threads when None.

    Yields:
        Place, and what `work` returned.
    """
    at_once = (threads or torch.get_num_threads()) if side_by_side else 1

    def apply(item: tuple[int, ShrunkImage]) -> tuple[int, Outcome]:
        place, image = item
        return place, work(images[place][1], image)

    items = read_images(context, images, order, reading=reading)
    yield from run_side_by_side(apply, items, threads=at_once, is_large=lambda item: has_many_pixels(item[1]))


def read_images(
    context: Context, images: Images, order: Iterable[int], *, reading: Reading
) -> Iterator[tuple[int, ShrunkImage]]:
    """Decode images ahead, see `work_on`; nothing at all where nothing is wanted of them.

    Yields:
        Place and image.
    """
    if reading == "nothing":
        yield from ((place, NO_IMAGE) for place in order)
        return
    max_side_px = context.config.data.max_side_px if reading == "copy" else None
    yield from iterate_places(images, order, max_side_px=max_side_px, workers=context.config.runtime.workers)


def is_large(item: tuple[Sample, ShrunkImage]) -> bool:
    """Say whether an image is worked on alone."""
    return has_many_pixels(item[1])


def has_many_pixels(image: ShrunkImage) -> bool:
    """Say the same of an image without its sample."""
    return image.pixels[..., 0].size > LARGE_PX
