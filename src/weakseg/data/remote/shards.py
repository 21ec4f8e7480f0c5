"""Tar shards in WebDataset's layout: finding them, and an index of where each member begins.

Members of one image share a name up to its first dot: `a/1.jpg` beside `a/1.json`, `a/1.cls` or `a/1.txt` with its
tags, and `a/1.png`, `a/1.mask.png` or `a/1.seg.png` with its truth mask. An index is made once for each shard, from its
beginning to its end; after that single members are read.
"""

from __future__ import annotations

import fnmatch
import glob
import itertools
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.remote.tree import is_plain
from weakseg.errors import DataError
from weakseg.remote import PACKED_SHARDS, SHARD, is_url
from weakseg.stores import Store, Stored, explained, open_file

TAG_ENDINGS = ("json", "cls", "txt")
"""Members with tags, best first."""

MAX_TEXT_BYTES = 2**20
"""Tags of an image take less."""

_BLOCK = 512
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MAX_SHARDS = 1_000_000


@dataclass(frozen=True)
class Shard:
    """A tar file.

    Args:
        location: URL, or absolute path.
        stored: Its size, and what changes with its content.
    """

    location: str
    stored: Stored


@dataclass(frozen=True)
class Member:
    """A member of a shard.

    Args:
        name: Its path in the shard.
        start: Where its content begins, in bytes.
        size_bytes: Its length.
        text: Its content, of members with tags alone.
    """

    name: str
    start: int
    size_bytes: int
    text: str | None = None

    @property
    def key(self) -> str:
        """What the members of one image have in common."""
        folder, slash, last = self.name.rpartition("/")
        return f"{folder}{slash}{last.partition('.')[0]}"

    @property
    def ending(self) -> str:
        """What is behind the first dot, in small letters: `jpg`, `mask.png`."""
        return self.name.rpartition("/")[2].partition(".")[2].lower()


def holds_shards(names: Sequence[str]) -> bool:
    """Say whether a folder with these files is one of tar shards: there are some, and no pictures beside them."""
    shards = any(name.lower().endswith(SHARD) for name in names)
    return shards and not any(os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in names)


def is_shard_folder(folder: Path) -> bool:
    """Say the same of a folder of this machine; a folder of photographs is not looked through for that."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES or entry.is_dir():
                    return False
                names.append(entry.name)
    except OSError:  # readers of folders say what is wrong with it
        return False
    return holds_shards(names)


def expand_braces(pattern: str) -> list[str]:
    """Write out `{000..009}` and `{a,b}`, as shells do.

    Raises:
        DataError: If that are too many.
    """
    if match := _RANGE.search(pattern):
        first, last = match.groups()
        if abs(int(last) - int(first)) >= _MAX_SHARDS:
            raise DataError(f"data.root: expected at most {_MAX_SHARDS} shards, got {pattern}")
        step = 1 if int(first) <= int(last) else -1
        words = [str(number).zfill(len(first)) for number in range(int(first), int(last) + step, step)]
    elif match := _CHOICE.search(pattern):
        words = match.group(1).split(",")
    else:
        return [pattern]
    before, after = pattern[: match.start()], pattern[match.end() :]
    return list(itertools.chain.from_iterable(expand_braces(f"{before}{word}{after}") for word in words))


def find_shards(pattern: str) -> list[Shard]:
    """Return the shards that a pattern of braces and asterisks names, sorted by their place.

    Raises:
        DataError: If one is not there, none is, or they are compressed.
    """
    found: dict[str, Shard] = {}
    listed: dict[str, dict[str, Stored]] = {}
    for written in expand_braces(pattern):
        if written.lower().endswith(PACKED_SHARDS):
            raise DataError(
                f"data.root: {written} is compressed, so that no single image can be read; unpack it to .tar"
            )
        shards = list(_find_elsewhere(written, listed) if is_url(written) else _find_here(written))
        if not shards:
            raise DataError(f"data.root: there is no shard {written}")
        found |= {shard.location: shard for shard in shards}
    return [found[location] for location in sorted(found)]


def _find_here(pattern: str) -> Iterator[Shard]:
    is_pattern = glob.has_magic(pattern) and not os.path.isfile(pattern)  # `[old].tar` may be a name
    for path in glob.glob(pattern) if is_pattern else [pattern]:
        if os.path.isfile(path):
            status = os.stat(path)
            yield Shard(
                os.path.abspath(path), Stored(status.st_size, f"mtime {status.st_mtime_ns}", int(status.st_mtime))
            )


def _find_elsewhere(pattern: str, listed: dict[str, dict[str, Stored]]) -> Iterator[Shard]:
    """Yield the shards of a pattern; `listed` keeps the folders that were looked at, since a thousand share one."""
    folder, _, last = pattern.rpartition("/")
    if glob.has_magic(folder):
        raise DataError(
            f"data.root: expected asterisks in the names of shards alone, got {pattern}; {{a,b}} goes anywhere"
        )
    if folder not in listed:
        listed[folder] = Store(folder).list()
    for name, stored in listed[folder].items():
        if fnmatch.fnmatchcase(name, last):
            yield Shard(f"{folder}/{name}", stored)


def index_shard(shard: Shard) -> list[Member]:
    """Read a shard from its beginning to its end, and tell where its members are.

    Raises:
        DataError: If it is no tar file, is cut off, or has a member that leads elsewhere or is there twice.
    """
    with explained(shard.location), open_file(shard.location) as file:
        return list(_read_members(file, shard.location))


def _read_members(file: BinaryIO, where: str) -> Iterator[Member]:
    seen, end = set[str](), 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for entry in archive:
                end = entry.offset_data + -(-entry.size // _BLOCK) * _BLOCK
                name = entry.name.removeprefix("./")
                if entry.isdir() or _is_hidden(name):
                    continue
                if not is_plain(name) or not entry.isreg() or entry.issparse():
                    what = "is no file but a link or a device" if is_plain(name) else "leads out of its folder"
                    raise DataError(f"shard {where}: the member '{entry.name}' {what}; make the shard anew without it")
                if name in seen:
                    raise DataError(f"shard {where}: the member '{name}' is there twice; make the shard anew")
                seen.add(name)
                member = Member(name, entry.offset_data, entry.size)
                text = member.ending in TAG_ENDINGS and entry.size <= MAX_TEXT_BYTES
                yield Member(name, entry.offset_data, entry.size, _read_text(file, member, where)) if text else member
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"shard {where} is cut off, damaged or no tar file ({error}); fetch or make it anew") from None
    file.seek(end)
    if file.read(_BLOCK) != bytes(_BLOCK):
        raise DataError(
            f"shard {where} is cut off after {end} bytes: a tar file ends with zeros; fetch or make it anew"
        )


def _read_text(file: BinaryIO, member: Member, where: str) -> str:
    file.seek(member.start)
    content = file.read(member.size_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"shard {where}: the tags '{member.name}' are no UTF-8 ({error.reason})") from None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != "..")
