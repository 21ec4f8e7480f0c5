"""The parts of a photographed object, and how much of each a classifier's gradients come from.

Digits and markers are drawn; in a photograph the parts follow from masks. What a seed shows of an object is its
discriminative part, since that is what the classifier tells the class by; the rest of the true mask is its other part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.ops.gradient_ratio import high_gradient_ratio, normalise_gradients
from weakseg.studies.bottleneck.layer_gradients import ImageGradients

PARTS = ("discriminative", "other", "background")
"""In the order of all numbers."""

MIN_PART_SHARE = 0.005
"""Of the image; an object of which a part takes less is not measured, since a few pixels on a rim tell nothing."""


@dataclass(frozen=True, eq=False)
class ObjectParts:
    """Where the parts of an image's objects of one class are.

    Args:
        key: Class index.
        masks: (3, H, W) bool of each of `PARTS`. Pixels of other objects, and void ones, are in none.
    """

    key: int
    masks: Tensor


def split_objects(
    truth: NDArray[np.uint8], seed: NDArray[np.uint8], keys: Sequence[int], *, min_share: float = MIN_PART_SHARE
) -> tuple[ObjectParts, ...]:
    """Split the objects of an image's tags by what a seed shows of them.

    Args:
        truth: (H, W) true labels: 0 is background, k + 1 class k, 255 void.
        seed: (H, W) labels of the seed.
        keys: Class indices of the tags.
        min_share: Least share of the image that each part must take.

    Returns:
        One per tag whose parts are all there, in the order of the tags.
    """
    background = truth == 0
    found = []
    for key in keys:
        is_object, is_shown = truth == key + 1, seed == key + 1
        masks = np.stack([is_object & is_shown, is_object & ~is_shown, background])
        if all(mask.any() and mask.mean() >= min_share for mask in masks):
            found.append(ObjectParts(key, torch.from_numpy(masks)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class ObjectResult:
    """What was measured on one object; shares are the six numbers of `measure_parts`.

    Args:
        name: Its class.
        areas: Share of the image that each part takes, (3,).
        layers: Shares of the gradient of every layer's output with respect to the image, (L, 6).
        logits: The logit in every state, (S,).
        by_image: Shares of its gradient with respect to the image, (S, 6).
        by_layer: Shares of its gradient with respect to every layer's output, (S, L, 6).
    """

    name: str
    areas: NDArray[np.float64]
    layers: NDArray[np.float64]
    logits: NDArray[np.float64]
    by_image: NDArray[np.float64]
    by_layer: NDArray[np.float64]


def measure_object(
    found: ImageGradients, place: int, one: ObjectParts, name: str, *, side_px: int, threshold: float
) -> ObjectResult:
    """Measure an image's gradients on the parts of one object.

    Args:
        found: The gradients.
        place: Which of the image's tags the object has.
        one: The object.
        name: Its class.
        side_px: Pixels that a position of the maps stands for.
        threshold: Of HGR.
    """

    def measure(averages: NDArray[np.float32]) -> NDArray[np.float64]:
        flat = averages.reshape(-1, *averages.shape[-2:])
        return measure_parts(flat, one.masks, side_px=side_px, threshold=threshold).reshape(*averages.shape[:-2], -1)

    return ObjectResult(
        name=name,
        areas=one.masks.double().mean(dim=(1, 2)).numpy(),
        layers=measure(found.layers),
        logits=found.logits[place].astype(np.float64),
        by_image=measure(found.by_image[place]),
        by_layer=measure(found.by_layer[place]),
    )


def measure_parts(
    averages: NDArray[np.float32], masks: Tensor, *, side_px: int, threshold: float
) -> NDArray[np.float64]:
    """Measure how much of each gradient comes from each part.

    Args:
        averages: (M, h, w) magnitudes over squares of the image, see `layer_gradients.average_over_squares`.
        masks: (3, H, W) bool, see `ObjectParts`.
        side_px: Side of the squares.
        threshold: Share of the maximum above which a gradient is high.

    Returns:
        (M, 6): the HGR of each part, and each part's strength: its mean magnitude over that of the image, 0 for a
        gradient that is 0 everywhere.
    """
    height, width = masks.shape[1:]
    whole = torch.from_numpy(averages).repeat_interleave(side_px, dim=1).repeat_interleave(side_px, dim=2)
    maps = normalise_gradients(whole[:, :height, :width])
    ratios = [high_gradient_ratio(maps, mask.expand_as(maps), threshold=threshold) for mask in masks]
    means = maps.mean(dim=(1, 2))
    strengths = [maps[:, mask].mean(dim=1) / torch.where(means > 0, means, 1) for mask in masks]
    return torch.stack([*ratios, *strengths], dim=1).double().numpy()
