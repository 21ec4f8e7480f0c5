"""Folders and tar shards on fsspec's file system in memory, for tests of data and runs that lie elsewhere."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec")


def put(files: Mapping[str, bytes], url: str = "memory://bucket/photos") -> str:
    fs, base = fsspec.core.url_to_fs(url)
    for name, content in files.items():
        fs.pipe_file(f"{base}/{name}", content)
    return url


def read_below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def make_tar(members: Mapping[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    """Pack members, in their order; a name may be there twice."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items() if isinstance(members, Mapping) else members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
