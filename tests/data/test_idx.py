from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from weakseg.data.idx import read_idx
from weakseg.errors import DataError

CUBE = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def encode_idx(array: np.ndarray, *, kind: int = 0x08) -> bytes:
    return bytes((0, 0, kind, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


COMPRESSED_CUBE = gzip.compress(encode_idx(CUBE), mtime=0)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "digits-idx"
    path.write_bytes(content)
    return path


def test_an_array_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = read_idx(write(tmp_path, encode_idx(CUBE)), axes=3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, CUBE)


def test_a_compressed_file_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    labels = np.array([7, 0, 255], np.uint8)
    np.testing.assert_array_equal(read_idx(write(tmp_path, gzip.compress(encode_idx(labels))), axes=1), labels)


def test_an_array_may_hold_nothing(tmp_path: Path) -> None:
    assert read_idx(write(tmp_path, encode_idx(np.zeros((0, 28, 28), np.uint8))), axes=3).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"whose first bytes are 00 00 08 03, got an empty file"),
        (b"\x89PNG and more", r"whose first bytes are 00 00 08 03, got 89 50 4e 47; is it another file"),
        (encode_idx(np.zeros(3, np.uint8)), r"with 3 axes, .* got 00 00 08 01"),
        (encode_idx(CUBE, kind=0x0D), r"unsigned bytes with 3 axes, .* got 00 00 0d 03"),
        (encode_idx(CUBE)[:10], r"expected a header of 16 bytes, got a file of 10"),
        (encode_idx(CUBE)[:-1], r"expected 2 x 3 x 4 = 24 bytes after the header, got 23"),
        (encode_idx(CUBE) + b"\0", r"expected 2 x 3 x 4 = 24 bytes after the header, got 25"),
        (COMPRESSED_CUBE[:-9], r"cannot be read as an IDX file"),
        (COMPRESSED_CUBE[:12] + b"damaged, all of it", r"cannot be read as an IDX file"),
    ],
    ids=["empty", "png", "one_axis", "doubles", "short_header", "short", "long", "cut_gzip", "broken_gzip"],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, axes=3)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: cannot be read as an IDX file \(No such file"):
        read_idx(tmp_path / "nothing", axes=1)
