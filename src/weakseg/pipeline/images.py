"""The images a per-image stage works on, decoded ahead, shared out over processes, and skipped where it is done.

Image i goes to process i modulo their number, and an image whose file exists is skipped, which is all that resuming
takes, since every file is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.data.loaders import iterate_images, iterate_shrunk
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.side_by_side import LARGE_PX, run_side_by_side
from weakseg.train.distributed import rank, world_size
from weakseg.types import Sample


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
    work = _find_pending(datasets, output)
    total = sum(len(samples) for _, samples in work)
    done = 0
    with show_progress(label, note=note) as tick:
        for dataset, samples in work:
            for held, images in iterate_images(dataset, samples, workers=context.config.runtime.workers):
                yield held[0], images[0]
                done += 1
                tick(done, total)


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
    pending = _find_pending(datasets, output)
    total = sum(len(samples) for _, samples in pending)
    threads = torch.get_num_threads() if side_by_side else 1
    done = 0
    with show_progress(label, note=note) as tick:
        for dataset, samples in pending:
            images = iterate_shrunk(
                dataset,
                samples,
                max_side_px=context.config.data.max_side_px,
                workers=context.config.runtime.workers,
            )
            for _ in run_side_by_side(lambda item: work(*item), images, threads=threads, is_large=is_large):
                done += 1
                tick(done, total)


def is_large(item: tuple[Sample, ShrunkImage]) -> bool:
    """Say whether an image is worked on alone."""
    return item[1].pixels[..., 0].size > LARGE_PX


def _find_pending(datasets: Sequence[Dataset], output: Callable[[str], Path]) -> list[tuple[Dataset, list[Sample]]]:
    """Return this process's samples of each dataset whose output file is missing."""
    return [
        (dataset, [sample for sample in dataset.samples[rank() :: world_size()] if not output(sample.id).exists()])
        for dataset in datasets
    ]
