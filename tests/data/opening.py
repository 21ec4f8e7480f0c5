"""Opens folders of images as tests do, and says what the data set shows."""

from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.folder import FolderReading, open_folder


def open_split(
    root: Path,
    split: str,
    *,
    tags: Path | None = None,
    val_fraction: float = 0.0,
    reading: FolderReading | None = None,
) -> Dataset:
    return open_folder(root, split=split, tags=tags, val_fraction=val_fraction, reading=reading or FolderReading())


def open_all(root: Path, *, tags: Path | None = None, reading: FolderReading | None = None) -> Dataset:
    return open_split(root, "all", tags=tags, reading=reading)


def tag_lists(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id: dataset.classes.decode(sample.tags) for sample in dataset}


def shown_by(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Like `tag_lists`, by the names of the files alone."""
    return {sample.id.rpartition("/")[2]: dataset.classes.decode(sample.tags) for sample in dataset}


def problems_of(dataset: Dataset, kind: str) -> list[str]:
    return [problem.message for problem in dataset.problems if problem.kind == kind]
