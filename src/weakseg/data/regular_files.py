"""Reading regular files only: a pipe waits for ever, and a device such as `/dev/zero` fills the memory."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from weakseg.data.remote.pointers import read_content

NOT_A_FILE = "not a regular file, but a pipe, a device or a link that leads nowhere"


def is_regular(path: Path) -> bool:
    """Say whether a path is a regular file or a link to one."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def read_regular(path: Path) -> bytes:
    """Read a file whole, or what it points to (`weakseg.data.remote`).

    Raises:
        OSError: If it is missing, cannot be read, or is no regular file.
        DataError: If it lies elsewhere and cannot be fetched.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, NOT_A_FILE, str(path))
    return read_content(path)
