"""Telling how masks of COCO number its classes: 1 to 80 in a row, or by the category ids 1 to 90, which have gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weakseg.data.mask_codes import MaskCode
from weakseg.errors import DataError
from weakseg.types import IGNORE_LABEL, MAX_CLASSES, ClassSet

LEAST_FIT = 0.9
"""Where a numbering explains fewer of the masks, it is not theirs: a few stray pixels are no reason to refuse."""

_SHOWN = 8


@dataclass(frozen=True)
class SeenMask:
    """What a mask holds.

    Args:
        values: The stored numbers.
        keys: Class indices that the image is known to show; None where only the mask tells.
    """

    values: frozenset[int]
    keys: frozenset[int] | None


@dataclass(frozen=True)
class Numbering:
    """How classes are numbered.

    Args:
        by_id: Whether by category ids; else 1..C in a row.
        message: What was found, in words.
        is_sure: Whether the masks tell; else both fit alike.
    """

    by_id: bool
    message: str
    is_sure: bool


def find_numbering(masks: Iterable[SeenMask], classes: ClassSet, *, where: str) -> Numbering:
    """Find the numbering that explains more of the masks: numbers that it has, for classes that the image shows.

    Args:
        masks: What the masks of a split hold.
        classes: The classes, with `source_ids`.
        where: The folder of masks, for messages.

    Raises:
        DataError: If neither explains at least `LEAST_FIT` of the masks that show anything.
    """
    masks = list(masks)
    without = sum(0 not in mask.values for mask in masks)
    if without > len(masks) / 2 and sum(IGNORE_LABEL in mask.values for mask in masks) > len(masks) / 2:
        raise DataError(
            f"{where}: {without} of {len(masks)} masks hold no 0, which is background; where 255 is background and 0 "
            "the first class, add 1 to all other numbers and write 0 for 255"
        )
    seen = [mask for mask in masks if mask.values - {0, IGNORE_LABEL}]
    in_row = {k + 1: k for k in range(len(classes))}
    by_id = {key: k for k, key in enumerate(classes.source_ids or in_row)}
    num_row, num_id = (sum(_fits(mask, meaning) for mask in seen) for meaning in (in_row, by_id))
    counts = f"1 to {len(classes)} in a row fit {num_row} of {len(seen)} masks, category ids {num_id}"
    if seen and max(num_row, num_id) < LEAST_FIT * len(seen):
        values = sorted(set().union(*(mask.values for mask in seen)) - {0, IGNORE_LABEL})
        shown = ", ".join(map(str, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
        raise DataError(
            f"{where}: the masks hold the numbers {shown}, which are no classes of the images: {counts}; expected one "
            "of the two, with 0 for background and 255 for void"
        )
    name = "category ids" if num_id > num_row else f"1 to {len(classes)} in a row"
    if num_id == num_row and in_row != by_id:
        return Numbering(False, f"masks number classes {name}, as nothing tells otherwise ({counts})", is_sure=False)
    return Numbering(num_id > num_row, f"masks number classes by {name} ({counts})", is_sure=True)


def code_of(numbering: Numbering, ids: Sequence[int]) -> MaskCode | None:
    """Return what stored numbers mean; those between the category ids become a label that is none of the classes."""
    if not numbering.by_id:
        return None
    strays = set(range(1, IGNORE_LABEL)).difference(ids)
    return MaskCode({**dict.fromkeys(sorted(strays), MAX_CLASSES), **{key: k + 1 for k, key in enumerate(ids)}})


def _fits(mask: SeenMask, meaning: dict[int, int]) -> bool:
    labels = mask.values - {0, IGNORE_LABEL}
    return labels <= meaning.keys() and (mask.keys is None or {meaning[label] for label in labels} <= mask.keys)
