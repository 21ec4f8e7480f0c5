"""Class activation maps over scales and flips (Zhou et al., CVPR 2016; summed over views as in IRN's release).

Every view of the image, resized and mirrored, goes through the classifier; the score maps of the image's own tags are
rectified and the mirrored half is flipped back and added. Nothing is upsampled here: `ScoreMaps` does that when asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ShapeError
from weakseg.models.classifier import Classifier
from weakseg.models.modes import evaluating
from weakseg.ops.images import normalise, require_image, resize_image, scaled_size_hw
from weakseg.ops.similarity import average_over_similar
from weakseg.types import ScoreMaps

CAM_SCALES = (1.0, 0.5, 1.5, 2.0)
"""Scales of the released IRN and RIB codes, in their order."""


def score_maps(
    classifier: Classifier,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    *,
    scales: Sequence[float] = CAM_SCALES,
    similarity_temperature: float | None = None,
) -> ScoreMaps:
    """Compute the class activation maps of an image's own tags.

    Args:
        classifier: The network; it runs in evaluation mode without gradients and gets its modes back. The maps are
            computed on, and stay on, the device of its parameters.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        scales: Factors the image is resized by (bicubic, size rounded half to even).
        similarity_temperature: Each map is averaged over the places that look alike in the trunk's features
            (`weakseg.ops.similarity.average_over_similar`), less its minimum. None, as released, leaves it as it is.

    Returns:
        One (K, h_s, w_s) float32 map stack per scale, non-negative, for the K tagged classes in ascending order.
        An image without tags costs no network pass and gives maps with K = 0.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, or a scale is not above 0.
    """

    def score(views: Tensor, keys: tuple[int, ...]) -> Tensor:
        features = classifier.trunk(views)
        summed = merge_flip_pair(classifier.head(features)[:, list(keys)])
        return smooth_maps(summed, features, similarity_temperature)

    return score_views(classifier, image, tags, scales=scales, score=score)


def score_views(
    classifier: Classifier,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    *,
    scales: Sequence[float],
    score: Callable[[Tensor, tuple[int, ...]], Tensor],
) -> ScoreMaps:
    """Score an image and its mirror image at every scale: the frame of `score_maps` and its like.

    Args:
        classifier: As for `score_maps`, like image, tags and scales.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        scales: Factors the image is resized by.
        score: Makes the maps (K, h, w) of a `flip_pair` (2, 3, H_s, W_s) for the K class indices.

    Returns:
        Its float32 maps at every scale; maps of zeros, without asking it, for an image without tags.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, or a scale is not above 0.
    """
    require_image(image)
    keys = tagged_classes(tags, num_classes=classifier.num_classes)
    if not scales:
        raise ShapeError("score maps need at least one scale, got none")
    size_hw = (image.shape[0], image.shape[1])
    sizes_hw = [scaled_size_hw(size_hw, scale) for scale in scales]
    device = classifier.classifier.weight.device
    if not keys:
        return zero_maps(keys, size_hw, scales=scales, stride_px=classifier.stride, device=device)
    with torch.no_grad(), evaluating(classifier):
        maps = [
            score(flip_pair(normalise(resize_image(image, scaled_hw)).to(device)), keys).float()
            for scaled_hw in sizes_hw
        ]
    return ScoreMaps(keys=keys, scales=tuple(maps), size_hw=size_hw)


def flip_pair(image: Tensor) -> Tensor:
    """Stack a normalised image (3, H, W) on its left-right mirror image: (2, 3, H, W)."""
    return torch.stack((image, image.flip(-1)))


def merge_flip_pair(scores: Tensor) -> Tensor:
    """Rectify the score maps (2, C, h, w) of a `flip_pair`, flip the second back and add them: (C, h, w)."""
    rectified = scores.relu()
    return rectified[0] + rectified[1].flip(-1)


def smooth_maps(maps: Tensor, features: Tensor, temperature: float | None) -> Tensor:
    """Average maps (K, h, w) over the places that look alike in the trunk's features (2, D, H, W) of a `flip_pair`.

    Where all of an image looks alike, as textures do, averages lift a map's floor nearly to its top: the floor is taken
    off again.
    """
    if temperature is None or not len(maps):
        return maps
    averaged = average_over_similar(maps, features[0] + features[1].flip(-1), temperature=temperature)
    return averaged - averaged.amin(dim=(1, 2), keepdim=True)


def smooth_score_maps(
    classifier: Classifier,
    image: NDArray[np.uint8],
    states: Sequence[ScoreMaps],
    *,
    scales: Sequence[float],
    similarity_temperature: float,
) -> list[ScoreMaps]:
    """Smooth an image's finished maps, of whatever method, as `score_maps` does; costs a pass through the trunk.

    Args:
        classifier: As for `score_maps`; its trunk is what any adaptation leaves as it is.
        image: (H, W, 3) uint8 RGB, not modified.
        states: Maps of the same tags, each at all scales. Not modified.
        scales: The factors that the image was resized by.
        similarity_temperature: As for `score_maps`.

    Returns:
        The smoothed maps, in the same order.

    Raises:
        ShapeError: If maps are finer than the trunk's features at their scale.
    """
    if not any(state.keys for state in states):
        return list(states)
    device = classifier.classifier.weight.device
    smoothed: list[list[Tensor]] = [[] for _ in states]
    with torch.no_grad(), evaluating(classifier):
        for place, scale in enumerate(scales):
            size_hw = scaled_size_hw((image.shape[0], image.shape[1]), scale)
            features = classifier.trunk(flip_pair(normalise(resize_image(image, size_hw)).to(device)))
            for own, state in zip(smoothed, states, strict=True):
                own.append(smooth_maps(state.scales[place], features, similarity_temperature))
    return [replace(state, scales=tuple(own)) for own, state in zip(smoothed, states, strict=True)]


def zero_maps(
    keys: tuple[int, ...],
    size_hw: tuple[int, int],
    *,
    scales: Sequence[float],
    stride_px: int,
    device: torch.device,
) -> ScoreMaps:
    """Return maps of zeros, of the sizes that a network of some stride scores an image at.

    Args:
        keys: Class indices of the maps, ascending.
        size_hw: (height, width) of the image in pixels.
        scales: Factors the image is resized by.
        stride_px: Pixels of the resized image per pixel of a map, of which the last may be cut off.
        device: Where to make them.
    """
    sizes_hw = [scaled_size_hw(size_hw, scale) for scale in scales]
    zeros = tuple(
        torch.zeros(len(keys), math.ceil(height / stride_px), math.ceil(width / stride_px), device=device)
        for height, width in sizes_hw
    )
    return ScoreMaps(keys=keys, scales=zeros, size_hw=size_hw)


def tagged_classes(tags: NDArray[np.generic] | Tensor, *, num_classes: int) -> tuple[int, ...]:
    """Return the classes an image is tagged with, ascending.

    Args:
        tags: (C,) of 0 and 1 in any dtype.
        num_classes: C.

    Raises:
        ShapeError: If the tags are not that.
    """
    values = tags.detach().cpu().numpy() if isinstance(tags, Tensor) else np.asarray(tags)
    if values.shape != (num_classes,):
        raise ShapeError(f"expected tags of shape ({num_classes},), one per class, got {values.shape}")
    if not np.isin(values, (0, 1)).all():
        raise ShapeError(f"tags are 0 or 1, got values {np.unique(values)[:5].tolist()}")
    return tuple(int(key) for key in np.flatnonzero(values))
