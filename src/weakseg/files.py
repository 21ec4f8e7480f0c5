"""Writing files so that a killed process never leaves half of one: write beside the place, then rename over it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from weakseg.errors import ArtifactError
from weakseg.file_names import MAX_NAME_BYTES, digest_text

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
"""What JSON can hold; annotates documents instead of `Any`. Decoded ones hold `list` and `dict`."""


def expand_home(path: str | Path) -> Path:
    """Return a path with `~` and `~user` replaced by the home folder; of nobody known they are names as any other."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or one without a home
        return Path(path)


def absolute_path(path: str | Path) -> Path:
    """Return a path that means the same from any working folder; `~` is the home folder.

    Steps up from the working folder are taken, others stay: `link/..` is the parent of what the link points to.
    """
    place = expand_home(path)
    if place.is_absolute():
        return place
    folder, parts = Path.cwd(), place.parts  # a working folder has no links in its name
    while parts and parts[0] == "..":
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


_DEVICE_FOLDERS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
"""What exists there is a device, or the standard output, which may be a file by another name."""

_PARTIAL_BYTES = 24
"""Room for the dots, the number of the process and the ending of a half-written file."""

_ELSEWHERE = "choose another place"

_ADVICE = {
    errno.ENOSPC: "the disk is full; make room there or choose another place",
    errno.EDQUOT: "your quota is used up; make room there, ask for more, or choose another place",
    errno.EFBIG: "the file is larger than this file system or 'ulimit -f' allows; choose another place",
    errno.ENAMETOOLONG: "the name or its folders are longer than this file system takes; choose a shorter place",
    errno.EINVAL: "this file system does not take such a name; choose a place on another",
    errno.EILSEQ: "this file system does not take such a name; choose a place on another",
    errno.EROFS: "this file system is mounted for reading only; choose another place",
    errno.EACCES: "you may not write there; change the permissions or choose another place",
    errno.EPERM: "you may not write there; change the permissions or choose another place",
    errno.ENOENT: "a folder on the way has gone, or is a link that leads nowhere; choose another place",
    errno.ENOTDIR: "a file is where a folder should be; move it or choose another place",
    errno.EEXIST: "a file is where a folder should be; move it or choose another place",
    errno.EISDIR: "a folder is where the file should be; move it or choose another place",
    errno.ELOOP: "links on the way lead in a circle; choose another place",
    errno.EMFILE: "too many files are open; raise the limit ('ulimit -n')",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.EIO: "the disk or the network has failed; look after it, or choose another place",
    errno.ESTALE: "the network folder has gone; mount it again, or choose another place",
}
"""What to do about an error of the system."""


def advise_on(error: OSError) -> str:
    """Say what the system complains about, and what to do: `No space left on device; the disk is full; ...`."""
    advice = _ELSEWHERE if error.errno is None else _ADVICE.get(error.errno, _ELSEWHERE)
    return f"{error.strerror or error}; {advice}"


def partial_path(path: Path) -> Path:
    """Return where this process writes what shall become `path`: beside it, hidden, and named after the process."""
    return path.with_name(f".{partial_stem(path.name)}.{os.getpid()}-{_digest_host()}.partial")


@cache
def _digest_host() -> str:
    """Return what tells machines and containers apart, in each of which processes may have the same numbers."""
    return hashlib.blake2b(os.fsencode(socket.gethostname()), digest_size=2).hexdigest()


def partial_stem(name: str) -> str:
    """Return what stands for a file's name in that of its half-written form: a digest where the name is too long."""
    return name if len(os.fsencode(name)) <= MAX_NAME_BYTES - _PARTIAL_BYTES else digest_text(name)


@contextmanager
def atomic_open(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` only once the block has ended without an error.

    Parent folders are made. The temporary name carries the process id, so that several ranks may write beside
    one another; it starts with a dot, so that readers which list a folder do not meet it. A pipe or device, such as
    `/dev/stdout`, is written to as it is.

    Args:
        path: The file.
        durable: Whether to wait until the disk has it, without which a file may be empty after a power failure. Each
            wait is a millisecond or more.

    Raises:
        ArtifactError: If the system refuses: no permission, no space, a file where a folder should be.
    """
    partial = partial_path(path)
    try:
        if _is_stream(path):
            with path.open("wb") as file:
                yield file
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {advise_on(error)}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _is_stream(path: Path) -> bool:
    """Say whether a path is no place for a file but something to write to; root could put a file in its place."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return path.parent in _DEVICE_FOLDERS or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def remove_partial_files(folder: Path) -> None:
    """Delete what killed processes left half-written, at any depth of a folder that may not exist."""
    for partial in folder.rglob(".*.partial"):
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path` atomically; see `atomic_open`."""
    with atomic_open(path, durable=durable) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    r"""Write UTF-8 text to `path` atomically; what stands for other bytes in a file's name is written as `\udce9`."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
