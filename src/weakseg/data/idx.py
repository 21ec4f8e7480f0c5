"""IDX, the file format of MNIST: a magic number, the sizes of the axes, then the bytes of the array.

Format: "THE MNIST DATABASE of handwritten digits", LeCun, Cortes and Burges, section "File formats". The magic number
is two zero bytes, a code of the data type and the number of axes; every size is a big-endian unsigned 32-bit integer.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
"""A file that begins so is compressed, whatever its name."""

UNSIGNED_BYTE = 0x08
"""The only data type that MNIST uses, and the only one that is read here."""

SIZE_BYTES = 4


def read_idx(path: Path, *, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, compressed by gzip or not.

    Args:
        path: The file.
        axes: Number of axes the array must have: 3 for images, 1 for labels.

    Returns:
        The array, uint8, read-only.

    Raises:
        DataError: If the file cannot be read or decompressed, is no IDX file of unsigned bytes with so many axes, or
            holds fewer or more bytes than its sizes say.
    """
    content = _read_bytes(path)
    magic = bytes((0, 0, UNSIGNED_BYTE, axes))
    if content[: len(magic)] != magic:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes with {axes} axes, whose first bytes are {magic.hex(' ')}, "
            f"got {content[: len(magic)].hex(' ') or 'an empty file'}; is it another file under this name?"
        )
    header = len(magic) + axes * SIZE_BYTES
    if len(content) < header:
        raise DataError(f"{path}: expected a header of {header} bytes, got a file of {len(content)}; fetch it again")
    starts = range(len(magic), header, SIZE_BYTES)
    sizes = tuple(int.from_bytes(content[start : start + SIZE_BYTES], "big") for start in starts)
    expected, found = math.prod(sizes), len(content) - header
    if found != expected:
        shape = " x ".join(map(str, sizes))
        raise DataError(f"{path}: expected {shape} = {expected} bytes after the header, got {found}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read as an IDX file ({reason}); fetch it again") from None
