"""Reading the `.params` files of MXNet, a framework that is no longer maintained, without MXNet.

A file is a list of arrays and then a list of their names, all little-endian and without padding:

- 64-bit 0x112, 64-bit 0, 64-bit number of arrays, the arrays, 64-bit number of names, the names;
- a name: 64-bit length in bytes, then UTF-8;
- an array: its head, 32-bit kind and 32-bit number of the device it was on, 32-bit type of its values, the values;
- an array's head: since MXNet 1.0 a 32-bit 0xF993FAC9, a 32-bit kind of storage (0 for dense), a 32-bit number of
  dimensions, 64-bit dimensions; in 0.11 a 32-bit 0xF993FAC8 and the dimensions as before; until then the 32-bit number
  of dimensions and 32-bit dimensions.

Nothing in such a file is code.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ArtifactError

LIST_MAGIC = 0x112
ARRAY_V1_MAGIC, ARRAY_V2_MAGIC = 0xF993FAC8, 0xF993FAC9
DENSE_STORAGE = 0
MAX_DIMENSIONS = 32
"""A number of dimensions beyond this is no number of dimensions."""

_DTYPES = {0: "float32", 1: "float64", 2: "float16"}
"""The floating types, by MXNet's number."""

_NAME_PREFIXES = ("arg:", "aux:")
"""What names begin with: learnt parameters and running statistics."""


def read_mxnet_params(path: Path) -> dict[str, Tensor]:
    """Read the named arrays of an MXNet `.params` file into host memory.

    Args:
        path: The file.

    Returns:
        The tensors by name, without `arg:` or `aux:`, in the file's order and its dtypes: float32, float64 or float16.

    Raises:
        ArtifactError: If the file is missing, damaged or no such file, holds arrays without names or two of one name,
            or an array that is sparse, empty or not of a floating type.
    """
    if not path.is_file():
        raise ArtifactError(f"no MXNet weights at {path}: expected a .params file")
    reader = _Reader(path, path.read_bytes())
    if reader.size < 16 or reader.number("Q", "the format") != LIST_MAGIC:
        raise ArtifactError(f"{path}: no .params file of MXNet, which begins with {LIST_MAGIC:#x}")
    reader.number("Q", "the format")
    arrays = [_read_array(reader, index) for index in range(reader.count(12, "arrays"))]
    names = [reader.text("a name") for _ in range(reader.count(8, "names"))]
    if reader.left:
        raise ArtifactError(f"{path}: damaged, it goes on for {reader.left} bytes after its last name; copy it again")
    if len(names) != len(arrays):
        raise ArtifactError(f"{path}: expected a name for each of {len(arrays)} arrays, got {len(names)} names")
    tensors: dict[str, Tensor] = {}
    for full_name, array in zip(names, arrays, strict=True):
        name = full_name[4:] if full_name.startswith(_NAME_PREFIXES) else full_name
        if name in tensors:
            raise ArtifactError(f"{path}: holds two arrays of the name '{name}'")
        tensors[name] = torch.from_numpy(array)
    return tensors


@dataclass
class _Reader:
    """A file's content and how much of it was read.

    Args:
        path: The file, for messages.
        content: Its bytes.
        position: Number of bytes read.
    """

    path: Path
    content: bytes
    position: int = 0

    @property
    def size(self) -> int:
        """Number of bytes in all."""
        return len(self.content)

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return self.size - self.position

    def take(self, size: int, what: str) -> memoryview:
        """Return the next bytes, a view."""
        if size > self.left:
            raise ArtifactError(
                f"{self.path}: damaged, it ends within {what}: {size} bytes expected at {self.position}, "
                f"{self.left} are left; copy it again"
            )
        self.position += size
        return memoryview(self.content)[self.position - size : self.position]

    def number(self, form: str, what: str) -> int:
        """Return the next number: form `I` for 32 bits, `Q` for 64."""
        value: int = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}"), what))[0]
        return value

    def count(self, least_size: int, what: str) -> int:
        """Return the length of a list whose items have at least so many bytes."""
        count = self.number("Q", f"the number of {what}")
        if count * least_size > self.left:
            raise ArtifactError(f"{self.path}: damaged, {self.left} bytes cannot hold {count} {what}; copy it again")
        return count

    def text(self, what: str) -> str:
        """Return the next piece of text."""
        encoded = bytes(self.take(self.number("Q", what), what))
        try:
            return encoded.decode()
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{self.path}: damaged, {what} is no UTF-8 ({error}); copy it again") from None


def _read_array(reader: _Reader, index: int) -> NDArray[np.floating]:
    what = f"array {index}"
    shape = _read_shape(reader, what)
    reader.take(8, what)  # the device
    kind = reader.number("I", what)
    if kind not in _DTYPES:
        known = ", ".join(f"{number} ({name})" for number, name in _DTYPES.items())
        raise ArtifactError(f"{reader.path}: {what} holds values of type {kind}; expected one of {known}")
    dtype: np.dtype[np.floating] = np.dtype(_DTYPES[kind])
    values = reader.take(math.prod(shape) * dtype.itemsize, what)
    return np.frombuffer(values, dtype.newbyteorder("<")).reshape(shape).astype(dtype)


def _read_shape(reader: _Reader, what: str) -> tuple[int, ...]:
    """Read the head of an array."""
    magic = reader.number("I", what)
    if magic == ARRAY_V2_MAGIC and (storage := reader.number("I", what)) != DENSE_STORAGE:
        raise ArtifactError(f"{reader.path}: {what} is stored as kind {storage}; expected dense arrays, kind 0")
    has_long_dimensions = magic in (ARRAY_V1_MAGIC, ARRAY_V2_MAGIC)
    num_dimensions = reader.number("I", what) if has_long_dimensions else magic
    if num_dimensions > MAX_DIMENSIONS:
        raise ArtifactError(
            f"{reader.path}: {what} has {num_dimensions} dimensions; the file is damaged or of an unknown version"
        )
    shape = tuple(reader.number("Q" if has_long_dimensions else "I", what) for _ in range(num_dimensions))
    if not math.prod(shape) or not shape:
        raise ArtifactError(f"{reader.path}: {what} of shape {shape} is empty")
    return shape
