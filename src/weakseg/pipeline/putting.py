"""Putting what a command finishes in its working copy to where the run lies, in an order that a kill cannot break.

Whatever moment the command is killed at, what lies elsewhere is a run that another machine can go on with:

1. A stage that has begun is told of (unfinished) before any of its files is put. If it was begun anew, with other
   settings or by `--redo`, the old files are removed before that.
2. Then files are put, in the order in which they were written.
3. Then those are removed that are gone in the copy.
4. Then JSON, as it was before the files were looked through: it may tell of files.
5. `run.json` comes last, and calls finished what was finished before the files were looked through.

Every file is put whole: object stores do nothing else, and elsewhere it is written beside its place and renamed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, WeaksegError
from weakseg.pipeline.working_copy import STATE, Known, WorkingCopy, open_copy
from weakseg.remote import call_by_url

logger = logging.getLogger("weakseg")

INTERVAL_S = 15.0
"""Files are put that often, and less often where looking through them takes long."""

REST = 20
"""So many times as long as a round took nothing is done, at least."""

LARGE_BYTES = 32 * 2**20
"""Larger files are put one by one, from the disk."""

AT_ONCE = 64

_Stages = dict[str, dict[str, Any]]


def put_round(copy: WorkingCopy) -> int:
    """Put what has changed in a copy since the last round; returns how many files were put or removed.

    Raises:
        ArtifactError: If another command has written `run.json` meanwhile, or the run cannot be written.
    """
    before = _read(copy.root / STATE)
    late = _read_late(copy)
    now = copy.scan()
    if STATE in copy.known and STATE not in now:
        raise ArtifactError(f"the working copy in {copy.slot} was deleted while a command works in it; start it again")
    begun = _read(copy.root / STATE)
    early = {name: about for name, about in now.items() if not _is_late(name) and copy.differs(name, about)}
    gone = [name for name in copy.known if name not in now]
    if not (early or gone or late or begun != before or _has_changed(copy, now)):
        return 0
    if _has_changed(copy, now) or begun != before:
        _require_own(copy)
    told = _stages(copy.told)
    stages = _stages(begun)
    if _is_begun_anew(told, stages):
        _remove(copy, [*gone, *(name for name in early if name in copy.known)])
        gone = []
    if any(name not in told or _differ(told[name], stages[name]) for name in stages):
        unfinished = {name: _unless_told(told, name, record) for name, record in stages.items()}
        _put_state(copy, begun, unfinished)
    _expect(copy, [*early, *late])
    _put_files(copy, early)
    _remove(copy, gone)
    _put_late(copy, late)
    if begun is not None:
        earlier = _stages(before)
        _put_state(copy, begun, {name: _as_of(earlier, name, record) for name, record in stages.items()})
        if STATE in now and begun == before:
            copy.known[STATE] = Known(now[STATE].size_bytes, now[STATE].modified_ns, copy.known[STATE].token)
    copy.save()
    return len(early) + len(gone) + len(late)


def _has_changed(copy: WorkingCopy, now: Mapping[str, Known]) -> bool:
    return STATE in now and copy.differs(STATE, now[STATE])


def _is_late(name: str) -> bool:
    return name.endswith(".json")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_late(copy: WorkingCopy) -> dict[str, tuple[Known, bytes]]:
    """Read JSON that has changed, other than `run.json`, in the order in which it was written."""
    found = {}
    for name, about in copy.scan().items():
        if _is_late(name) and name != STATE and copy.differs(name, about):
            content = _read(copy.root / name)
            if content is not None:
                found[name] = (about, content)
    return found


def _stages(content: bytes | None) -> _Stages:
    try:
        return dict(decode_json(content)["stages"]) if content is not None else {}
    except (ValueError, KeyError, TypeError):
        return {}  # damaged, which whoever reads it complains of


def _differ(told: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    return bool(told["fingerprint"] != record["fingerprint"] or (told["finished"] and not record["finished"]))


def _is_begun_anew(told: _Stages, stages: _Stages) -> bool:
    return any(name not in stages or _differ(record, stages[name]) for name, record in told.items())


def _unless_told(told: _Stages, name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as unfinished, unless it is called finished elsewhere already."""
    is_known = name in told and not _differ(told[name], record)
    return told[name] if is_known else {**record, "finished": False, "summary": "", "finished_at": ""}


def _as_of(earlier: _Stages, name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as finished only if it was so when the files were looked through."""
    was_finished = name in earlier and earlier[name] == record
    return record if was_finished or not record["finished"] else {**record, "finished": False, "summary": ""}


def _require_own(copy: WorkingCopy) -> None:
    """Refuse to write over the `run.json` of another command."""
    own = copy.known.get(STATE)
    there = copy.store.describe(STATE)
    if (None if own is None else own.token) != (None if there is None else there.token):
        raise ArtifactError(
            f"another command has worked in {copy.url} meanwhile; end all but one, and start the same command again"
        )


def _put_state(copy: WorkingCopy, begun: bytes | None, stages: _Stages) -> None:
    """Put `run.json` with these stages, unless that is what it says there."""
    if begun is None or (stages == _stages(copy.told) and STATE in copy.known):
        return
    content = json.dumps({**decode_json(begun), "stages": stages}, indent=1, sort_keys=True).encode() + b"\n"
    copy.store.write_many({STATE: content})
    there = copy.store.describe(STATE)
    copy.known[STATE] = Known(-1, 0, None if there is None else there.token)
    copy.told = content
    copy.save()


def _expect(copy: WorkingCopy, names: list[str]) -> None:
    """Write down which files are about to be put: after a kill those there may be older than those here."""
    copy.known.update({name: Known(-1, 0, None) for name in names})
    copy.save()


def _put_files(copy: WorkingCopy, files: Mapping[str, Known]) -> None:
    names = list(files)
    for first in range(0, len(names), AT_ONCE):
        batch = names[first : first + AT_ONCE]
        contents = {name: content for name in batch if (content := _read_if_same(copy, name, files[name])) is not None}
        copy.store.write_many(contents)
        copy.known.update({name: files[name] for name in contents})
        for name in batch:
            if files[name].size_bytes > LARGE_BYTES and _is_same(copy.root / name, files[name]):
                copy.store.write_file(name, copy.root / name)
                copy.known[name] = files[name]


def _read_if_same(copy: WorkingCopy, name: str, about: Known) -> bytes | None:
    """Read a file that has not changed since the files were looked through; the next round puts one that has."""
    path = copy.root / name
    content = None if about.size_bytes > LARGE_BYTES else _read(path)
    return content if content is not None and _is_same(path, about) else None


def _is_same(path: Path, about: Known) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (about.size_bytes, about.modified_ns)


def _put_late(copy: WorkingCopy, late: Mapping[str, tuple[Known, bytes]]) -> None:
    for name, (about, content) in late.items():
        copy.store.write_many({name: content})
        copy.known[name] = about


def _remove(copy: WorkingCopy, names: list[str]) -> None:
    copy.store.remove_many(names)
    for name in names:
        copy.known.pop(name, None)


class Putting:
    """Puts what changes in a copy, round after round, until it is ended."""

    def __init__(self, copy: WorkingCopy) -> None:
        self._copy = copy
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="weakseg-putting", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        wait_s = INTERVAL_S
        while not self._ended.wait(wait_s):
            started_s = time.monotonic()
            try:
                put_round(self._copy)
            except (WeaksegError, OSError) as error:
                logger.warning("%s: %s; this is tried again", self._copy.url, error)
            wait_s = max(INTERVAL_S, REST * (time.monotonic() - started_s))

    def end(self) -> None:
        """Put all that is left.

        Raises:
            ArtifactError: If that fails.
        """
        self._ended.set()
        self._thread.join()
        put_round(self._copy)
        for name, stored in self._copy.store.list().items():
            about = self._copy.known.get(name)
            if about is not None and about.token is None:
                about.token = stored.token
        self._copy.save()


@contextmanager
def open_run_elsewhere(url: str) -> Iterator[Path]:
    """Lend a run folder on this machine that stands for one elsewhere, and put back what changes in it.

    Args:
        url: The run, such as `s3://bucket/runs/a`; it need not exist.

    Yields:
        The folder. Messages call it by the URL.

    Raises:
        ArtifactError: If the run cannot be read or written.
    """
    with open_copy(url) as copy:
        fetched = copy.fetch()
        call_by_url(copy.root, copy.url)
        logger.info("%s: a working copy is in %s (%d files fetched)", copy.url, copy.slot, fetched)
        putting = Putting(copy)
        try:
            yield copy.root
        except BaseException:
            with suppress(WeaksegError, OSError):  # what ended the block is what is told
                putting.end()
            raise
        try:
            putting.end()
        except WeaksegError as error:
            raise ArtifactError(
                f"{error}; the same command on this machine puts first what is left in {copy.slot}"
            ) from None
