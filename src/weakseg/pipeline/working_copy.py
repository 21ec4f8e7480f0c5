"""A run that lies elsewhere, such as `s3://bucket/runs/a`, and the copy of it that a command works in.

All of the run's files are fetched when a command begins; what it finishes is put back while it works
(`weakseg.pipeline.putting`). Each command that is at work has a copy of its own, in the first free slot of the user's
cache: commands on one machine know as little of each other as those on several.

What lies elsewhere is the run. A copy left by an earlier command is brought in line with it, with one exception: if no
other command has written `run.json` since, what was left in the copy is the newest there is, and is put first. What has
vanished from a copy between two commands (scratch disks are emptied by age) is fetched again, and not removed there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from weakseg.data.remote.kept import write_quickly
from weakseg.data.remote.tree import is_plain
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import advise_on
from weakseg.pipeline.lock import LOCK_NAME
from weakseg.remote import cache_folder, digest_of, name_of
from weakseg.stores import Store, Stored

logger = logging.getLogger("weakseg")

STATE = "run.json"
"""The record that says which stages are finished."""

_MANIFEST = "known.json"
_SLOT_LOCK = ".lock"
_MAX_SLOTS = 1000
_AT_ONCE = 64
_BATCH_BYTES = 64 * 2**20


@dataclass
class Known:
    """What is known of a file that was the same in both places.

    Args:
        size_bytes: Its length here.
        modified_ns: Its time here.
        token: What elsewhere changes with its content; None if nobody has asked since it was put.
    """

    size_bytes: int
    modified_ns: int
    token: str | None


@dataclass
class WorkingCopy:
    """A copy of a run, and what is known of both.

    Args:
        url: The run.
        slot: Folder of the copy and its manifest.
        store: The run's files.
        known: By name, `/` between folders.
        told: What `run.json` says there; None if there is none.
    """

    url: str
    slot: Path
    store: Store
    known: dict[str, Known] = field(default_factory=dict)
    told: bytes | None = None

    @property
    def root(self) -> Path:
        """The copy; a run folder like any other."""
        return self.slot / name_of(self.url)

    def scan(self) -> dict[str, Known]:
        """Return the copy's files as they are, oldest first; what is half-written and locks are none."""
        found = []
        for parent, _, names in os.walk(self.root):
            for name in names:
                if name == LOCK_NAME or (name.startswith(".") and name.endswith(".partial")):
                    continue
                with suppress(OSError):  # it has gone meanwhile
                    path = Path(parent) / name
                    status = path.stat()
                    place = path.relative_to(self.root).as_posix()
                    found.append((status.st_mtime_ns, place, Known(status.st_size, status.st_mtime_ns, None)))
        return {place: about for _, place, about in sorted(found, key=lambda entry: entry[:2])}

    def differs(self, name: str, now: Known) -> bool:
        """Say whether a file is not what was last put or fetched."""
        old = self.known.get(name)
        return old is None or (old.size_bytes, old.modified_ns) != (now.size_bytes, now.modified_ns)

    def save(self) -> None:
        """Write down what is known."""
        entries = {name: [about.size_bytes, about.modified_ns, about.token] for name, about in self.known.items()}
        document = {"files": entries, "told": None if self.told is None else self.told.decode()}
        write_quickly(self.slot / _MANIFEST, json.dumps(document).encode())

    def load(self) -> None:
        """Read what is known; nothing if it was never written down."""
        self.known, self.told = {}, None
        with suppress(OSError, ValueError, TypeError, KeyError):
            document = decode_json((self.slot / _MANIFEST).read_bytes())
            self.known = {name: Known(*entry) for name, entry in document["files"].items()}
            self.told = None if document["told"] is None else document["told"].encode()

    def fetch(self) -> int:
        """Bring the copy in line with the run; returns how many files were fetched.

        Raises:
            ArtifactError: If the run cannot be read, or the copy not be written.
        """
        there = {name: stored for name, stored in self.store.list().items() if is_plain(name)}
        self.load()
        here = {name: now for name, now in self.scan().items() if not self._is_cut_off(name, now)}
        state, own = there.get(STATE), self.known.get(STATE)
        is_newest = (None if state is None else state.token) == (None if own is None else own.token)
        is_newest = is_newest and (own is None or STATE in here)
        is_told = STATE not in here or not self.differs(STATE, here[STATE])  # so no stage has removed files since
        try:
            if is_newest:
                gone = [name for name, about in self.known.items() if name not in there and about.token is not None]
                lost = there.keys() - here.keys() if is_told else set()
                wanted = [name for name, stored in there.items() if name in lost or self._is_new(name, stored)]
            else:
                gone = [name for name in here if name not in there]
                wanted = [name for name, stored in there.items() if self._is_other(name, stored, here.get(name))]
            for name in gone:
                (self.root / name).unlink(missing_ok=True)
                self.known.pop(name, None)
            self._fetch(wanted, there)
        except OSError as error:
            raise ArtifactError(f"cannot write {self.root}: {advise_on(error)}; WEAKSEG_CACHE names it") from error
        if not is_newest:
            self.known = {name: about for name, about in self.known.items() if name in there}
            self.told = (self.root / STATE).read_bytes() if STATE in there else None
        self.save()
        return len(wanted)

    def _is_cut_off(self, name: str, now: Known) -> bool:
        """Say whether a file has lost its content, as when the machine loses its power: who writes sets the time."""
        old = self.known.get(name)
        return old is not None and old.modified_ns == now.modified_ns and old.size_bytes != now.size_bytes

    def _is_new(self, name: str, stored: Stored) -> bool:
        """Say whether a file was put by others, where the copy is otherwise the newest there is."""
        old = self.known.get(name)
        return old is None or (old.token is not None and old.token != stored.token)

    def _is_other(self, name: str, stored: Stored, now: Known | None) -> bool:
        old = self.known.get(name)
        return now is None or old is None or old.token != stored.token or self.differs(name, now)

    def _fetch(self, names: Sequence[str], there: Mapping[str, Stored]) -> None:
        """Fetch files side by side, the records last: they tell of the others."""
        ordered = sorted(names, key=lambda name: (name == STATE, name.endswith(".json"), name))
        for batch in _batches(ordered, {name: there[name].size_bytes for name in names}):
            for name, content in self.store.read_many(batch).items():
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_quickly(path, content)
                status = path.stat()
                self.known[name] = Known(status.st_size, status.st_mtime_ns, there[name].token)


def _batches(names: Sequence[str], sizes_bytes: Mapping[str, int]) -> Iterator[list[str]]:
    """Part names, in their order, so that few enough bytes are in memory at once."""
    batch: list[str] = []
    total = 0
    for name in names:
        if batch and (len(batch) == _AT_ONCE or total + sizes_bytes[name] > _BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(name)
        total += sizes_bytes[name]
    if batch:
        yield batch


@contextmanager
def open_copy(url: str) -> Iterator[WorkingCopy]:
    """Lend a working copy that no other command of this machine has meanwhile; nothing is fetched yet.

    Raises:
        ArtifactError: If the cache cannot be written.
    """
    folder = cache_folder() / "runs" / digest_of(url.rstrip("/"))
    try:
        slot, lock = _take_slot(folder)
    except OSError as error:
        raise ArtifactError(f"cannot write {folder}: {advise_on(error)}; WEAKSEG_CACHE names it") from error
    with lock:
        yield WorkingCopy(url.rstrip("/"), slot, Store(url, kind=ArtifactError))


def _take_slot(folder: Path) -> tuple[Path, IO[str]]:
    for number in range(_MAX_SLOTS):
        slot = folder / str(number)
        slot.mkdir(parents=True, exist_ok=True)
        file = (slot / _SLOT_LOCK).open("a")
        if sys.platform == "win32":  # no locks that end with their owner: one command at a time
            return slot, file
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return slot, file
        except BlockingIOError:
            file.close()
        except OSError:  # a file system without locks
            return slot, file
    raise ArtifactError(f"{_MAX_SLOTS} commands work in copies in {folder}; wait until one has ended")
