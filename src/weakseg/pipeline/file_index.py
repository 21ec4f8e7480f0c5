"""What is known of a run's files: looked at once, remembered by size and time, compared again after each stage."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from weakseg.data.depth import PixelRange
from weakseg.data.regular_files import NOT_A_FILE, is_regular
from weakseg.data.remote.pointers import read_content
from weakseg.documents import decode_json
from weakseg.errors import WeaksegError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.pipeline.telling import show_progress
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

INSPECTION_THREADS = 4
"""Pillow decodes outside the interpreter lock; more threads than cores also hide the disk."""

MAX_CHANGED = 5
"""Files changed during a stage that are named before the rest is only counted."""


@dataclass(frozen=True)
class Looked:
    """What a look into a file tells.

    Args:
        digest: Digest of its content.
        problem: Why it cannot be used, or None.
        span: What the pixels of an image span if they have more than 8 bits.
    """

    digest: str
    problem: str | None
    span: PixelRange | None = None


@dataclass(frozen=True)
class FileFacts:
    """What is remembered about a file.

    Args:
        size_bytes: Length of the file.
        modified_ns: Its modification time.
        digest: Digest of its content.
        problem: Why it cannot be used, or None.
        span: See `Looked`.
    """

    size_bytes: int
    modified_ns: int
    digest: str
    problem: str | None
    span: PixelRange | None


def index_files(
    paths: Iterable[Path],
    cache: Path,
    *,
    look: Callable[[Path], Looked],
    label: str,
    threads: int = INSPECTION_THREADS,
) -> dict[Path, FileFacts]:
    """Look at files, or remember them from last time by their size and modification time.

    Rank 0 looks and the other processes read what it wrote, so that all of them leave out the same files.

    Args:
        paths: Files to look at; may be missing.
        cache: JSON file; rewritten when anything is new.
        look: Looks into a regular file. Called in threads.
        label: What is being done, for the progress.
        threads: How many look at the same time.

    Returns:
        Facts per file.
    """
    facts: dict[Path, FileFacts] = {}
    if rank() == 0:
        known, wanted = _read_cache(cache), list(dict.fromkeys(paths))
        facts = {path: about for path in wanted if (about := _remember(path, known)) is not None}
        unseen = [path for path in wanted if path not in facts]
        with ThreadPoolExecutor(threads) as pool, show_progress(label) as tick:
            for done, (path, about) in enumerate(
                zip(unseen, pool.map(lambda p: _inspect(p, look), unseen), strict=True)
            ):
                facts[path] = about
                tick(done + 1, len(unseen))
        if facts != known:
            write_json(cache, {str(path): asdict(about) for path, about in facts.items()})
    wait_for_all()
    return facts if rank() == 0 else _read_cache(cache)


def _remember(path: Path, known: Mapping[Path, FileFacts]) -> FileFacts | None:
    """Return what is known of a file if it is still of that size and time."""
    old = known.get(path)
    try:
        status = None if old is None else path.stat()
    except OSError:
        return None
    if old is None or status is None or not stat.S_ISREG(status.st_mode):
        return None
    return old if (old.size_bytes, old.modified_ns) == (status.st_size, status.st_mtime_ns) else None


def _inspect(path: Path, look: Callable[[Path], Looked]) -> FileFacts:
    try:
        status = path.stat()
    except OSError as error:
        return FileFacts(0, 0, "", error.strerror or "cannot be read", None)
    if not is_regular(path):  # a pipe or device would be read for ever
        return FileFacts(status.st_size, status.st_mtime_ns, "", NOT_A_FILE, None)
    seen = look(path)
    return FileFacts(status.st_size, status.st_mtime_ns, seen.digest, seen.problem, seen.span)


def _read_cache(path: Path) -> dict[Path, FileFacts]:
    try:
        document: dict[str, dict[str, JsonValue]] = decode_json(path.read_text(encoding="utf-8"))
        return {Path(name): _read_facts(entry) for name, entry in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}  # only a cache: a missing, older or damaged one is made anew


def _read_facts(entry: Mapping[str, JsonValue]) -> FileFacts:
    span = entry["span"]
    return FileFacts(**{**entry, "span": None if span is None else PixelRange(**span)})  # type: ignore[arg-type]


def find_changed(facts: Mapping[Path, FileFacts]) -> list[Path]:
    """Return the files whose content is no longer what was looked at, sorted.

    Only those with another size or time are read: a file that was merely touched has not changed.
    """
    return sorted(path for path, about in facts.items() if _has_changed(path, about))


def _has_changed(path: Path, about: FileFacts) -> bool:
    try:
        if _state(path) == (about.size_bytes, about.modified_ns):
            return False
        return not is_regular(path) or digest_bytes(read_content(path), size=len(about.digest) // 2) != about.digest
    except OSError:
        return True


def digest_bytes(content: bytes, *, size: int = DIGEST_BYTES) -> str:
    """Return a digest of a file's content of so many bytes; those of `inspect_image` are longer than the usual ones."""
    return hashlib.blake2b(content, digest_size=size).hexdigest()


class ChangeWatch:
    """Names images that change while a run reads them, each change once.

    Args:
        facts: What was known of the images when the run began.
    """

    def __init__(self, facts: Mapping[Path, FileFacts]) -> None:
        self._facts = facts
        self._told: dict[Path, tuple[int, int] | None] = {}

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Name the images that have changed once a stage ends, or fails, for which they may be why."""
        try:
            yield
        except WeaksegError:
            self._tell(stage)
            raise
        self._tell(stage)

    def _tell(self, stage: str) -> None:
        changed = {path: _state(path) for path in find_changed(self._facts)} if rank() == 0 else {}
        paths = [path for path, state in changed.items() if path not in self._told or self._told[path] != state]
        self._told.update(changed)
        if paths:
            logger.warning(
                "%s: %d of the images changed or vanished since the run began: %s%s; results may show their old or "
                "their new content: leave the images as they are and run the same command again, which says what to "
                "redo",
                stage,
                len(paths),
                ", ".join(str(path) for path in paths[:MAX_CHANGED]),
                ", ..." if len(paths) > MAX_CHANGED else "",
            )


def _state(path: Path) -> tuple[int, int] | None:
    """Return a file's size and modification time; None for one that has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
