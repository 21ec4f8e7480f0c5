"""A fair sample of the features of all images of a class, of bounded size, whichever way the images come.

Every position of every image draws a number that depends on nothing but the seed, the class, the image and the place in
it; the sample is the positions with the lowest numbers. Thus it is the same in whatever order and in however many
parts the images are looked at, an image that is looked at twice counts once, and two samples are merged into the one
that a single pass would have given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.kinds import require_tensor

SHOWN_THRESHOLD = 0.1
"""Where the normalised map of a class exceeds this, it counts as shown, and as context below; 0.25 on COCO."""

CAPACITY = 2048
"""Positions sampled per class and kind: with 80 classes and 2048 channels 1.3 GB."""

_KEY_BYTES = 16
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class FeatureSample:
    """Features at some positions.

    Args:
        features: (n, D) float16, finite.
        priorities: (n,) uint64, strictly ascending: the number that each position drew.

    Raises:
        ShapeError: If the arrays are not that.
    """

    features: NDArray[np.float16]
    priorities: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != np.float16:
            raise ShapeError(f"expected features (n, D) float16, got {self.features.dtype} {self.features.shape}")
        if self.priorities.shape != self.features.shape[:1] or self.priorities.dtype != np.uint64:
            raise ShapeError(
                f"expected priorities ({len(self.features)},) uint64, one per position, got {self.priorities.dtype} "
                f"{self.priorities.shape}"
            )
        if bool((self.priorities[1:] <= self.priorities[:-1]).any()):
            raise ShapeError("expected priorities that ascend without repeats")

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, eq=False)
class ClassFeatures:
    """Sampled features of the images of one class.

    Args:
        shown: Where its map is high.
        context: Where its map is low.
    """

    shown: FeatureSample
    context: FeatureSample


def sample_positions(features: Tensor, chosen: Tensor, *, stream: str, seed: int, capacity: int) -> FeatureSample:
    """Sample the features of one image.

    Args:
        features: (D, h, w) float, on any device. Not modified. Beyond the range of float16 they are clipped.
        chosen: (h, w) bool on the same device: the positions to sample from.
        stream: What tells this image's numbers from those of others: it names image, class and kind of position.
        seed: Seed of all numbers.
        capacity: The most positions to keep, 1 or more.

    Returns:
        The chosen positions with the lowest numbers, on the CPU.

    Raises:
        ShapeError: If the tensors are not that.
        ConfigError: If the capacity is below 1.
    """
    _require_capacity(capacity)
    require_tensor(features, "features")
    require_tensor(chosen, "chosen positions")
    if features.ndim != 3 or not features.is_floating_point():
        raise ShapeError(f"expected float features (D, h, w), got {features.dtype} {tuple(features.shape)}")
    if chosen.shape != features.shape[1:] or chosen.dtype != torch.bool:
        raise ShapeError(
            f"expected chosen positions {tuple(features.shape[1:])} bool, got {chosen.dtype} {tuple(chosen.shape)}"
        )
    places = np.flatnonzero(chosen.cpu().numpy())
    drawn = _draw(chosen.numel(), stream=stream, seed=seed)[places]
    order = np.argsort(drawn, kind="stable")[:capacity]
    kept = torch.from_numpy(places[order]).to(features.device)
    picked = features.detach().flatten(1).index_select(1, kept).T.clamp(-_LARGEST_HALF, _LARGEST_HALF)
    return FeatureSample(features=picked.half().cpu().contiguous().numpy(), priorities=drawn[order])


def merge_samples(samples: Sequence[FeatureSample], *, capacity: int) -> FeatureSample:
    """Merge samples of one class, in any order, into that of all their images.

    Args:
        samples: At least one, of features of one length. Not modified.
        capacity: The most positions to keep, that with which the parts were made.

    Returns:
        The positions with the lowest numbers, each once; the first sample itself if the others add nothing.

    Raises:
        ShapeError: If there is none, or the features differ in length.
        ConfigError: If the capacity is below 1.
    """
    _require_capacity(capacity)
    if not samples:
        raise ShapeError("expected one sample or more to merge, got none")
    lengths = sorted({sample.features.shape[1] for sample in samples})
    if len(lengths) > 1:
        raise ShapeError(f"samples hold features of different lengths: {', '.join(map(str, lengths))}")
    first, *others = samples
    if len(first) == capacity:
        # Most images add nothing once the sample is full.
        others = [other for other in others if len(other) and other.priorities[0] < first.priorities[-1]]
    if not others and len(first) <= capacity:
        return first
    parts = (first, *others)
    priorities, places = np.unique(np.concatenate([part.priorities for part in parts]), return_index=True)
    features = np.concatenate([part.features for part in parts])
    return FeatureSample(features=features[places[:capacity]], priorities=priorities[:capacity])


def collect_features(
    features: Tensor,
    maps: Tensor,
    keys: Sequence[int],
    *,
    image_id: str,
    seed: int,
    capacity: int = CAPACITY,
    threshold: float = SHOWN_THRESHOLD,
) -> Mapping[int, ClassFeatures]:
    """Sample the features of one image for each of its classes.

    Args:
        features: (D, h, w) float, what the classifier's 1x1 convolution gets. Not modified.
        maps: (K, h, w) float in 0..1, the normalised maps of the image's own tags. Not modified.
        keys: The K class indices of the maps.
        image_id: The image's name, which decides on the positions that are sampled.
        seed: Seed of the sampling.
        capacity: The most positions to keep per class and kind.
        threshold: Above it a class is shown, below it is its context; a position at exactly this value is neither.

    Returns:
        The samples by class index, on the CPU.

    Raises:
        ShapeError: If features, maps and keys are not as described.
        ConfigError: If the capacity is below 1.
    """
    require_tensor(maps, "maps")
    if maps.ndim != 3 or maps.shape[0] != len(keys) or len(set(keys)) != len(keys):
        raise ShapeError(f"expected maps (K, h, w) of {len(keys)} distinct keys, got {tuple(maps.shape)}")

    def sample(chosen: Tensor, key: int, kind: str) -> FeatureSample:
        return sample_positions(features, chosen, stream=f"{kind}/{key}/{image_id}", seed=seed, capacity=capacity)

    return {
        key: ClassFeatures(sample(own > threshold, key, "shown"), sample(own < threshold, key, "context"))
        for key, own in zip(keys, maps, strict=True)
    }


def merge_features(
    collections: Sequence[Mapping[int, ClassFeatures]], *, capacity: int = CAPACITY
) -> Mapping[int, ClassFeatures]:
    """Merge what was collected from parts of the images; order, number and overlap of the parts make no difference.

    Args:
        collections: What `collect_features` or this function returned, with the same seed. Not modified.
        capacity: That of the parts.

    Returns:
        The samples by class index, ascending.

    Raises:
        ShapeError: If the features differ in length.
        ConfigError: If the capacity is below 1.
    """
    parts: dict[int, list[ClassFeatures]] = {}
    for collection in collections:
        for key, part in collection.items():
            parts.setdefault(key, []).append(part)
    return {
        key: ClassFeatures(
            shown=merge_samples([part.shown for part in parts[key]], capacity=capacity),
            context=merge_samples([part.context for part in parts[key]], capacity=capacity),
        )
        for key in sorted(parts)
    }


def _draw(count: int, *, stream: str, seed: int) -> NDArray[np.uint64]:
    """Draw a number for each position; NumPy keeps the raw stream of a bit generator the same in all versions."""
    key = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=_KEY_BYTES).digest()
    drawn: NDArray[np.uint64] = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(count)
    return drawn


def _require_capacity(capacity: int) -> None:
    if capacity < 1:
        raise ConfigError(f"capacity: expected 1 position or more, got {capacity}")
