"""Boundary IoU: how well the outlines of two label maps agree.

Defined by Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021: of each mask
only the pixels near its own contour count, and the score is their intersection over union. A mask that has the right
place and size but a blurred outline scores high in plain IoU and low here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.errors import ConfigError, ShapeError
from weakseg.types import IGNORE_LABEL

DIAGONAL_SHARE = 0.02
"""Width of a boundary as a share of the image's diagonal, as the paper has it."""

BoolArray = NDArray[np.bool_]


def boundary_width_px(size_hw: tuple[int, int], *, diagonal_share: float = DIAGONAL_SHARE) -> int:
    """Return how many pixels wide the boundary of a mask is: a share of the image's diagonal, rounded, 1 at least.

    Args:
        size_hw: (height, width) of the image in pixels.
        diagonal_share: That share, above 0.

    Raises:
        ConfigError: If the share is not a positive number.
    """
    if not (math.isfinite(diagonal_share) and diagonal_share > 0):
        raise ConfigError(f"boundary width: expected a positive share of the image's diagonal, got {diagonal_share}")
    return max(1, round(diagonal_share * math.hypot(*size_hw)))


def inner_boundary(mask: BoolArray, *, width_px: int) -> BoolArray:
    """Return the pixels of a mask that lie near its contour.

    The distance of a pixel is that to the nearest pixel outside the mask, the larger of the steps along rows and along
    columns; 1 for a pixel at the contour. Beyond the image's border everything is outside. The paper leaves the
    distance open; this one equals taking a pixel off all around, diagonally as well, `width_px` times.

    Args:
        mask: (H, W) bool. Not modified.
        width_px: Largest distance that counts, 1 or more.

    Returns:
        (H, W) bool, a part of the mask; all of it where the mask is no wider than twice the width.

    Raises:
        ShapeError: If the mask is not (H, W) bool.
        ConfigError: If the width is below 1.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ShapeError(f"expected a mask (H, W) of bool, got {mask.dtype} {mask.shape}")
    if width_px < 1:
        raise ConfigError(f"boundary width: expected 1 pixel or more, got {width_px}")
    distance = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    near: BoolArray = mask & (distance <= width_px)
    return near


def count_boundaries(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], *, num_labels: int, width_px: int
) -> NDArray[np.int64]:
    """Count, label by label, how far the boundaries of two label maps agree.

    Pixels that are void in the truth count as outside of every mask of both maps. Otherwise a prediction that reaches
    into a void rim, as it may, would have its contour there and miss the true one. The paper knows no void.

    Args:
        prediction: (H, W) integer labels; those outside of 0..L-1 (255: no answer) are no label.
        truth: (H, W) integer labels 0..L-1, 255 void.
        num_labels: Number of labels L, background included.
        width_px: Width of the boundary, see `boundary_width_px`.

    Returns:
        (L, 2) int64: pixels in the boundaries of both, and in that of either. Counts of several images may be added;
        the first over the second is the boundary IoU.

    Raises:
        ShapeError: If the maps differ in shape or are not (H, W) of integers.
        ConfigError: If the width is below 1.
    """
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
            raise ShapeError(f"{name}: expected integer labels (H, W), got {labels.dtype} {labels.shape}")
    if prediction.shape != truth.shape:
        raise ShapeError(f"prediction {prediction.shape} and truth {truth.shape} differ in shape")
    counts = np.zeros((num_labels, 2), np.int64)
    counted = truth != IGNORE_LABEL
    for label in np.union1d(prediction, truth):
        if 0 <= label < num_labels:
            near_prediction = inner_boundary((prediction == label) & counted, width_px=width_px)
            near_truth = inner_boundary((truth == label) & counted, width_px=width_px)
            counts[label] = (near_prediction & near_truth).sum(), (near_prediction | near_truth).sum()
    return counts
