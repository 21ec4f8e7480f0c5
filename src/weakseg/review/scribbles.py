"""A few strokes of a person, spread over an image by a fully connected CRF: like colours nearby follow.

What is said of a pixel comes from four places: the stroke itself, which is certain; a stroke through the same patch
of like colour; the colours under the strokes against those elsewhere; and the mask as it was, which counts for the more
the farther away the strokes are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from weakseg.errors import ShapeError
from weakseg.ops.crf import DenseCRF
from weakseg.ops.images import limit_side
from weakseg.review.desk import Kept
from weakseg.review.patches import find_patches
from weakseg.types import IGNORE_LABEL

Float32Array = NDArray[np.float32]

NO_STROKE = 254
"""What pixels without a stroke are in a map of strokes; no class has this label, since masks keep 254 for the last of
254 classes: with that many, the last one cannot be scribbled."""

SEEN_SIDE_PX = 512
"""The CRF looks at images at this side at most, so that an answer takes less than half a second."""

GAUSSIAN = (3.0, 3.0)
BILATERAL = (20.0, 15.0, 6.0)
"""Kernels of the CRF: narrower in space and wider in colours than IRN's, since strokes say where. Chosen, as all
numbers here, on 33 photographs with strokes made of their true masks (docs/review.md)."""

ITERATIONS = 4
"""The fifth update and later ones move less than 1 % of the pixels."""

REACH_SHARE = 0.08
"""Standard deviation of how far strokes reach, as a share of the image's longer side."""

OUT_OF_REACH = 0.01
"""Nearness below which the mask stays as it is: the CRF would smooth what nobody has spoken of."""

STROKE_CERTAINTY = 0.999
FAR_CERTAINTY = 0.97
NEAR_CERTAINTY = 0.52
PATCH_CERTAINTY = 0.9
"""Probability of a pixel's label under a stroke, in the old mask far from all strokes, near one, and of the label of a
stroke through the same patch."""

_KEPT_IMAGES = 3  # of tens of MB each
_COLOUR_BINS = 8
_COLOUR_SMOOTHING = 1.0
_COLOUR_WEIGHT = 0.3
_COLOUR_FLOOR = 1e-3
_LEAST_LIKELY = np.float32(0.02)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What strokes on an image need, whatever they are.

    Args:
        seen: (h, w, 3) uint8 RGB, the image as the CRF sees it.
        crf: Its CRF.
        patches: (h, w) uint16, its superpixels.
    """

    seen: NDArray[np.uint8]
    crf: DenseCRF
    patches: NDArray[np.uint16]


class StrokeSpreader:
    """Spreads strokes; keeps what it has prepared of the images that were worked on last."""

    def __init__(self) -> None:
        self._kept: Kept[PreparedImage] = Kept(_KEPT_IMAGES)

    def prepare(self, key: str, image: NDArray[np.uint8]) -> PreparedImage:
        """Prepare an image (H, W, 3) uint8 ahead of the first stroke; it is kept under the key."""

        def make() -> PreparedImage:
            seen = limit_side(image, SEEN_SIDE_PX)
            return PreparedImage(seen, DenseCRF(seen, gaussian=GAUSSIAN, bilateral=BILATERAL), find_patches(seen))

        return self._kept.get(key, make)

    def spread(
        self, key: str, image: NDArray[np.uint8], labels: NDArray[np.uint8], strokes: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Return the mask that strokes make of another.

        Args:
            key: Name of the image.
            image: (H, W, 3) uint8 RGB, not modified.
            labels: (H, W) uint8, the mask before the strokes: 0 background, c+1 class c, 255 not looked at.
            strokes: (H, W) uint8, the label drawn on each pixel, or `NO_STROKE`.

        Returns:
            (H, W) uint8. Pixels under a stroke have its label; without strokes it is the mask itself.

        Raises:
            ShapeError: If the shapes differ.
        """
        if not image.shape[:2] == labels.shape == strokes.shape:
            raise ShapeError(f"expected one size, got {image.shape[:2]}, {labels.shape} and {strokes.shape}")
        drawn = strokes != NO_STROKE
        if not drawn.any():
            return labels.copy()
        prepared = self.prepare(key, image)
        seen = prepared.seen
        rows, columns = _nearest(image.shape[0], seen.shape[0]), _nearest(image.shape[1], seen.shape[1])
        small, small_strokes = labels[np.ix_(rows, columns)], _shrink_strokes(strokes, (seen.shape[0], seen.shape[1]))
        names = np.unique(np.concatenate((small.ravel(), small_strokes[small_strokes != NO_STROKE])))
        nearness = _measure_nearness(small_strokes)
        energies = _energies(prepared, small, small_strokes, nearness, names)
        marginals = prepared.crf.infer(energies, iterations=ITERATIONS)
        found = np.where(nearness > OUT_OF_REACH, names[marginals.argmax(axis=0)], small)
        result = _grow(found, small, labels)
        result[drawn] = strokes[drawn]
        return result


def _nearest(size: int, seen: int) -> NDArray[np.intp]:
    """Return which of `size` pixels each of the `seen` ones looks at."""
    return ((np.arange(seen) + 0.5) * size / seen).astype(np.intp)


def _shrink_strokes(strokes: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring strokes to a smaller size without losing thin ones."""
    rows, columns = np.nonzero(strokes != NO_STROKE)
    small = np.full(size_hw, NO_STROKE, np.uint8)
    small[rows * size_hw[0] // strokes.shape[0], columns * size_hw[1] // strokes.shape[1]] = strokes[rows, columns]
    return small


def _grow(found: NDArray[np.uint8], small: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take over into `labels` (H, W) what differs between the two small masks; the rest keeps its fine borders."""
    rows = np.arange(labels.shape[0]) * small.shape[0] // labels.shape[0]
    columns = np.arange(labels.shape[1]) * small.shape[1] // labels.shape[1]
    changed = (found != small)[np.ix_(rows, columns)]
    return np.where(changed, found[np.ix_(rows, columns)], labels).astype(np.uint8)


def _measure_nearness(strokes: NDArray[np.uint8]) -> Float32Array:
    """Return how near each pixel (H, W) is to a stroke: 1 under one, falling with the distance."""
    distance_px = ndimage.distance_transform_edt(strokes == NO_STROKE)
    nearness: Float32Array = np.exp(-0.5 * (distance_px / (REACH_SHARE * max(strokes.shape))) ** 2).astype(np.float32)
    return nearness


def _energies(
    prepared: PreparedImage,
    labels: NDArray[np.uint8],
    strokes: NDArray[np.uint8],
    nearness: Float32Array,
    names: NDArray[np.uint8],
) -> Float32Array:
    """Return -log of how probable each of `names` is, (L, H, W) float32."""
    drawn = strokes != NO_STROKE
    others = max(1, len(names) - 1)
    certainty = FAR_CERTAINTY + (NEAR_CERTAINTY - FAR_CERTAINTY) * nearness
    said = _fill_patches(prepared.patches, strokes)
    is_said = said != NO_STROKE
    is_label = np.where(is_said, said, labels)[None] == names[:, None, None]
    # Where nobody has looked, the mask says nothing against a stroke.
    certainty = np.where(labels == IGNORE_LABEL, np.maximum(1 / len(names), certainty - nearness), certainty)
    certainty = np.where(is_said, PATCH_CERTAINTY, certainty)
    energies = -np.log(np.where(is_label, certainty, (1 - certainty) / others)).astype(np.float32)
    energies += _COLOUR_WEIGHT * nearness * _colour_energies(prepared.seen, labels, strokes, names)
    stroke = strokes[None] == names[:, None, None]
    sure = -np.log(np.where(stroke, STROKE_CERTAINTY, (1 - STROKE_CERTAINTY) / others)).astype(np.float32)
    return np.where(drawn, sure, energies)


def _fill_patches(patches: NDArray[np.uint16], strokes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the label that most of the strokes through each pixel's patch have, or `NO_STROKE`."""
    drawn = strokes != NO_STROKE
    counts = np.zeros((int(patches.max()) + 1, NO_STROKE + 2), np.int64)
    np.add.at(counts, (patches[drawn], strokes[drawn]), 1)
    label: NDArray[np.uint8] = np.where(counts.any(axis=1), counts.argmax(axis=1), NO_STROKE).astype(np.uint8)
    return label[patches]


def _colour_energies(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], strokes: NDArray[np.uint8], names: NDArray[np.uint8]
) -> Float32Array:
    """Return -log of how probable each of `names` is by the pixel's colour alone, all labels alike before it.

    The colours of a label are those under its strokes; of a label without strokes those of its mask.
    """
    levels = (image // (256 // _COLOUR_BINS)).astype(np.intp)
    bins = (levels[..., 0] * _COLOUR_BINS + levels[..., 1]) * _COLOUR_BINS + levels[..., 2]
    shares = np.empty((len(names), _COLOUR_BINS**3), np.float32)
    for row, name in zip(shares, names, strict=True):
        stroke = strokes == name
        shown = bins[stroke] if stroke.any() else bins[(labels == name) & (strokes == NO_STROKE)]
        counts = np.bincount(shown, minlength=_COLOUR_BINS**3).reshape((_COLOUR_BINS,) * 3).astype(np.float32)
        smooth = (
            ndimage.gaussian_filter(counts, _COLOUR_SMOOTHING) + _COLOUR_FLOOR * max(1, len(shown)) / _COLOUR_BINS**3
        )
        row[:] = (smooth / smooth.sum()).ravel()
    likely = np.maximum(shares / shares.sum(axis=0), _LEAST_LIKELY)
    energies: Float32Array = -np.log(likely)[:, bins]
    return energies
