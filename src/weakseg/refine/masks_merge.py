"""Merging a class mask with class-agnostic masks of the same image, such as SAM's (SEPL, arXiv:2305.05803).

A class-agnostic mask follows the borders of something without saying what it is. It is taken for a class if that class
covers most of it, or if it covers most of the class; the class then is the union of the masks taken for it. What of the
class no mask covers at all stays. The masks are read by `weakseg.data.agnostic_masks`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.kinds import require_array
from weakseg.refine.merge import HELD_SHARE, WITHIN_SHARE
from weakseg.refine.soft_labels import SoftMask
from weakseg.types import IGNORE_LABEL


def merge_masks(
    labels: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    within_share: float = WITHIN_SHARE,
    held_share: float = HELD_SHARE,
) -> NDArray[np.uint8]:
    """Give the classes of a mask the outlines of class-agnostic masks.

    The rule of SEPL's paper and release. Three things that the release leaves to the order of files and labels are
    settled otherwise: a mask may be taken for two classes; where masks of different classes overlap, a pixel goes to
    the class that covers the larger share of its mask, and to the lower label if shares are equal; and what is void
    (255) stays so unless a mask covers it that is taken for a class.

    Args:
        labels: (H, W) uint8, 0 for the background, class index + 1, 255 for void. Not modified.
        masks: (M, H, W) bool, which may overlap and be nested; M may be 0. Empty ones count for nothing. Not modified.
        within_share: See `WITHIN_SHARE`, 0..1.
        held_share: See `HELD_SHARE`, above 0 and at most 1.

    Returns:
        A new label map (H, W) uint8 with no other labels. A class whose pixels are covered by masks that are all taken
        for none is gone. Without masks it is the old one.

    Raises:
        ShapeError: If the labels are not (H, W) uint8, or the masks not bool of their size.
        ConfigError: If a share is out of its range.
    """
    return _merge(labels, masks, within_share=within_share, held_share=held_share)[0]


def merge_soft_masks(
    mask: SoftMask,
    masks: NDArray[np.bool_],
    *,
    within_share: float = WITHIN_SHARE,
    held_share: float = HELD_SHARE,
) -> SoftMask:
    """Do as `merge_masks`, and say how sure the labels are.

    Args:
        mask: The mask of an image and how sure it is. Not modified.
        masks: As for `merge_masks`, like all that follow.
        within_share: See there.
        held_share: See there.

    Returns:
        A new mask. Confidence stays where the label does. A pixel that a mask gives to a class has the share of that
        mask that the class covered; one that became background has what the old label had left, 1 - confidence.

    Raises:
        ShapeError, ConfigError: See `merge_masks`.
    """
    labels, shares = _merge(mask.labels, masks, within_share=within_share, held_share=held_share)
    decided = np.where(labels == 0, 1 - mask.confidence, shares.astype(np.float32))
    return SoftMask(labels, np.where(labels == mask.labels, mask.confidence, decided).astype(np.float32))


def _merge(
    labels: NDArray[np.uint8], masks: NDArray[np.bool_], *, within_share: float, held_share: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the merged labels, and for every pixel the share by which it was won, 0 if it was not."""
    _require_pair(labels, masks)
    if not 0 <= within_share <= 1:
        raise ConfigError(f"within_share: expected a share within 0..1, got {within_share}")
    if not 0 < held_share <= 1:
        raise ConfigError(f"held_share: expected a share above 0 and at most 1, got {held_share}")
    covered = masks.any(axis=0)
    merged = np.where(covered & (labels != IGNORE_LABEL), np.uint8(0), labels)
    best = np.zeros(labels.shape)  # the largest share that has claimed a pixel so far
    areas = masks.sum(axis=(1, 2))
    for label in np.unique(labels):
        if label in (0, IGNORE_LABEL):
            continue
        of_class = labels == label
        common = (masks & of_class).sum(axis=(1, 2))
        within = common / np.maximum(areas, 1)
        taken = (within > within_share) | (common / of_class.sum() >= held_share)
        for mask, share in zip(masks[taken], within[taken], strict=True):
            won = mask & (share > best)
            merged[won] = label
            best[won] = share
    return merged, best


def _require_pair(labels: NDArray[np.uint8], masks: NDArray[np.bool_]) -> None:
    require_array(labels, "labels")
    require_array(masks, "masks")
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ShapeError(f"expected labels (H, W) uint8, got {labels.dtype} {labels.shape}")
    if masks.ndim != 3 or masks.dtype != np.bool_ or masks.shape[1:] != labels.shape:
        raise ShapeError(
            f"expected masks (M, {', '.join(map(str, labels.shape))}) bool of the labels' size, got {masks.dtype} "
            f"{masks.shape}"
        )
