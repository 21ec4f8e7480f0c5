"""How much of an image seeds cover at every background threshold, and how much of that is right, parts included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.maps import FloatArray, strongest_label
from weakseg.types import IGNORE_LABEL

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CoverageCounts:
    """Pixels at every background threshold, over all images; void pixels are left out.

    Args:
        thresholds: (T,) the thresholds, ascending.
        given_px: (T,) int64, pixels given a class.
        hits_px: (T,) int64, those of them that have just this class.
        part_hits_px: (P, T) int64, those of the latter that belong to each part.
        pixels_px: All pixels.
        objects_px: Pixels that have a class.
        parts_px: (P,) int64, those of them that belong to each part.
    """

    thresholds: Float64Array
    given_px: Int64Array
    hits_px: Int64Array
    part_hits_px: Int64Array
    pixels_px: int
    objects_px: int
    parts_px: Int64Array

    @property
    def coverage(self) -> Float64Array:
        """(T,) share of all pixels that are given a class; NaN without pixels."""
        with np.errstate(invalid="ignore"):
            return np.true_divide(self.given_px, self.pixels_px)

    def match(self, coverage: float) -> int:
        """Return the index of the threshold whose coverage is nearest to a given one, the lowest among equals."""
        return int(np.argmin(np.abs(np.nan_to_num(self.coverage) - coverage)))


class CoverageSweep:
    """Counts seeds at many background thresholds in one pass over each image.

    At threshold t a pixel is background where its largest map is at most t, as in
    `weakseg.refine.masks.seed_to_mask`; so what is covered at a threshold is covered at every lower one.

    Args:
        thresholds: Background thresholds, strictly ascending, in the unit of the maps.
        num_parts: Number of parts P, labelled 1..P; 0 where none are known.

    Raises:
        ShapeError: If the thresholds are empty or do not ascend.
    """

    def __init__(self, thresholds: Sequence[float] | FloatArray, *, num_parts: int = 0) -> None:
        self.thresholds: Float64Array = np.array(thresholds, np.float64)
        if self.thresholds.ndim != 1 or not self.thresholds.size or not (np.diff(self.thresholds) > 0).all():
            raise ShapeError(f"thresholds: expected one or more, strictly ascending, got {self.thresholds}")
        # Pixels by the number of thresholds they exceed.
        self._given: Int64Array = np.zeros(self.thresholds.size + 1, np.int64)
        self._hits: Int64Array = np.zeros(self.thresholds.size + 1, np.int64)
        self._part_hits: Int64Array = np.zeros((num_parts, self.thresholds.size + 1), np.int64)
        self._objects_px = 0
        self._parts_px: Int64Array = np.zeros(num_parts, np.int64)

    def update(
        self,
        maps: FloatArray,
        keys: Sequence[int],
        truth: NDArray[np.integer],
        parts: NDArray[np.integer] | None = None,
    ) -> None:
        """Count one image.

        Args:
            maps: (K, H, W) float seed without NaN; K may be 0, which makes every pixel background.
            keys: The K class indices of the maps, distinct.
            truth: (H, W) integer labels; pixels of 255 are left out.
            parts: (H, W) part labels 1..P, others elsewhere; None where the image's parts are not known.

        Raises:
            ShapeError: If shapes, dtypes or keys do not fit.
        """
        value, label = strongest_label(maps, keys)
        for name, array in (("truth", truth), ("parts", parts)):
            if array is not None and array.shape != value.shape:
                raise ShapeError(f"maps {maps.shape} and {name} {array.shape} must agree in height and width")
            if array is not None and not np.issubdtype(array.dtype, np.integer):
                raise ShapeError(f"{name}: expected integer labels, got {array.dtype}")
        exceeded = np.searchsorted(self.thresholds.astype(value.dtype), value, side="left")
        size = self.thresholds.size + 1
        has_class = (truth != 0) & (truth != IGNORE_LABEL)
        hit = has_class & (label == truth)
        self._given += np.bincount(exceeded[truth != IGNORE_LABEL], minlength=size)
        self._hits += np.bincount(exceeded[hit], minlength=size)
        self._objects_px += int(has_class.sum())
        for at in range(len(self._parts_px) if parts is not None else 0):
            own = parts == at + 1
            self._part_hits[at] += np.bincount(exceeded[hit & own], minlength=size)
            self._parts_px[at] += int((has_class & own).sum())

    def result(self) -> CoverageCounts:
        """Return the counts of everything seen so far."""
        return CoverageCounts(
            thresholds=self.thresholds.copy(),
            given_px=_exceeding(self._given),
            hits_px=_exceeding(self._hits),
            part_hits_px=_exceeding(self._part_hits),
            pixels_px=int(self._given.sum()),
            objects_px=self._objects_px,
            parts_px=self._parts_px.copy(),
        )


def _exceeding(levels: Int64Array) -> Int64Array:
    """Turn counts of pixels by how many thresholds they exceed, 0..T, into those above each of the T thresholds."""
    counts: Int64Array = levels[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    return counts.copy()
