"""Run lengths of Label Studio's brush: bits, as `@thi.ng/rle-pack` packs them.

The format is described at https://www.npmjs.com/package/@thi.ng/rle-pack ("Encoding format"); that Label Studio uses it
for the four channels of an RGBA picture, see https://github.com/HumanSignal/label-studio-converter/issues/95 and
https://labelstud.io/guide/predictions (Import brush segmentation pre-annotations in RLE format).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError

_WORD_BITS = 8
_CLASS_BITS = (3, 4, 8, 16)
"""Widths in which a run's length is stored; a run has the first one it fits in. The package's defaults."""

_LONGEST = 1 << _CLASS_BITS[-1]
_CHANNELS = 4
_PAINTED = 255
_RUN_FLAG = 1
_NUMBER_BITS, _WIDTH_BITS, _CLASS_WIDTH_BITS, _CLASS_CHOICE_BITS = 32, 5, 4, 2
"""Widths of the number of values, of their width, of the width of a length, and of which of those a run has."""


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask as Label Studio's brush does.

    The mask becomes an RGBA picture whose four channels are all 255 where it is painted and 0 elsewhere, row by row.
    Only alpha is read back. Every run, also of a single value, is stored as a run.

    Args:
        mask: (H, W) bool, neither side 0.

    Returns:
        Bytes, 0..255 each: 32 bits number of values, 5 bits their width less one, four times 4 bits width of a run's
        length less one; then per run 1 bit (1: a run), 2 bits which width, its length less one, its value. The last
        byte is filled up with 0.

    Raises:
        ShapeError: If the mask is not (H, W) bool, or too large for the format.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or not 0 < mask.size * _CHANNELS < 1 << 32:
        raise ShapeError(f"expected a mask (H, W) bool of 1 to {(1 << 30) - 1} pixels, got {mask.shape} {mask.dtype}")
    values, lengths = _find_runs(mask)
    width_class = np.searchsorted(1 << np.array(_CLASS_BITS), lengths)
    length_bits = np.array(_CLASS_BITS)[width_class]
    codes = (_RUN_FLAG << 2 | width_class) << length_bits | (lengths - 1)
    codes = codes << _WORD_BITS | values
    header = [(mask.size * _CHANNELS, 32), (_WORD_BITS - 1, 5), *((bits - 1, 4) for bits in _CLASS_BITS)]
    return np.packbits(
        np.concatenate(
            [
                _to_bits(*np.array(header, np.int64).T),
                _to_bits(codes, 3 + length_bits + _WORD_BITS),
            ]
        )
    ).tolist()


def decode_brush(data: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode what Label Studio's brush has painted: the pixels that are not wholly transparent.

    Args:
        data: Bytes (N,) uint8, see `encode_brush`; other widths and single values stored as such are read too.
        size_hw: (height, width) of the picture.

    Returns:
        (H, W) bool.

    Raises:
        ShapeError: If the bytes end too early, or are for a picture of another size.
    """
    bits = _Bits(data)
    number, word_bits = bits.read(_NUMBER_BITS), bits.read(_WIDTH_BITS) + 1
    length_bits = [bits.read(_CLASS_WIDTH_BITS) + 1 for _ in _CLASS_BITS]
    expected = size_hw[0] * size_hw[1] * _CHANNELS
    if number != expected or word_bits != _WORD_BITS:
        raise ShapeError(
            f"expected the brush of {size_hw[1]} x {size_hw[0]} pixels, {expected} bytes, got {number} values of "
            f"{word_bits} bits"
        )
    picture = np.zeros(number, np.uint8)
    at = 0
    while at < number:
        is_run = bits.read(1) == _RUN_FLAG
        count = bits.read(length_bits[bits.read(_CLASS_CHOICE_BITS)]) + 1
        if at + count > number:
            raise ShapeError(f"the brush holds more than the {number} values that it says")
        picture[at : at + count] = bits.read(_WORD_BITS) if is_run else bits.read_bytes(count)
        at += count
    return picture.reshape(*size_hw, _CHANNELS)[..., -1] > 0


class _Bits:
    """Reads numbers from bits, the highest bit first."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._bits = np.unpackbits(data)
        self._text = (self._bits + ord("0")).tobytes().decode("ascii")
        self._at = 0

    def read(self, width: int) -> int:
        """Read one number."""
        return int(self._text[self._step(width) : self._at], 2)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        """Read so many bytes."""
        return np.packbits(self._bits[self._step(count * _WORD_BITS) : self._at])

    def _step(self, width: int) -> int:
        start, self._at = self._at, self._at + width
        if self._at > len(self._text):
            raise ShapeError("the brush ends too early")
        return start


def _find_runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return value and length of every run of the RGBA picture, those that are too long cut into several."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size) * _CHANNELS
    pieces = -(-lengths // _LONGEST)
    values = np.repeat(flat[starts] * np.int64(_PAINTED), pieces)
    cut = np.full(len(values), _LONGEST, np.int64)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return values, cut


def _to_bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write numbers one after another, each in so many bits, the highest bit first."""
    places = np.arange(widths.max() - 1, -1, -1)
    bits = (codes[:, None] >> places & 1).astype(np.uint8)
    return bits[places < widths[:, None]]
