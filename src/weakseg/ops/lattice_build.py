"""Building a permutohedral lattice: which vertices there are, who their neighbours are, which points lie around them.

`weakseg.ops.lattice` tells what the lattice is and how vertices are named by keys; shapes there and here are (N, d+1)
by point, (d+1, V) by direction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.compiled import compiled

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]
IndexArray = NDArray[np.uint32]

MAX_KEYS = 2**62
"""Keys are below this; the sums on the way to a neighbour's key then stay within 64 bits."""

MARGIN = 3
"""How far a quotient may lie outside the rounded range of its coordinate: by 1 each through the correction of the
rounding, within the simplex, and for a neighbour that is looked up."""

NO_KEY = -1
"""Marks a free slot of the hash table; keys are not negative."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: a product with it has well mixed upper bits (Knuth, Sorting and Searching, 6.4)."""


def axis_scales(num_features: int) -> Float32Array:
    """Return the factor (d,) of every feature on its way into the lattice's hyperplane.

    The axes there have lengths sqrt(i (i+1)), and splat, blur and slice together blur by a standard deviation of
    sqrt(2/3) (d+1) (Adams et al., section 3).
    """
    axis = np.arange(1, num_features + 1)
    scales: Float32Array = (np.sqrt(2 / 3) * (num_features + 1) / np.sqrt(axis * (axis + 1))).astype(np.float32)
    return scales


def number_coordinates(features: Float32Array, scales: Float32Array) -> tuple[Int64Array, Int64Array]:
    """Return the lowest quotient of every coordinate (d+1,) and what one more of it adds to a key (d+1,).

    The first coordinate, which has the widest range, follows from the others and adds nothing.
    """
    corners = len(scales) + 1
    low = features.min(axis=1).astype(np.float64) * scales
    high = features.max(axis=1).astype(np.float64) * scales
    lowest, places = np.zeros(corners, np.int64), np.zeros(corners, np.int64)
    num_keys = corners
    # Position comes first among an image's features; as the uppermost digits it keeps vertices of one region together.
    for i in range(corners - 1, 0, -1):
        least = round((low[i:].sum() - i * high[i - 1]) / corners) - MARGIN
        most = round((high[i:].sum() - i * low[i - 1]) / corners) + MARGIN
        lowest[i], places[i] = least, num_keys
        num_keys *= most - least + 1
        if num_keys > MAX_KEYS:
            raise ConfigError(
                f"a filter over features that range over {np.ptp(features, axis=1).tolist()} standard deviations has "
                "more vertices than can be numbered; make it wider"
            )
    return lowest, places


@compiled
def place_points(
    features: Float32Array,
    scales: Float32Array,
    lowest: Int64Array,
    places: Int64Array,
    keys: Int64Array,
    weights: Float32Array,
    first: int,
    last: int,
) -> None:
    """Find the vertices around every point (N, d+1), by key, and its barycentric coordinates (N, d+1).

    All of it in float32 and summed from the last feature on, which fits the recordings of the official code best: where
    a point lies on a face, rounding decides which vertex beyond the face gets a weight of 0, but exists.
    """
    corners = len(places)
    step, half = np.float32(corners), np.float32(0.5)
    coordinates = np.empty(corners, np.float32)
    # What rounding to multiples of d+1 leaves of the coordinates, in descending order, and whose it is.
    residuals = np.empty(corners, np.float32)
    owners = np.empty(corners, np.int64)
    for point in range(first, last):
        above = np.float32(0)
        for i in range(corners - 1, 0, -1):
            value = features[i - 1, point] * scales[i - 1]
            coordinates[i] = above - np.float32(i) * value
            above += value
        coordinates[0] = above
        key, excess = 0, 0
        for i in range(corners):
            rounded = np.floor(coordinates[i] / step + half)
            residual = coordinates[i] - rounded * step
            quotient = int(rounded)
            excess += quotient
            key += (quotient - lowest[i]) * places[i]
            rank = i
            while rank > 0 and residuals[rank - 1] < residual:
                residuals[rank] = residuals[rank - 1]
                owners[rank] = owners[rank - 1]
                rank -= 1
            residuals[rank] = residual
            owners[rank] = i
        # The quotients of a vertex sum to 0: round those down that were rounded up most, or the other way about. They
        # move to the other end of the order, which then begins at `begin` and runs in a circle.
        for rank in range(corners - excess, corners):
            key -= places[owners[rank]]
            residuals[rank] += step
        for rank in range(-excess):
            key += places[owners[rank]]
            residuals[rank] -= step
        begin = (corners - excess) % corners
        at = (begin + corners - 1) % corners
        keys[point, 0] = key
        weights[point, 0] = np.float32(1) - (residuals[begin] - residuals[at]) / step
        # From one vertex to the next all coordinates rise by 1, but that of the lowest residual falls by d.
        for corner in range(1, corners):
            key += 1 - places[owners[at]]
            keys[point, corner] = key
            lower = residuals[at]
            at = (at + corners - 1) % corners
            weights[point, corner] = (residuals[at] - lower) / step


@compiled
def _find_slot(slots: Int64Array, key: int, shift: np.uint64) -> np.uint64:
    """Return the row of a hash table (2^b, 2) of keys and numbers that holds a key, or where it belongs; shift: 64 - b.

    Collisions go to the next row.
    """
    slot = (np.uint64(key) * GOLDEN) >> shift
    while slots[slot, 0] != key and slots[slot, 0] != NO_KEY:
        slot = (slot + np.uint64(1)) & np.uint64(len(slots) - 1)
    return slot


@compiled
def collect_vertices(keys: Int64Array, numbers: IndexArray) -> Int64Array:
    """Number the different keys (N, d+1) by first appearance, into `numbers` (N, d+1), and return them in that order.

    The hash table starts at about as many slots as there are points and doubles when it is half full.
    """
    num_points, corners = keys.shape
    bits = 1
    while (1 << bits) < num_points:
        bits += 1
    slots = np.full((1 << bits, 2), NO_KEY, np.int64)
    found = np.empty(1 << (bits - 1), np.int64)
    shift = np.uint64(64 - bits)
    count = 0
    for point in range(num_points):
        for corner in range(corners):
            key = keys[point, corner]
            if point > 0 and key == keys[point - 1, corner]:  # neighbouring points often lie in one simplex
                numbers[point, corner] = numbers[point - 1, corner]
                continue
            slot = _find_slot(slots, key, shift)
            if slots[slot, 0] == key:
                numbers[point, corner] = slots[slot, 1]
                continue
            if count == len(found):
                found = np.append(found, np.empty(count, np.int64))
                slots = np.full((4 * count, 2), NO_KEY, np.int64)
                shift -= np.uint64(1)
                for number in range(count):
                    slot = _find_slot(slots, found[number], shift)
                    slots[slot, 0], slots[slot, 1] = found[number], number
                slot = _find_slot(slots, key, shift)
            slots[slot, 0], slots[slot, 1] = key, count
            found[count] = key
            numbers[point, corner] = count
            count += 1
    return found[:count].copy()


@compiled
def renumber(ranks: IndexArray, vertices: IndexArray, first: int, last: int) -> None:
    """Replace every number of a vertex (N, d+1) by its rank."""
    for point in range(first, last):
        for corner in range(vertices.shape[1]):
            vertices[point, corner] = ranks[vertices[point, corner]]


@compiled
def find_neighbours(
    keys: Int64Array, places: Int64Array, following: IndexArray, preceding: IndexArray, first: int, last: int
) -> None:
    """Note the neighbours of every vertex along every direction (d+1, V); those that do not exist stay as they are.

    Along direction i all coordinates rise by 1 and the i-th falls by d. A remainder of d becomes 0, with all quotients
    one higher. For either kind of vertex the neighbours' keys ascend with the vertices', and one pass finds them.
    """
    corners = len(places)
    for direction in range(corners):
        for wraps in (False, True):
            step = (places.sum() - (corners - 1) if wraps else 1) - places[direction]
            other = np.searchsorted(keys, keys[first] + step)
            for vertex in range(first, last):
                if (keys[vertex] % corners == corners - 1) != wraps:
                    continue
                key = keys[vertex] + step
                while other < len(keys) and keys[other] < key:
                    other += 1
                if other < len(keys) and keys[other] == key:
                    following[direction, vertex] = other
                    preceding[direction, other] = vertex


@compiled
def list_points(
    vertices: IndexArray, weights: Float32Array, starts: Int64Array, points: IndexArray, point_weights: Float32Array
) -> None:
    """List, vertex by vertex, the points around it in ascending order and their weights; `starts` (V+1,) begins as 0.

    The points of vertex v are those from `starts[v]` up to `starts[v + 1]`.
    """
    num_points, corners = vertices.shape
    for point in range(num_points):
        for corner in range(corners):
            starts[vertices[point, corner]] += 1
    # Every start goes to the end of its list, and back while the list is filled from there.
    end = 0
    for vertex in range(len(starts)):
        end += starts[vertex]
        starts[vertex] = end
    for point in range(num_points - 1, -1, -1):
        for corner in range(corners):
            vertex = vertices[point, corner]
            starts[vertex] -= 1
            points[starts[vertex]] = point
            point_weights[starts[vertex]] = weights[point, corner]
