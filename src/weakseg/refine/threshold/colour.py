"""How much a pixel's colour tells about its label.

An object differs from what is around it. A mask that covers the object and nothing else therefore shares more
information with the colours than one that leaves part of the object to the background, or takes part of the background
in. Both extremes, no foreground and no background, share none: unlike most measures of how well two regions differ,
this one is not drawn to small regions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.images import require_image
from weakseg.refine.threshold.cuts import Cuts

BITS = 3
"""Bits that are kept of each channel: 512 colours."""


def score_colours(cuts: Cuts) -> NDArray[np.float64]:
    """Score every threshold by the `colour_information` of foreground and background, (T,) bits per pixel.

    Which class the foreground has is left aside: two animals of one colour are still both foreground.
    """
    return np.array([colour_information(cuts.image, (labels > 0).astype(np.uint8)) for labels in cuts.masks])


def colour_information(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Measure the information that the colours of an image carry about its labels.

    This is the mutual information of label and coarse colour, `H(label) - H(label | colour)`, with the second entropy
    estimated by leaving out: a pixel's label is guessed from the labels of the other pixels of its colour and, with the
    weight of one more pixel, from those of the whole image. Colours that occur once thus tell nothing, and labels that
    do not go with colours get no credit for the fineness of the histogram.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        labels: (H, W) uint8, not modified.

    Returns:
        Bits per pixel: at most the entropy of the labels, 0 if there is but one, below 0 where the guess is worse than
        one that does not look at the colour.

    Raises:
        ShapeError: If image and labels are not as described or differ in size.
    """
    require_image(image)
    if labels.shape != image.shape[:2] or labels.dtype != np.uint8:
        raise ShapeError(f"expected labels {image.shape[:2]} uint8 like the image, got {labels.dtype} {labels.shape}")
    joint = _count_pairs(image, labels)
    shares = joint.sum(axis=1) / labels.size
    others = joint.sum(axis=0, keepdims=True) - 1
    guess = (joint - 1 + shares[:, None]) / (others + 1)
    occurs = joint > 0
    left = (joint[occurs] * np.log2(guess[occurs])).sum() / labels.size
    return float(left - (shares * np.log2(shares)).sum())


def _count_pairs(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of every label and colour that occur, (labels, colours)."""
    coarse = (image >> (8 - BITS)).astype(np.int64)
    colours = (coarse[..., 0] << 2 * BITS) | (coarse[..., 1] << BITS) | coarse[..., 2]
    present, places = np.unique(labels, return_inverse=True)
    num_colours = 1 << 3 * BITS
    counts = np.bincount(places.ravel() * num_colours + colours.ravel(), minlength=len(present) * num_colours)
    joint: NDArray[np.int64] = counts.reshape(len(present), num_colours)
    return joint[:, joint.any(axis=0)]
