"""Pointers: small files that stand for pictures which lie elsewhere, and getting what they point to.

A pointer is told by its place and its first line, so that it needs no list beside it: any process that sees the file,
with the same WEAKSEG_CACHE, can read the picture. Files that are no pointers are read as ever, with not one call of the
system more.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.remote.kept import kept_or, write_quickly
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.remote import digest_of, is_stand_in, is_url
from weakseg.stores import read_file

MAGIC = b"weakseg pointer 1\n"
"""No picture begins like this."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Pointer:
    """Where a picture lies.

    Args:
        location: URL, or for a member of a tar shard that of the shard; an absolute path for a shard of this machine.
        start: Where it begins in the shard; None if it is a file of its own.
        size_bytes: Its length.
        token: Changes with its content.
        name: The member of the shard, for messages; empty for a file of its own.
    """

    location: str
    start: int | None
    size_bytes: int
    token: str
    name: str = ""

    def fetch(self) -> bytes:
        """Return the content.

        Raises:
            DataError: If it cannot be read, or is not as long as it was when the data set was opened.
        """
        if self.start is not None and not is_url(self.location):
            return self._load()  # a shard on this machine: a copy would only take room
        key = digest_of(self.location, self.start, self.size_bytes, self.token)
        return kept_or(key, self._load, size_bytes=self.size_bytes)

    def _load(self) -> bytes:
        where = f"{self.location}: {self.name}" if self.name else self.location
        try:
            # Of a file of its own a byte more: it shows what has grown, and asks no server for the length before.
            more = 1 if self.start is None and self.size_bytes else 0
            content = read_file(self.location, start=self.start or 0, size_bytes=self.size_bytes + more)
        except OSError as error:
            raise DataError(f"{where}: {error.strerror or error}; run the same command again") from None
        if len(content) != self.size_bytes:
            raise DataError(
                f"{where}: expected {self.size_bytes} bytes, as when the data set was opened, got {len(content)}; "
                "run the same command again, which opens it anew"
            )
        return content


def write_pointer(path: Path, pointer: Pointer, *, modified_s: int) -> None:
    """Write a pointer, whose folder is there; its time is the picture's own, so that caches heed a change.

    Args:
        path: The file.
        pointer: Where it leads.
        modified_s: When the picture was written, in seconds since 1970.
    """
    write_quickly(path, MAGIC + json.dumps(vars(pointer)).encode())
    moment_ns = modified_s * _NS_PER_S + int(digest_of(pointer.token), 16) % _NS_PER_S
    with suppress(OSError):
        os.utime(path, ns=(moment_ns, moment_ns))


def read_content(path: Path) -> bytes:
    """Read a file of this machine, or what it points to.

    Only what lies in the user's cache is a pointer: among photographs of strangers, a file that looks like one would
    have this machine open whatever address they please.

    Raises:
        OSError: If the file cannot be read.
        DataError: If what it points to cannot be fetched.
    """
    content = path.read_bytes()
    return _parse(content).fetch() if content.startswith(MAGIC) and is_stand_in(path) else content


def fetch_pointed(path: Path) -> bytes | None:
    """Return what a pointer leads to; None for a file that is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC or not is_stand_in(path):
                return None
    except OSError:
        return None
    return read_content(path)


def _parse(content: bytes) -> Pointer:
    try:
        return Pointer(**decode_json(content[len(MAGIC) :]))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"a pointer in the cache is damaged ({error}); delete the folder that WEAKSEG_CACHE names"
        ) from None
