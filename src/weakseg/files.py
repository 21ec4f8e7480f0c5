"""Writing files so that a killed process never leaves half of one: write beside the place, then rename over it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from weakseg.errors import ArtifactError

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
"""What JSON can hold; annotates documents instead of `Any`. Decoded ones hold `list` and `dict`."""


def absolute_path(path: str | Path) -> Path:
    """Return a path that means the same from any working folder; `~` is the home folder.

    Steps up from the working folder are taken, others stay: `link/..` is the parent of what the link points to.
    """
    place = Path(path).expanduser()
    if place.is_absolute():
        return place
    folder, parts = Path.cwd(), place.parts  # a working folder has no links in its name
    while parts and parts[0] == "..":
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


@contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that appears at `path` only once the block has ended without an error.

    Parent folders are made. The temporary name carries the process id, so that several ranks may write beside
    one another; it starts with a dot, so that readers which list a folder do not meet it.

    Raises:
        ArtifactError: If the system refuses: no permission, no space, a file where a folder should be.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; make room there or choose another place"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def remove_partial_files(folder: Path) -> None:
    """Delete what killed processes left half-written, at any depth of a folder that may not exist."""
    for partial in folder.rglob(".*.partial"):
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_open(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
