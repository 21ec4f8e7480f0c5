"""The values every layer passes on: classes, samples and score maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import DataError, ShapeError
from weakseg.spelling import nearest

IGNORE_LABEL = 255
"""Label of pixels that count neither in training nor in evaluation (VOC's void)."""

MAX_CLASSES = 254
"""Masks are uint8 with 0 for background and 255 for ignore, which leaves 254 labels."""

NORMALISATION_EPS = 1e-5
"""Added to a map's maximum before dividing by it, as the released IRN code does."""


@dataclass(frozen=True)
class ClassSet:
    """The ordered class names of a dataset; the background is not one of them.

    Args:
        names: Class names; the index of a name is its class index 0..C-1. Label maps hold `index + 1`.
        source_ids: Category ids of the source annotation per class (COCO's 1..90 with gaps), or None.

    Raises:
        DataError: If there is no name, more than 254, an empty or repeated one, or one with `;` in it.
    """

    names: tuple[str, ...]
    source_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        names = self.names
        if not 1 <= len(names) <= MAX_CLASSES:
            raise DataError(f"a class set holds 1 to {MAX_CLASSES} classes (masks are uint8), got {len(names)}")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(f"class names must differ, but these repeat: {', '.join(repeated)}")
        bad = [name for name in names if not name.strip() or ";" in name or name != name.strip()]
        if bad:
            raise DataError(f"class names are non-empty, without ';' or outer spaces, got {bad}")
        ids = self.source_ids
        if ids is not None and not len(names) == len(ids) == len(set(ids)):
            raise DataError(f"expected {len(names)} distinct source ids, got {ids}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    @property
    def num_classes(self) -> int:
        """Number of classes, background not counted."""
        return len(self.names)

    @property
    def num_labels(self) -> int:
        """Number of labels in a mask: the classes and the background."""
        return len(self.names) + 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names by mask label: `background` first."""
        return ("background", *self.names)

    def index(self, name: str) -> int:
        """Return the class index of `name`; the error lists the nearest names."""
        try:
            return self.names.index(name)
        except ValueError:
            raise DataError(f"unknown class '{name}'; {nearest(name, self.names)}") from None

    def encode(self, names: Iterable[str]) -> NDArray[np.uint8]:
        """Turn class names into a tag vector (C,) of 0 and 1."""
        tags = np.zeros(len(self.names), np.uint8)
        for name in names:
            tags[self.index(name)] = 1
        return tags

    def decode(self, tags: NDArray[np.generic]) -> tuple[str, ...]:
        """Turn a tag vector (C,) into the names of its non-zero entries."""
        if tags.shape != (len(self.names),):
            raise ShapeError(f"expected tags of shape ({len(self.names)},), got {tags.shape}")
        return tuple(self.names[k] for k in np.flatnonzero(tags))


@dataclass(frozen=True, eq=False)
class Sample:
    """One tagged image.

    Args:
        id: Text that names the image within its dataset and its files within a run. May hold `/` (sub-folders)
            but is never absolute and never climbs (`..`).
        image_path: The image file.
        tags: (C,) uint8, 1 where the class is present.
        known: (C,) bool, True where presence or absence is known. Elsewhere `tags` is 0 and means nothing.

    Raises:
        DataError: If the id cannot be a relative path, or the tag vectors disagree.
    """

    id: str
    image_path: Path
    tags: NDArray[np.uint8]
    known: NDArray[np.bool_]

    def __post_init__(self) -> None:
        parts = self.id.split("/")
        if not self.id or "\\" in self.id or any(part in ("", ".", "..") for part in parts):
            raise DataError(f"an image id must be a relative path without '..', got '{self.id}' ({self.image_path})")
        if self.tags.ndim != 1 or self.tags.shape != self.known.shape:
            raise DataError(f"image {self.id}: tags {self.tags.shape} and known {self.known.shape} must both be (C,)")
        if self.tags.dtype != np.uint8 or self.known.dtype != np.bool_:
            raise DataError(f"image {self.id}: tags must be uint8 and known bool")
        if bool((self.tags > 1).any()) or bool(((self.tags == 1) & ~self.known).any()):
            raise DataError(f"image {self.id}: tags are 0 or 1, and a present class is a known one")

    @property
    def keys(self) -> tuple[int, ...]:
        """Class indices of the image's own tags, ascending."""
        return tuple(int(k) for k in np.flatnonzero(self.tags))


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """Raw score maps of one image's own tags, one tensor per scale, from which every normalised form is rebuilt.

    Args:
        keys: Class indices of the K maps, ascending.
        scales: One float32 tensor (K, h_s, w_s) per scale at the network's stride, rectified, with the flipped
            view already added (and, for RIB, summed over iterations). K may be 0.
        size_hw: (height, width) of the image in pixels.

    Raises:
        ShapeError: If the number of maps is not the number of keys, a key is not in 0..253, a dtype is not float32, or
            a map or the image has no pixel.
    """

    keys: tuple[int, ...]
    scales: tuple[Tensor, ...]
    size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        if not self.scales:
            raise ShapeError("score maps need at least one scale, got none")
        if list(self.keys) != sorted(set(self.keys)):
            raise ShapeError(f"keys must ascend without repeats, got {self.keys}")
        if any(not 0 <= key < MAX_CLASSES for key in self.keys):
            raise ShapeError(f"keys are class indices in 0..{MAX_CLASSES - 1}, got {self.keys}")
        if min(self.size_hw) < 1:
            raise ShapeError(f"expected an image of at least 1 x 1 px, got {self.size_hw[0]} x {self.size_hw[1]}")
        for maps in self.scales:
            if maps.ndim != 3 or maps.shape[0] != len(self.keys) or maps.dtype != torch.float32 or 0 in maps.shape[1:]:
                raise ShapeError(
                    f"expected float32 maps ({len(self.keys)}, h, w), got {maps.dtype} {tuple(maps.shape)}"
                )

    def strided(self, stride_px: int = 4) -> Tensor:
        """Rebuild the seed at `1 / stride_px` of the image size.

        Returns:
            (K, ceil(H / stride_px), ceil(W / stride_px)) float32 in 0..1, each map divided by (its maximum + 1e-5).

        Raises:
            ShapeError: If the stride is below 1.
        """
        if stride_px < 1:
            raise ShapeError(f"stride_px: expected 1 or more, got {stride_px}")
        height, width = self.size_hw
        return _normalise(self._summed((math.ceil(height / stride_px), math.ceil(width / stride_px))))

    def full(self) -> Tensor:
        """Rebuild the seed at the image's size.

        As released, maps are upsampled to the next multiple of 16 and cropped, not to the image size itself.

        Returns:
            (K, H, W) float32 in 0..1, each map divided by (its maximum + 1e-5).
        """
        height, width = self.size_hw
        padded_hw = (math.ceil(height / 16) * 16, math.ceil(width / 16) * 16)
        return _normalise(self._summed(padded_hw)[:, :height, :width])

    def _summed(self, size_hw: tuple[int, int]) -> Tensor:
        total = torch.zeros(len(self.keys), *size_hw, device=self.scales[0].device)
        if not self.keys:
            return total
        for maps in self.scales:
            total += torch.nn.functional.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)[0]
        return total


def _normalise(maps: Tensor) -> Tensor:
    if maps.shape[0] == 0:
        return maps
    return maps / (maps.amax(dim=(1, 2), keepdim=True) + NORMALISATION_EPS)
