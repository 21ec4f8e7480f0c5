"""One process at a time writes into a run or study: a lock that the kernel holds, with its owner's name in it.

The kernel gives it up when its owner ends, however that comes about, so that no lock has ever to be removed by hand.
"""

from __future__ import annotations

import errno
import getpass
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import advise_on
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

LOCK_NAME = ".weakseg.lock"
"""The lock's file in a run or study; gone once its owner has ended well."""

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
"""What systems say of a lock that another holds."""

_UNKNOWN = "another process"


@dataclass(frozen=True, eq=False)
class _Held:
    file: IO[bytes]
    made: tuple[Path, ...]
    shared: bool


_held: dict[Path, _Held] = {}
"""The locks of this process by their folder, with the folders that were made for them."""


@contextmanager
def hold_folder(root: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other processes from writing into a folder as long as the block lasts.

    Of several ranks, 0 holds the lock for all. A process may hold a folder several times over.

    Args:
        root: A run or study; made when missing.
        shared: Whether others that say the same may work there, too: each writes files that are its own.

    Raises:
        ArtifactError: If another process holds it (the message says which), or the folder cannot be written.
    """
    taken = take_for_all(root, shared=shared)
    try:
        yield
    finally:
        if taken:
            release_folder(root)


def take_for_all(root: Path, *, shared: bool = False) -> bool:
    """Take a folder's lock as rank 0, for all ranks, until `release_folder`; returns what `take_folder` does there."""
    taken = rank() == 0 and take_folder(root, shared=shared)
    wait_for_all()  # none goes on before it is known that it may
    return taken


def take_folder(root: Path, *, shared: bool = False) -> bool:
    """Take a folder's lock until `release_folder` or the end of this process; raises as `hold_folder` does.

    Returns:
        Whether it was taken now; False if this process had it, or the file system knows no locks.
    """
    key = root.absolute()
    if key in _held:
        return False
    path = root / LOCK_NAME
    made = tuple(folder for folder in (key, *key.parents) if not folder.exists())
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path, shared=shared)
        if file is not None:
            file.truncate(0)
            file.write(_describe_self())
            file.flush()
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {advise_on(error)}") from error
    if file is None:
        logger.warning("%s: this file system has no locks; start no second process there", root)
        return False
    _held[key] = _Held(file, made, shared)
    return True


def release_folder(root: Path) -> None:
    """Give up a lock that this process holds; nothing if it holds none."""
    held = _held.pop(root.absolute(), None)
    if held is None:
        return
    if not held.shared:  # others may hold what is shared; a file that nobody holds does no harm
        with suppress(OSError):  # Windows removes no open file
            (root / LOCK_NAME).unlink()
    held.file.close()
    with suppress(OSError):  # a block that ended before it wrote anything leaves no empty folders
        for folder in held.made:
            folder.rmdir()


def _open_locked(path: Path, *, shared: bool) -> IO[bytes] | None:
    """Open and lock a file; None where the file system knows no locks, which must keep nobody from working."""
    while True:
        file = path.open("a+b")
        try:
            (_share if shared else _lock)(file)
        except OSError as error:
            owner = _read_owner(path)
            file.close()
            if error.errno not in _BUSY:
                return None
            raise ArtifactError(
                f"{path.parent} is in use by {owner}; wait until it has ended, stop it, or choose another folder"
            ) from None
        if _is_same_file(file, path):
            return file
        file.close()  # its owner has removed it between our opening and locking


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30
    """Windows lets nobody read what is locked: a byte far behind the owner's name."""

    def _lock(file: IO[bytes]) -> None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

    def _share(file: IO[bytes]) -> None:
        raise OSError(errno.ENOTSUP, "Windows has no locks that are shared")
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _share(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _is_same_file(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _describe_self() -> bytes:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name, as in many containers
        user = "unknown user"
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    owner = {"user": user, "process": os.getpid(), "host": socket.gethostname(), "since": since}
    return (json.dumps(owner) + "\n").encode()


def _read_owner(path: Path) -> str:
    """Say who holds a lock; it may be writing its name just now."""
    try:
        owner = decode_json(path.read_bytes())
        return f"process {owner['process']} of {owner['user']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return _UNKNOWN


def _forget_in_child() -> None:
    """Close the copies that a forked process gets: it would hold the locks of a parent that was killed."""
    while _held:
        _held.popitem()[1].file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
