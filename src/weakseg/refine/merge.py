"""The mask of `none` or `crf` takes the outlines of class-agnostic masks, such as SAM's (SEPL, arXiv:2305.05803).

Others make these masks, a file or folder per image: `weakseg.data.agnostic_masks` says which kinds there are.
`weakseg.refine.masks_merge` is the rule.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

from weakseg.config.bounds import SHARE, Range, path_setting, setting
from weakseg.errors import DataError
from weakseg.methods import ImageFiles
from weakseg.refine.crf import CRF
from weakseg.refine.method import ImageRefiner, RefineContext, Refined, Refiner, SeededImage
from weakseg.refine.none import NONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("weakseg")

WITHIN_SHARE = 0.5
"""A mask is taken for a class that covers more than this share of it."""

HELD_SHARE = 0.85
"""A mask is taken for a class of which it holds at least this share."""

MAX_NAMED = 5
"""So many files that cannot be used are named; if they are the first ones, none is likely to fit."""


@dataclass(frozen=True)
class MergeConfig:
    """Class-agnostic masks that lend their outlines; used when `refine.method` is `merge`.

    Args:
        folder: Holds the class-agnostic masks of every image: `<id>.json` as SAM's generators write, `<id>.npz`,
            `<id>.png` with a number per mask, or a folder `<id>` with a PNG per mask. Images without any keep the mask
            as it is.
        on: The refiner whose mask takes the outlines.
        within_share: A mask is taken for a class that covers more than this share of it.
        held_share: A mask is also taken for a class of which it holds at least this share.
    """

    folder: str | None = path_setting(None)
    on: Literal["none", "crf"] = "crf"
    within_share: float = setting(WITHIN_SHARE, SHARE)
    held_share: float = setting(HELD_SHARE, Range(0.01, 1))


def find_files(folder: Path, sample_id: str) -> Sequence[Path]:
    """Return the files with the class-agnostic masks of an image; empty if there are none."""
    from weakseg.data.agnostic_masks import AgnosticMasks

    found = AgnosticMasks(folder).find(sample_id)
    if found is None:
        return ()
    return sorted(found.glob("*.png")) if found.is_dir() else (found,)


class OutlineReader:
    """Reads class-agnostic masks at the size of labels, and names files that cannot be used.

    Args:
        folder: Their folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()  # images are refined side by side
        self._num_read = 0
        self._num_faults = 0

    def read(self, item: SeededImage, size_hw: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Read the masks of an image.

        Args:
            item: The image; the masks have its original size.
            size_hw: (height, width) to bring them to, by the nearest pixel.

        Returns:
            (M, H, W) bool; None if there are none, or they cannot be used.

        Raises:
            DataError: If none of the first `MAX_NAMED` can be used.
        """
        from weakseg.data.agnostic_masks import AgnosticMasks

        try:
            found = AgnosticMasks(self._folder).read(item.sample.id, size_hw=item.original_hw or item.size_hw)
        except DataError as error:
            self._tell(error)
            return None
        if found is None:
            return None
        with self._lock:
            self._num_read += 1
        return _resize(found, size_hw)

    def _tell(self, error: DataError) -> None:
        with self._lock:
            self._num_faults += 1
            count, is_hopeless = self._num_faults, self._num_read == 0
        if count == MAX_NAMED and is_hopeless:
            raise DataError(f"refine.merge.folder: the first {MAX_NAMED} images' masks cannot be used; {error}")
        if count <= MAX_NAMED:
            more = "; others like it are not named" if count == MAX_NAMED else ""
            logger.warning("%s; the image keeps its mask%s", error, more)


def open_merge(context: RefineContext) -> ImageRefiner:
    """Return what merges the mask of another refiner, at every threshold, with the class-agnostic masks."""
    from weakseg.refine.masks_merge import merge_masks, merge_soft_masks

    settings = MERGE.settings_in(context.section)
    refine_first = NONE.open(context) if settings.on == "none" else CRF.open(context)
    if settings.folder is None:  # the stage refuses this; there is nothing to merge with
        return refine_first
    outlines = OutlineReader(Path(settings.folder))

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        first = refine_first(item, thresholds)
        labels = first.mask.labels
        masks = outlines.read(item, (labels.shape[0], labels.shape[1])) if item.seed.keys else None
        if masks is None:
            return first
        within, held = settings.within_share, settings.held_share
        merged = merge_soft_masks(first.mask, masks, within_share=within, held_share=held)
        return Refined(
            merged, [merge_masks(other, masks, within_share=within, held_share=held) for other in first.others]
        )

    return refine


def _resize(masks: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    import numpy as np

    if masks.shape[1:] == size_hw:
        return masks
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(np.intp)
        for wanted, given in zip(size_hw, masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns]


MERGE = Refiner(
    name="merge",
    summary="the mask of `none` or `crf` with the outlines of class-agnostic masks, such as SAM's, from a folder",
    settings=MergeConfig,
    source="Chen et al., arXiv:2305.05803 (SEPL)",
    licence="MIT",
    reads=ImageFiles(setting="folder", what="class-agnostic masks", find=find_files),
    remedies={
        "refined away": "raise refine.merge.within_share, or {lower}",
        "spread": "raise refine.merge.held_share, or {raise}",
    },
    open=open_merge,
)
