"""The colours of masks: which label each means, and what is odd about a file's palette."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.images import open_picture
from weakseg.ops.color import label_palette


@dataclass(frozen=True)
class PaletteFault:
    """Something odd about the colours of a mask.

    Args:
        message: What it is.
        misleading: Whether the labels may be wrong: the palette holds VOC colours at other places, as after an image
            editor has reordered it. Otherwise the mask only looks unusual.
    """

    message: str
    misleading: bool


def find_palette_fault(path: Path) -> PaletteFault | None:
    """Tell what is odd about the colours of a readable mask, or return None.

    Args:
        path: A mask that `read_mask` accepts.
    """
    with open_picture(path) as image:
        if image.mode != "P":
            message = (
                f"not a palette PNG (Pillow mode {image.mode}); viewers do not show its classes in the usual colours"
            )
            return PaletteFault(message, misleading=False)
        used = np.flatnonzero(image.histogram())
        # The palette may be shorter than 256 colours.
        colours = np.asarray(image.getpalette() or [], np.uint8).reshape(-1, 3)
    places = find_palette_labels(colours)
    for index in used[used < len(colours)]:
        if places[index] not in (-1, index):
            message = (
                f"palette index {index} has the VOC colour of label {places[index]}; if an editor has reordered the "
                f"palette, the labels are wrong: save it with the VOC palette unchanged"
            )
            return PaletteFault(message, misleading=True)
    return None


def find_coded_labels(pixels: NDArray[np.uint8], colours: Mapping[tuple[int, int, int], int]) -> NDArray[np.int16]:
    """Find the label of each colour of `pixels` (..., 3); -1 where there is none."""
    codes = _colour_codes(pixels)
    labels = np.full(codes.shape, -1, np.int16)
    for colour, label in colours.items():
        labels[codes == _colour_codes(np.array(colour, np.uint8))] = label
    return labels


def find_palette_labels(colours: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Find the label whose VOC colour each of `colours` (..., 3) is; -1 where there is none."""
    order, sorted_codes = _sorted_palette()
    codes = _colour_codes(colours)
    at = np.minimum(np.searchsorted(sorted_codes, codes), len(sorted_codes) - 1)
    return np.where(sorted_codes[at] == codes, order[at], np.int16(-1))


@lru_cache(maxsize=1)
def _sorted_palette() -> tuple[NDArray[np.int16], NDArray[np.uint32]]:
    codes = _colour_codes(label_palette())
    order = np.argsort(codes)
    return order.astype(np.int16), codes[order]


def _colour_codes(colours: NDArray[np.uint8]) -> NDArray[np.uint32]:
    wide = colours.astype(np.uint32)
    codes: NDArray[np.uint32] = wide[..., 0] * np.uint32(65536) + wide[..., 1] * np.uint32(256) + wide[..., 2]
    return codes
