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
