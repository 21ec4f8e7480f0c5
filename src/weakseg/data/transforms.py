"""Random changes of training images, in the order of the released codes: resize, flip, (colour), normalise, crop.

Every random number comes from a generator seeded by (seed, epoch, image), so a result depends neither on the number
of loader workers nor on the number of processes, and a resumed run sees the very same images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.images import normalise, resize_image
from weakseg.types import IGNORE_LABEL


@dataclass(frozen=True)
class Augmentation:
    """What may change in a training image.

    Args:
        long_side_px: Smallest and largest length the longer side is resized to, both inclusive.
        crop_px: Side of the square crop.
        flip: Whether to mirror left-right with probability one half.
        colour: Contrast factor within 1 +- colour and a tint per channel within +- colour (in units of the
            normalised image). 0 for none, as the released codes have it.

    Raises:
        ConfigError: If a length is below 1 px, the range is not one, or the colour is negative.
    """

    long_side_px: tuple[int, int]
    crop_px: int
    flip: bool
    colour: float

    def __post_init__(self) -> None:
        low, high = self.long_side_px
        if not 1 <= low <= high:
            raise ConfigError(f"long_side_px: expected 1 <= smallest <= largest, got {low} and {high}")
        if self.crop_px < 1:
            raise ConfigError(f"crop_px: expected at least 1 px, got {self.crop_px}")
        if not self.colour >= 0:
            raise ConfigError(f"colour: expected 0 or more, got {self.colour}")


def make_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of one image in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def augment_image(
    image: NDArray[np.uint8], mask: NDArray[np.uint8] | None, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Change an image, and its mask alongside, at random.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        mask: (H, W) uint8 labels, not modified, or None.
        augmentation: What may change.
        rng: Source of randomness.

    Returns:
        The image (3, S, S) float32, ImageNet-normalised, 0 where padded; and the mask (S, S) int64, 255 where padded.

    Raises:
        ShapeError: If image and mask differ in size.
    """
    if mask is not None and mask.shape != image.shape[:2]:
        raise ShapeError(f"image {image.shape[:2]} and mask {mask.shape} differ in size (height, width)")
    size_hw = _draw_size(image.shape[:2], augmentation.long_side_px, rng)
    image = resize_image(image, size_hw)
    mask = None if mask is None else resize_labels(mask, size_hw)
    if augmentation.flip and rng.random() < 0.5:
        image = image[:, ::-1]
        mask = None if mask is None else mask[:, ::-1]
    pixels = normalise(image)
    if augmentation.colour > 0:
        pixels = _shift_colour(pixels, augmentation.colour, rng)
    return _crop(pixels, mask, augmentation.crop_px, rng)


def _draw_size(size_hw: tuple[int, ...], long_side_px: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    scale = int(rng.integers(long_side_px[0], long_side_px[1], endpoint=True)) / max(size_hw)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def resize_labels(mask: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize labels (H, W) uint8 by the nearest pixel; the input itself when the size does not change."""
    if mask.shape == size_hw:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size_hw[::-1], Image.Resampling.NEAREST))


def _shift_colour(pixels: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    contrast = 1 + rng.uniform(-strength, strength)
    tint = torch.from_numpy(rng.uniform(-strength, strength, (3, 1, 1)).astype(np.float32))
    return pixels * contrast + tint


def _crop(
    pixels: Tensor, mask: NDArray[np.uint8] | None, side_px: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Cut a square at a random place; a side that is too short is placed at random within the padding."""
    height, width = pixels.shape[1:]
    (from_y, to_y, rows), (from_x, to_x, columns) = (_draw_span(length, side_px, rng) for length in (height, width))
    target = (slice(to_y, to_y + rows), slice(to_x, to_x + columns))
    source = (slice(from_y, from_y + rows), slice(from_x, from_x + columns))
    square = torch.zeros(3, side_px, side_px)
    square[:, target[0], target[1]] = pixels[:, source[0], source[1]]
    if mask is None:
        return square, None
    labels = torch.full((side_px, side_px), IGNORE_LABEL, dtype=torch.int64)
    labels[target] = torch.from_numpy(mask[source].astype(np.int64))
    return square, labels


def _draw_span(length: int, side_px: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return (start in the image, start in the crop, number of pixels) along one axis."""
    slack = int(rng.integers(0, abs(length - side_px), endpoint=True))
    return (slack, 0, side_px) if length >= side_px else (0, slack, length)
