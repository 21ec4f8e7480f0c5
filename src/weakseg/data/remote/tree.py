"""The tree of files of this machine that stands for a data set elsewhere, brought up to date each time it is opened."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weakseg.data.remote.kept import write_quickly
from weakseg.data.remote.pointers import Pointer, write_pointer
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import advise_on
from weakseg.remote import digest_of, trees_folder

logger = logging.getLogger("weakseg")

_LISTING = "listing.json"
_LOCK = ".lock"
_SHOWN = 3


@dataclass(frozen=True)
class Leaf:
    """A file of a tree.

    Args:
        state: Text that changes with it.
        pointer: Where its content lies; None if the tree has it.
        modified_s: When it was written.
    """

    state: str
    pointer: Pointer | None = None
    modified_s: int = 0


@dataclass(frozen=True)
class Tree:
    """A tree in the user's cache.

    Args:
        source: What it stands for, as the user wrote it.
        name: Name of its root.
    """

    source: str
    name: str

    @property
    def folder(self) -> Path:
        """Folder of the tree and of what is known of it."""
        return trees_folder() / digest_of(self.source)

    @property
    def root(self) -> Path:
        """The root of the data set."""
        return self.folder / (self.name or "data")

    def update(self, leaves: Mapping[str, Leaf], load: Callable[[list[str]], Iterator[tuple[str, bytes]]]) -> Path:
        """Make the tree hold just these files; those that have not changed are left alone.

        Args:
            leaves: By path below the root, `/` between its parts.
            load: Reads the contents of files that are no pointers, by their paths.

        Returns:
            Its root.

        Raises:
            ArtifactError: If the cache cannot be written.
        """
        try:
            with self.alone():
                self._update(without_odd_names(leaves, self.source), load)
        except OSError as error:
            raise ArtifactError(f"cannot write {self.folder}: {advise_on(error)}; WEAKSEG_CACHE names it") from error
        return self.root

    def _update(self, leaves: Mapping[str, Leaf], load: Callable[[list[str]], Iterator[tuple[str, bytes]]]) -> None:
        known = self._read_listing()
        for name in known.keys() - leaves.keys():
            (self.root / name).unlink(missing_ok=True)
        changed = [name for name, leaf in leaves.items() if known.get(name) != leaf.state]
        if not changed and known.keys() == leaves.keys():
            return
        for parent in {(self.root / name).parent for name in changed} | {self.root}:
            parent.mkdir(parents=True, exist_ok=True)
        texts = []
        for name in changed:
            leaf = leaves[name]
            if leaf.pointer is None:
                texts.append(name)
            else:
                write_pointer(self.root / name, leaf.pointer, modified_s=leaf.modified_s)
        for name, content in load(texts):
            write_quickly(self.root / name, content)
        for parent in sorted({(self.root / name).parent for name in known.keys() - leaves.keys()}, reverse=True):
            _remove_empty(parent, self.root)
        # Last: a tree that was interrupted is gone through again.
        states = {name: leaf.state for name, leaf in leaves.items()}
        write_quickly(self.folder / _LISTING, json.dumps({"source": self.source, "files": states}).encode())

    def _read_listing(self) -> dict[str, str]:
        try:
            return dict(decode_json((self.folder / _LISTING).read_bytes())["files"])
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(self.root, ignore_errors=True)  # nothing is known of it
            return {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of this machine from changing the tree meanwhile; they wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("a") as file:
            if sys.platform != "win32":
                import fcntl

                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone
            return
        folder = folder.parent


def without_odd_names(leaves: Mapping[str, Leaf], source: str) -> dict[str, Leaf]:
    """Leave out, and say so, what no file system can hold: empty names, steps up, a file where a folder is."""
    folders = {str(parent) for name in leaves for parent in PurePosixPath(name).parents}
    odd = [name for name in leaves if name in folders or not is_plain(name)]
    if odd:
        logger.warning(
            "%s: %d names cannot be those of files: %s%s; they are left out",
            source,
            len(odd),
            ", ".join(odd[:_SHOWN]),
            ", ..." if len(odd) > _SHOWN else "",
        )
    return {name: leaf for name, leaf in leaves.items() if name not in set(odd)} if odd else dict(leaves)


def is_plain(name: str) -> bool:
    """Say whether a name is a path that stays below a folder and is the same everywhere."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and "\\" not in name and "\0" not in name
