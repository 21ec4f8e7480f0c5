"""Opening a finished run to look at its masks; what stands in the way is told in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, DataError
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.lock import hold_folder
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.run_folder import RunFolder
from weakseg.review.desk import Desk, Entry
from weakseg.review.evidence import Tell, is_gathered
from weakseg.review.listing import Order, Part, open_queue
from weakseg.review.ordering import Ordering


@dataclass(frozen=True, eq=False)
class Opened:
    """A run that is open.

    Args:
        desk: Its images.
        ordering: Finds their order once it is started; None if that is known, or not asked for.
    """

    desk: Desk
    ordering: Ordering | None = None


def open_desk(run: Path, *, part: Part = "all", order: Order = "doubt", is_sorted: bool = True) -> Opened:
    """Open a run whose masks are to be looked at, the most doubtful first.

    Where that order rests on what has not been measured yet, which takes minutes, the images come as the data set has
    them, and what orders them is returned as well.

    Args:
        run: The run folder.
        part: Images of `train`, of `val`, or all.
        order: See `weakseg.review.listing.ORDERS`.
        is_sorted: Whether to order the images by doubt; else they stay as the data set has them.

    Raises:
        ArtifactError: If it is no run folder, another process is at work in it, or it has no masks of that part.
        DataError: If its images are no longer where they were.
    """
    read_run_config(run)
    folder = RunFolder(run)
    if not any(folder.masks.rglob("*.png")):
        raise ArtifactError(f"{run} has no masks to look at; make them with 'weakseg refine {run}'")
    with hold_folder(run):  # says who is at work in it; while a person looks, nobody is kept out
        try:
            context = open_run(run)
        except DataError as error:
            raise DataError(
                f"the images of {run} cannot be opened ({error}); put them back, or correct data.root in "
                f"{folder.recipe}"
            ) from None
    entries = _list_unsorted(context, part)
    if not entries:
        raise ArtifactError(
            f"{run} has no masks of images of '{part}' in {context.config.data.root}; leave --split out, or correct "
            f"data.root in {folder.recipe}"
        )

    def find(tell: Tell) -> list[Entry]:
        queue = open_queue(context, part=part, order=order, tell=tell).images
        return [Entry(image.id, image.why, image.missing_tags, image.doubtful_tags) for image in queue]

    desk = Desk(context, entries)
    if not is_sorted:
        return Opened(desk)
    if not is_gathered(context):
        return Opened(desk, Ordering(desk, find))
    desk.reorder(find(lambda _done, _total: None))
    return Opened(desk)


def _list_unsorted(context: Context, part: Part) -> list[Entry]:
    wanted = {"train": context.train, "val": context.val}.get(part)
    return [
        Entry(sample.id)
        for dataset in seeded_datasets(context)
        if part == "all" or _is_same_split(dataset, wanted)
        for sample in dataset
        if context.folder.mask(sample.id).is_file()
    ]


def _is_same_split(dataset: Dataset, wanted: Dataset | None) -> bool:
    return wanted is not None and dataset.split == wanted.split
