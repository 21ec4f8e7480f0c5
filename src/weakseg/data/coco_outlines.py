"""COCO's outlines (`segmentation`): checking them cheaply, and drawing label maps and instances from them.

COCO publishes no semantic masks, and the masks that the RIB authors let one download were drawn by others, who do not
say how. Here objects are drawn from the largest to the smallest, so that a smaller one stays visible in front of a
larger one; crowds are ignored (255) except where an object covers them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_tools

from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.ops.instances import InstanceTruth
from weakseg.types import IGNORE_LABEL

_FEWEST_NUMBERS = 6  # three corners
_FARTHEST_PX = 100_000.0
"""Corners farther out are a fault: nothing that large is an image, and drawing them would take all memory."""


@dataclass(frozen=True)
class Outline:
    """One object of an image.

    Args:
        label: Its label in the mask, 1..C.
        crowd: Whether it is a crowd, whose pixels are not told apart.
        segmentation: COCO's `segmentation`: a list of polygons (x0, y0, x1, y1, ...) in pixels, or an RLE.
    """

    label: int
    crowd: bool
    segmentation: JsonValue


def draw_labels(outlines: Sequence[Outline], *, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw a label map.

    Args:
        outlines: The objects of one image, in any order; of objects of equal area the later is drawn on top.
        size_hw: (height, width) of the image in pixels.

    Returns:
        (H, W) uint8: 0 background, else the label; 255 for crowds.

    Raises:
        DataError: If an outline cannot be drawn.
    """
    labels = np.zeros(size_hw, np.uint8)
    objects = []
    for outline in outlines:
        pixels = _rasterise(outline.segmentation, size_hw)
        if outline.crowd:
            labels[pixels] = IGNORE_LABEL
        else:
            objects.append((int(pixels.sum()), outline.label, pixels))
    for _, label, pixels in sorted(objects, key=lambda entry: -entry[0]):
        labels[pixels] = label
    return labels


def draw_instances(outlines: Sequence[Outline], *, size_hw: tuple[int, int]) -> InstanceTruth:
    """Draw every object by itself.

    Args:
        outlines: The objects of one image.
        size_hw: (height, width) of the image in pixels.

    Returns:
        The objects in the same order. They overlap where their outlines do, as in COCO's own evaluation; no pixel is
        void. An outline that holds no pixel's centre gives an empty mask.

    Raises:
        DataError: If an outline cannot be drawn.
    """
    masks = np.zeros((len(outlines), *size_hw), np.bool_)
    for mask, outline in zip(masks, outlines, strict=True):
        mask[:] = _rasterise(outline.segmentation, size_hw)
    return InstanceTruth(
        masks=masks,
        keys=np.array([outline.label - 1 for outline in outlines], np.int64),
        crowd=np.array([outline.crowd for outline in outlines], np.bool_),
        void=np.zeros(size_hw, np.bool_),
    )


def outline_fault(segmentation: JsonValue) -> str | None:
    """Tell why a `segmentation` cannot be drawn, or return None.

    It runs for each of the 600 000 objects of an official file and is cheap therefore: polygons are only summed up.
    """
    if isinstance(segmentation, dict):
        return _rle_fault(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return "there is no segmentation"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < _FEWEST_NUMBERS or len(polygon) % 2:
            return "a polygon must be a list of at least three (x, y) corners"
        try:
            # NaN and infinity show in the sum, text and nested lists raise.
            numbers = cast(list[float], polygon)
            sound = math.isfinite(sum(numbers)) and -_FARTHEST_PX < min(numbers) and max(numbers) < _FARTHEST_PX
        except TypeError:
            return "a polygon must hold numbers only"
        if not sound:
            return "a polygon has corners far outside any image"
    return None


def is_in_shares(segmentation: JsonValue) -> bool | None:
    """Say whether all corners of polygons lie between 0 and 1, as shares of an image's size do.

    Returns:
        None if all are 0 or 1, which may be shares or pixels.
    """
    polygons = segmentation if isinstance(segmentation, list) else []
    whole = True
    for polygon in polygons:
        for at in polygon if isinstance(polygon, list) else ():
            if not isinstance(at, int | float) or not 0 <= at <= 1:
                return False
            whole = whole and at in (0, 1)
    return None if whole and polygons else bool(polygons)


def rle_size_hw(segmentation: JsonValue) -> tuple[int, int] | None:
    """Return the (height, width) that an RLE was made for, or None for polygons and where it does not tell."""
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list) or len(size) != 2:
        return None
    height, width = size
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _rle_fault(rle: dict[str, JsonValue]) -> str | None:
    size_hw = rle_size_hw(rle)
    if size_hw is None or not 1 <= min(size_hw) <= max(size_hw) <= _FARTHEST_PX:
        return "an RLE needs 'size': [height, width]"
    try:
        total = sum(_run_lengths(rle.get("counts")))
    except ValueError as error:
        return str(error)
    return None if total == math.prod(size_hw) else f"its RLE covers {total} pixels, not {size_hw[0]} x {size_hw[1]}"


def _run_lengths(counts: JsonValue) -> list[int]:
    """Return the lengths of the runs of background and object by turns, column by column.

    Raises:
        ValueError: If `counts` is neither a list of non-negative integers nor COCO's packed text.
    """
    if isinstance(counts, str):
        return _unpack(counts)
    if not isinstance(counts, list):
        raise ValueError("an RLE needs 'counts'")
    runs = [count for count in counts if isinstance(count, int) and count >= 0]
    if len(runs) != len(counts):
        raise ValueError("the counts of an RLE must be non-negative integers")
    return runs


def _unpack(text: str) -> list[int]:
    """Decode COCO's packed counts.

    Five bits a character from the lowest on, offset 48, bit 32 if more follow, sign in the last; from the fourth run
    on, the difference to the run before last is stored. pycocotools does the same in C without checking the text, and
    a damaged one overwrites its memory.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError("the counts of its RLE hold characters that COCO does not use")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
        if runs[-1] < 0:
            raise ValueError("the counts of its RLE are damaged")
    if shift:
        raise ValueError("the counts of its RLE end too early")
    return runs


def _rasterise(segmentation: JsonValue, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size_hw
    fault = outline_fault(segmentation)
    if fault is not None:
        raise DataError(f"an outline cannot be drawn: {fault}")
    if isinstance(segmentation, dict):
        if rle_size_hw(segmentation) != size_hw:
            raise DataError(f"an RLE for {rle_size_hw(segmentation)} pixels does not fit an image of {size_hw}")
        runs = _run_lengths(segmentation["counts"])
        columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return columns.reshape(width, height).T
    merged = rle_tools.merge(rle_tools.frPyObjects(segmentation, height, width))
    return np.asarray(rle_tools.decode(merged), np.bool_)
