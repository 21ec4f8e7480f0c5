"""Superpixels: parts of an image of even colour, by Felzenszwalb and Huttenlocher's rule (IJCV 2004).

Neighbouring pixels are joined from the smallest difference of colour to the largest, as long as the difference is no
larger than those inside of either part allow; small parts may differ more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.errors import ConfigError
from weakseg.ops.compiled import compiled
from weakseg.ops.images import require_image

SCALE = 300.0
"""The paper's k for images of 320 x 240: larger gives larger parts."""

SIGMA_PX = 0.8
"""The paper's smoothing beforehand, which removes what a camera adds."""

MIN_PX = 20
"""Parts of fewer pixels are joined to a neighbour."""

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""(rows, columns) to half of a pixel's eight neighbours; the others are theirs."""


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
    """
    require_image(image)
    if not (scale > 0 and sigma_px >= 0 and min_px >= 0):
        raise ConfigError(
            "superpixels: expected scale above 0, sigma_px and min_px of 0 or more, got "
            f"{scale:g}, {sigma_px:g}, {min_px}"
        )
    values = image.astype(np.float32)
    if sigma_px > 0:
        values = ndimage.gaussian_filter(values, sigma=(sigma_px, sigma_px, 0), mode="nearest")
    first, second, weights = _list_edges(values)
    order = np.argsort(weights, kind="stable")
    roots = _join(first[order], second[order], weights[order], image.shape[0] * image.shape[1], scale, min_px)
    _, starts, inverse = np.unique(roots, return_index=True, return_inverse=True)
    ranks = np.empty(len(starts), np.int32)
    ranks[np.argsort(starts)] = np.arange(len(starts), dtype=np.int32)
    labels: NDArray[np.int32] = ranks[inverse].reshape(image.shape[:2])
    return labels


def _list_edges(values: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return both pixels' numbers and the difference in colour of every pair of neighbours."""
    height, width = values.shape[:2]
    numbers = np.arange(height * width, dtype=np.int32).reshape(height, width)
    firsts, seconds, weights = [], [], []
    for rows, columns in _STEPS:
        here = (slice(0, height - rows), slice(max(0, -columns), width - max(0, columns)))
        there = (slice(rows, height), slice(max(0, columns), width + min(0, columns)))
        firsts.append(numbers[here].ravel())
        seconds.append(numbers[there].ravel())
        weights.append(np.sqrt(((values[here] - values[there]) ** 2).sum(axis=2)).ravel())
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(weights)


@compiled
def _find_root(parents: NDArray[np.int32], pixel: int) -> int:
    """Return the pixel that stands for a part, and shorten the way to it."""
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _join(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    weights: NDArray[np.float32],
    count: int,
    scale: float,
    min_px: int,
) -> NDArray[np.int32]:
    """Join pixels along edges in the order given; return for every pixel the one that stands for its part."""
    parents = np.arange(count).astype(np.int32)
    sizes = np.ones(count, np.int64)
    allowed = np.full(count, scale)  # the largest difference inside a part and scale / size
    for edge in range(len(weights)):
        one, other = _find_root(parents, first[edge]), _find_root(parents, second[edge])
        if one != other and weights[edge] <= min(allowed[one], allowed[other]):
            parents[other] = one
            sizes[one] += sizes[other]
            allowed[one] = weights[edge] + scale / sizes[one]
    for edge in range(len(weights)):
        one, other = _find_root(parents, first[edge]), _find_root(parents, second[edge])
        if one != other and min(sizes[one], sizes[other]) < min_px:
            parents[other] = one
            sizes[one] += sizes[other]
    roots = np.empty(count, np.int32)
    for pixel in range(count):
        roots[pixel] = _find_root(parents, pixel)
    return roots
