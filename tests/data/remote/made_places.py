"""A folder of photographs in memory as if it lay elsewhere, opened as a run opens it."""

from pathlib import Path

from tests.elsewhere import put, read_below
from weakseg.data.base import Dataset
from weakseg.data.folder import open_folder
from weakseg.data.remote.places import open_place

BUCKET = "memory://bucket/photos"


def open_at(root: str, tmp_path: Path) -> Path:
    return open_place(root, kept=tmp_path / "run" / "shards.json").root


def open_whole(root: Path) -> Dataset:
    return open_folder(root, split="all", tags=None, val_fraction=0.0)


def in_memory(photos: Path) -> str:
    return put(read_below(photos))
