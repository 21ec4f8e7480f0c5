"""Superpixels of an image: patches of like colour that a click fills."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic

from weakseg.ops.images import limit_side, require_image

PATCH_SIDE_PX = 22
"""About how wide a superpixel is at `SEEN_SIDE_PX`; larger ones swallow thin limbs."""

SEEN_SIDE_PX = 640
"""Images are looked at at this side at most: patches then keep their share of the image, and the time its bound."""

COMPACTNESS = 12.0
"""Weight of nearness against likeness of colours; scikit-image's default of 10 leaves ragged patches on fur."""

_UPDATES = 6  # scikit-image's 10 move less than 1 % of the pixels further


def find_patches(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Part an image into patches of like colour by SLIC (Achanta et al., 2012).

    Args:
        image: (H, W, 3) uint8 RGB, not modified.

    Returns:
        (H, W) uint16, the number of each pixel's patch, from 0 without gaps.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8.
    """
    require_image(image)
    seen = limit_side(image, SEEN_SIDE_PX)
    height, width = seen.shape[:2]
    count = max(1, round(height * width / PATCH_SIDE_PX**2))
    patches: NDArray[np.int64] = slic(
        seen, n_segments=count, compactness=COMPACTNESS, sigma=1, max_num_iter=_UPDATES, start_label=0, channel_axis=-1
    )
    rows = np.arange(image.shape[0]) * height // image.shape[0]
    columns = np.arange(image.shape[1]) * width // image.shape[1]
    _, numbers = np.unique(patches, return_inverse=True)
    numbered: NDArray[np.uint16] = numbers.reshape(patches.shape).astype(np.uint16)
    found: NDArray[np.uint16] = numbered[rows[:, None], columns]
    return found
