"""Superpixels: parts of an image of even colour, by Felzenszwalb and Huttenlocher's rule (IJCV 2004).

Neighbouring pixels are joined from the smallest difference of colour to the largest, as long as the difference is no
larger than those inside of either part allow; small parts may differ more. scikit-image does it.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError, MissingExtra
from weakseg.ops.images import require_image

SCALE = 300.0
"""The paper's k for images of 320 x 240: larger gives larger parts."""

SIGMA_PX = 0.8
"""The paper's smoothing beforehand, which removes what a camera adds."""

MIN_PX = 20
"""Parts of fewer pixels are joined to a neighbour."""

ADVICE = "pip install 'weakseg[superpixels]'"


def can_find_superpixels() -> bool:
    """Say whether scikit-image is installed."""
    return importlib.util.find_spec("skimage") is not None


def find_superpixels(
    image: NDArray[np.uint8], *, scale: float = SCALE, sigma_px: float = SIGMA_PX, min_px: int = MIN_PX
) -> NDArray[np.int32]:
    """Divide an image into connected parts of even colour.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        scale: How much small parts may differ, in grey levels times pixels; above 0.
        sigma_px: Standard deviation of the smoothing before, in pixels; 0 for none.
        min_px: Parts of fewer pixels are joined to the neighbour of the most similar colour at their border.

    Returns:
        (H, W) int32: a number for every part, 0, 1, ..., in the order in which rows first meet them.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8.
        ConfigError: If a number is out of its range.
        MissingExtra: If scikit-image is not installed.
    """
    require_image(image)
    if not (scale > 0 and sigma_px >= 0 and min_px >= 0):
        raise ConfigError(
            "superpixels: expected scale above 0, sigma_px and min_px of 0 or more, got "
            f"{scale:g}, {sigma_px:g}, {min_px}"
        )
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise MissingExtra(f"superpixels need scikit-image, which is not installed ({error}); {ADVICE}") from None
    found = felzenszwalb(image, scale=scale, sigma=sigma_px, min_size=min_px)
    _, starts, inverse = np.unique(found, return_index=True, return_inverse=True)
    ranks = np.empty(len(starts), np.int32)
    ranks[np.argsort(starts)] = np.arange(len(starts), dtype=np.int32)
    labels: NDArray[np.int32] = ranks[inverse].reshape(image.shape[:2])
    return labels
