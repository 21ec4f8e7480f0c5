"""Images on their way into a network: bicubic resizing and ImageNet's normalisation.

Images are (H, W, 3) uint8 RGB arrays. Training transforms and localisation share these functions, so that both feed a
network alike.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from weakseg.errors import ShapeError
from weakseg.ops.kinds import require_array

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue values in 0..1."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue values in 0..1."""


def require_image(image: NDArray[np.uint8]) -> None:
    """Raise a `ShapeError` unless `image` is a non-empty (H, W, 3) uint8 array."""
    require_array(image, "image")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError(f"expected a non-empty (H, W, 3) uint8 RGB image, got {image.dtype} {image.shape}")


def normalise(image: NDArray[np.uint8]) -> Tensor:
    """Turn an image into what ImageNet's networks expect: scaled to 0..1, less the mean, over the standard deviation.

    Args:
        image: (H, W, 3) uint8 RGB; any strides, not modified.

    Returns:
        (3, H, W) float32 on the CPU, contiguous; roughly -2.1..2.6.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8.
    """
    require_image(image)
    values = image.transpose(2, 0, 1).astype(np.float32)
    values /= 255.0
    values -= np.array(IMAGENET_MEAN, np.float32)[:, None, None]
    values /= np.array(IMAGENET_STD, np.float32)[:, None, None]
    return torch.from_numpy(np.ascontiguousarray(values))


def scaled_size_hw(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the size of an image after scaling: rounded half to even as the released codes round it, at least 1.

    Raises:
        ShapeError: If the factor is not a finite number above 0.
    """
    if not 0 < scale < math.inf:  # false for NaN
        raise ShapeError(f"an image is scaled by a finite factor above 0, got {scale}")
    height, width = size_hw
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_image(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image with Pillow's bicubic filter, which also averages when it shrinks.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        size_hw: (height, width) of the result in pixels, each at least 1.

    Returns:
        (*size_hw, 3) uint8; the input itself when the size does not change.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8 or the size is below 1 x 1.
    """
    require_image(image)
    height, width = size_hw
    if min(size_hw) < 1:
        raise ShapeError(f"an image is resized to 1 x 1 pixel or more, got {height} x {width}")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def limit_side(image: NDArray[np.uint8], max_side_px: int | None) -> NDArray[np.uint8]:
    """Shrink an image (H, W, 3) uint8 so that its longer side is at most `max_side_px`; smaller ones stay as they are.

    Returns:
        The image itself or a bicubic copy.
    """
    if max_side_px is None or max(image.shape[:2]) <= max_side_px:
        return image
    return resize_image(image, scaled_size_hw((image.shape[0], image.shape[1]), max_side_px / max(image.shape[:2])))
