"""Numbers of every label and point in the order the lattice filters them in: groups of 4 labels, side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.compiled import compiled
from weakseg.ops.lattice import LANES

Float32Array = NDArray[np.float32]


def pack_labels(unary: NDArray[np.floating]) -> Float32Array:
    """Turn energies (L, H, W) into scores (G, N, 4), minus infinity where there is no label."""
    num_labels = len(unary)
    scores = np.full((-(-num_labels // LANES), unary[0].size, LANES), -np.inf, np.float32)
    for label, plane in enumerate(unary):
        np.negative(plane.reshape(-1), out=scores[label // LANES, :, label % LANES], casting="same_kind")
    return scores


def unpack_labels(marginals: Float32Array, num_labels: int, size_hw: tuple[int, int]) -> Float32Array:
    """Turn marginals (G, N, 4) into (L, H, W)."""
    planes = np.empty((num_labels, marginals.shape[1]), np.float32)
    for label, plane in enumerate(planes):
        plane[:] = marginals[label // LANES, :, label % LANES]
    return planes.reshape(num_labels, *size_hw)


def softmax(scores: Float32Array, result: Float32Array, first: int, last: int) -> None:
    """Turn scores (G, N, 4) into probabilities that sum to 1 over the first and last axis."""
    _lower_to_zero(scores, result, first, last)
    part = result[:, first:last]
    np.exp(part, out=part)  # NumPy's is vectorised, numba's is not, and both release the lock
    _divide_by_sum(result, first, last)


@compiled
def _lower_to_zero(scores: Float32Array, result: Float32Array, first: int, last: int) -> None:
    """Subtract from every point's scores (G, N, 4) the largest."""
    for point in range(first, last):
        largest = np.float32(-np.inf)
        for group in range(len(scores)):
            for lane in range(LANES):
                largest = max(largest, scores[group, point, lane])
        for group in range(len(scores)):
            for lane in range(LANES):
                result[group, point, lane] = scores[group, point, lane] - largest


@compiled
def _divide_by_sum(values: Float32Array, first: int, last: int) -> None:
    """Divide every point's values (G, N, 4) by their sum."""
    for point in range(first, last):
        total = np.float32(0)
        for group in range(len(values)):
            for lane in range(LANES):
                total += values[group, point, lane]
        factor = np.float32(1) / total
        for group in range(len(values)):
            for lane in range(LANES):
                values[group, point, lane] *= factor
