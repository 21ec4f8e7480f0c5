"""Opening `data.root`, wherever it is: a folder of this machine as it is, all else as a tree that stands for it."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.remote.mirror import TEXT_SUFFIXES, mirror
from weakseg.data.remote.shard_tree import kept_index, mirror_shards
from weakseg.data.remote.shards import holds_shards, is_shard_folder
from weakseg.files import absolute_path
from weakseg.remote import call_by_url, is_url, names_shards
from weakseg.stores import Store, join_url


@dataclass(frozen=True)
class Place:
    """Where a data set is read from.

    Args:
        root: Its folder on this machine, perhaps one that stands for it.
        index: The index of its shards; None if it has none.
    """

    root: Path
    index: Path | None = None


def lies_elsewhere(root: str) -> bool:
    """Say whether a root is no folder of files on this machine: a URL, or tar shards."""
    if is_url(root):
        return True
    folder = Path(root)
    return is_shard_folder(folder) if folder.is_dir() else names_shards(root)


def open_place(root: str, *, kept: Path | None = None, tick: Callable[[int, int], None] | None = None) -> Place:
    """Make or update the tree that stands for a data set which lies elsewhere.

    Args:
        root: A URL, the pattern of tar shards, or a folder of those.
        kept: An index of shards that was made before; None, or a file that is not there, for none.
        tick: Told of progress: how much is done, of how much.

    Raises:
        DataError: If it cannot be read, or is not what it should be.
        MissingExtra: If a package is not installed.
    """
    if names_shards(root) and (is_url(root) or not Path(root).is_dir()):
        pattern, beside = root if is_url(root) else str(absolute_path(root)), dict[str, str]()
    elif is_url(root):
        found = Store(root).list()
        if not holds_shards(list(found)):
            return _called(root, Place(mirror(root, found)))
        pattern, beside = join_url(root, "*.tar"), _texts({name: join_url(root, name) for name in found})
    else:
        folder = absolute_path(root)
        pattern, beside = (
            str(Path(glob.escape(str(folder))) / "*.tar"),
            _texts({path.name: str(path) for path in folder.iterdir()}),
        )
    return _called(root, Place(mirror_shards(pattern, beside, kept=kept, tick=tick), kept_index(pattern)))


def _called(root: str, place: Place) -> Place:
    """Have messages name the tree by what it stands for."""
    call_by_url(place.root, root.rstrip("/"))
    return place


def _texts(places: Mapping[str, str]) -> dict[str, str]:
    return {name: place for name, place in places.items() if name.lower().endswith(TEXT_SUFFIXES) and "/" not in name}
