"""Contents that were fetched, kept in a folder that does not grow beyond a bound; what was used last stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from weakseg.files import partial_path
from weakseg.remote import cache_folder

DEFAULT_MAX_MB = 20_000

BYTES_PER_MB = 1_000_000

_LOOKS = 16
"""So many times the folder is looked through while as much as it may hold is written to it."""

_LEFT = 0.9
"""Share of the bound that is left when there was too much."""

_MAX_FILE = "max_mb"
_HEX_DIGITS = 8


def set_max_mb(max_mb: int) -> None:
    """Set how much is kept, for all processes of this machine and user; 0 for nothing."""
    path = cache_folder() / _MAX_FILE
    text = str(max_mb)
    with suppress(OSError):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_quickly(path, text.encode())


def max_bytes() -> int:
    """Return how many bytes are kept."""
    try:
        return int((cache_folder() / _MAX_FILE).read_text(encoding="utf-8")) * BYTES_PER_MB
    except (OSError, ValueError):
        return DEFAULT_MAX_MB * BYTES_PER_MB


def kept_or(key: str, load: Callable[[], bytes], *, size_bytes: int | None = None) -> bytes:
    """Return what is kept under a key, or load and keep it.

    Args:
        key: Hexadecimal digest that belongs to this content alone.
        load: Fetches it.
        size_bytes: Its length; what is kept may have lost its content with the power of the machine. None if unknown.
    """
    path = _folder() / key[:2] / key
    try:
        content: bytes | None = path.read_bytes()
    except OSError:  # not there, or removed just now
        content = None
    if content is not None and size_bytes in (None, len(content)):
        with suppress(OSError):
            os.utime(path)  # used last
        return content
    content = load()
    most = max_bytes()
    if len(content) <= most:
        with suppress(OSError):  # without room it is fetched again the next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_quickly(path, content)
        # Drawn by the key: processes need not know of each other, and none has to count.
        if int(key[:_HEX_DIGITS], 16) * most < _LOOKS * len(content) * 16**_HEX_DIGITS:
            _shrink(most)
    return content


def write_quickly(path: Path, content: bytes) -> None:
    """Write a file that appears whole; unlike `write_bytes` it may be lost when the machine loses its power."""
    partial = partial_path(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _folder() -> Path:
    return cache_folder() / "contents"


def _shrink(most: int) -> None:
    """Remove what was not used for the longest time, if there is too much."""
    found = []
    for parent, _, names in os.walk(_folder()):
        for name in names:
            with suppress(OSError):  # another process shrinks, too
                path = Path(parent) / name
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in found)
    if total <= most:
        return
    for _, size, path in sorted(found):
        if total <= _LEFT * most:
            break
        with suppress(OSError):
            path.unlink()
        total -= size
