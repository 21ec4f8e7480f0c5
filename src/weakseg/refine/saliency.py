"""Saliency supervision: a mask and a class-agnostic map of what stands out correct each other, pixel by pixel.

| saliency | mask | label |
| --- | --- | --- |
| not salient | background | background |
| salient | class c | class c |
| salient | background | the class of the image's only tag; with several tags 255: salient, but nobody claims it |
| not salient | class c | 255: claimed, but not salient (`outside="ignore"`), or background (`outside="background"`) |
| any | 255 | 255 |

An image without tags stays background, however salient something is. What its tags do not tell for certain
(`complete_tags=False`) may be of a class that they do not name: salient background is 255 then, whatever the tags.

Published methods set such rules for score maps, not for finished masks, and differ in the last two rows but one;
`docs/labels.md` compares them with these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.grey import GREY_MAX
from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.soft_labels import SoftMask
from weakseg.spelling import require_option
from weakseg.types import IGNORE_LABEL

Outside = Literal["ignore", "background"]
"""What becomes of pixels that the mask gives to a class although they are not salient."""


def fit_saliency(saliency: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a saliency map to the size of its image, which is upright.

    A map of any other shape is stretched: detectors often answer with a square. Only one whose height is the image's
    width and the other way round cannot be right: it was made from an image that EXIF turns by a quarter.

    Args:
        saliency: (h, w) uint8, not modified.
        size_hw: (height, width) of the image in pixels.

    Returns:
        (H, W) uint8, resized by Pillow's bilinear filter, which averages when it shrinks.

    Raises:
        ShapeError: If the map is not (h, w) uint8, or of that one size.
    """
    if saliency.ndim != 2 or saliency.dtype != np.uint8 or saliency.size == 0:
        raise ShapeError(f"expected a non-empty saliency map (h, w) uint8, got {saliency.shape} {saliency.dtype}")
    fault = find_size_fault((saliency.shape[0], saliency.shape[1]), size_hw)
    if fault is not None:
        raise ShapeError(f"saliency map: {fault}")
    return np.asarray(Image.fromarray(saliency).resize(size_hw[::-1], Image.Resampling.BILINEAR))


def find_size_fault(map_hw: tuple[int, int], image_hw: tuple[int, int]) -> str | None:
    """Say what is wrong with a map that has exactly the size of its image turned by a quarter; None for other sizes."""
    if map_hw != image_hw[::-1] or map_hw == image_hw:
        return None
    return (
        f"it is {map_hw[0]} x {map_hw[1]} px (height, width), but the upright image {image_hw[0]} x {image_hw[1]}; "
        "make it from the image as EXIF turns it"
    )


def apply_saliency(
    mask: SoftMask,
    saliency: NDArray[np.uint8],
    keys: Sequence[int],
    *,
    threshold: float = 0.5,
    outside: Outside = "ignore",
    complete_tags: bool = True,
) -> SoftMask:
    """Correct a mask by a saliency map; the module's table is the rule.

    Args:
        mask: The mask of an image and how sure it is. Not modified.
        saliency: (H, W) uint8 of the mask's size, 255 for what stands out most. Not modified.
        keys: Class indices of the image's own tags, distinct.
        threshold: Salient is what lies above this share of 255, 0..1; a tie is not salient.
        outside: What becomes of pixels that the mask gives to a class although they are not salient.
        complete_tags: Whether it is known of every class if the image shows it.

    Returns:
        A new mask. Confidence stays where the label does. Where saliency decides the label, confidence is the
        saliency's: s / 255 for a class, 1 - s / 255 for the background. Where there is no label, it is 0.

    Raises:
        ShapeError: If the map is not uint8 of the mask's size.
        ConfigError: If the threshold is not within 0..1, or there is no such `outside`.
    """
    require_option(outside, ("ignore", "background"), what="outside")
    if saliency.dtype != np.uint8 or saliency.shape != mask.labels.shape:
        raise ShapeError(
            f"expected saliency {mask.labels.shape} uint8, the mask's size, got {saliency.shape} {saliency.dtype}; "
            "see `fit_saliency`"
        )
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold: expected a value within 0..1, got {threshold}")
    if not len(keys) and complete_tags:
        return SoftMask(mask.labels.copy(), mask.confidence.copy())
    labels, confidence = mask.labels.copy(), mask.confidence.copy()
    share = saliency / np.float32(GREY_MAX)
    salient = saliency > threshold * GREY_MAX

    unclaimed = salient & (mask.labels == 0)
    if complete_tags and len(keys) == 1:
        labels[unclaimed] = keys[0] + 1
        confidence[unclaimed] = share[unclaimed]
    else:
        labels[unclaimed] = IGNORE_LABEL

    claimed_outside = ~salient & (mask.labels != 0) & (mask.labels != IGNORE_LABEL)
    labels[claimed_outside] = IGNORE_LABEL if outside == "ignore" else 0
    confidence[claimed_outside] = 1 - share[claimed_outside]

    confidence[labels == IGNORE_LABEL] = 0
    return SoftMask(labels, confidence)
