"""Gaussian filters over many points of a few dimensions, by the permutohedral lattice.

From Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics 2010). The
lattice fills the hyperplane of d+1 coordinates that sum to 0 with simplices. The value of a point is spread over the
d+1 vertices of its simplex ("splat"), the vertices are blurred with [1/2, 1, 1/2] along each of the lattice's d+1
directions, and every point gathers from its vertices again ("slice"). Only vertices that some point touches exist; the
blur takes all others as 0.

A vertex has whole coordinates that are congruent modulo d+1, and sum to 0. Here one 64-bit number stands for it, its
key: the remainder is the lowest digit, the quotients are the others, in as many values each as the range of the points
asks for. The vertices of one simplex, and the neighbours of a vertex, then differ by constants. Vertices are numbered
by ascending keys, so that the blur walks through memory in order.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from weakseg.ops.compiled import Team, compiled
from weakseg.ops.lattice_build import (
    Float32Array,
    IndexArray,
    Int64Array,
    axis_scales,
    collect_vertices,
    find_neighbours,
    list_points,
    number_coordinates,
    place_points,
    renumber,
)

LANES = 4
"""Values of a point that are filtered together."""


class Lattice:
    """The lattice that some points touch, and the filter on it: a Gaussian of variance 1, but for a constant factor.

    Once built it is only read; several threads may filter with it.

    Args:
        features: (d, N) finite float32 points, each feature divided by its standard deviation. Not modified.
        team: The threads that build it.

    Raises:
        ConfigError: If the points lie so far apart that 64 bits cannot number the vertices.
    """

    def __init__(self, features: Float32Array, team: Team) -> None:
        num_features, num_points = features.shape
        corners = num_features + 1
        scales = axis_scales(num_features)
        lowest, places = number_coordinates(features, scales)
        keys = np.empty((num_points, corners), np.int64)
        self._weights = np.empty((num_points, corners), np.float32)
        team.run(partial(place_points, features, scales, lowest, places, keys, self._weights), num_points)
        self._vertices = np.empty((num_points, corners), np.uint32)
        found = collect_vertices(keys, self._vertices)
        del keys
        order = np.argsort(found)
        ranks = np.empty(len(order), np.uint32)
        ranks[order] = np.arange(len(order), dtype=np.uint32)
        team.run(partial(renumber, ranks, self._vertices), num_points)
        self.num_vertices = len(found)
        # A vertex that does not exist is the row behind the last, where values are 0.
        self._next = np.full((corners, self.num_vertices), self.num_vertices, np.uint32)
        self._previous = self._next.copy()
        team.run(partial(find_neighbours, found[order], places, self._next, self._previous), self.num_vertices)
        self._starts = np.zeros(self.num_vertices + 1, np.int64)
        self._points = np.empty(num_points * corners, np.uint32)
        self._point_weights = np.empty(num_points * corners, np.float32)
        list_points(self._vertices, self._weights, self._starts, self._points, self._point_weights)

    def scale_points(self, factors: Float32Array, team: Team) -> None:
        """Multiply every point's value by its factor (N,), before and after the filter from now on."""
        team.run(partial(_scale_rows, factors, self._weights), len(factors))
        team.run(partial(_scale_items, factors, self._points, self._point_weights), len(self._points))

    def make_buffers(self) -> Float32Array:
        """Return working memory for `add_filtered`, float32 (2, vertices + 1, 4); threads need one each."""
        return np.zeros((2, self.num_vertices + 1, LANES), np.float32)

    def add_filtered(
        self, values: Float32Array, weight: float, result: Float32Array, *, buffers: Float32Array, team: Team
    ) -> None:
        """Add the filtered values of all points, times a weight, to `result`.

        Args:
            values: (N, 4) C-contiguous float32, not modified.
            weight: Factor of what is added.
            result: (N, 4) C-contiguous float32, added to in place.
            buffers: What `make_buffers` made.
            team: The threads to use; the result is the same, to the bit, for any number of them.
        """
        now, then = buffers
        team.run(partial(_splat, self._starts, self._points, self._point_weights, values, now), self.num_vertices)
        for following, preceding in zip(self._next, self._previous, strict=True):
            team.run(partial(_blur, following, preceding, now, then), self.num_vertices)
            now, then = then, now
        team.run(partial(_slice, self._vertices, self._weights, now, np.float32(weight), result), len(values))


@compiled
def _scale_rows(factors: Float32Array, weights: Float32Array, first: int, last: int) -> None:
    """Multiply the weights (N, d+1) of every point by its factor."""
    for point in range(first, last):
        for corner in range(weights.shape[1]):
            weights[point, corner] *= factors[point]


@compiled
def _scale_items(factors: Float32Array, points: IndexArray, weights: Float32Array, first: int, last: int) -> None:
    """Multiply every weight of a list by the factor of its point."""
    for item in range(first, last):
        weights[item] *= factors[points[item]]


@compiled
def _splat(
    starts: Int64Array,
    points: IndexArray,
    weights: Float32Array,
    values: Float32Array,
    result: Float32Array,
    first: int,
    last: int,
) -> None:
    """Sum the weighted values (N, 4) of the points around every vertex (V, 4)."""
    for vertex in range(first, last):
        a = b = c = d = np.float32(0)
        for item in range(starts[vertex], starts[vertex + 1]):
            point, weight = points[item], weights[item]
            a += weight * values[point, 0]
            b += weight * values[point, 1]
            c += weight * values[point, 2]
            d += weight * values[point, 3]
        result[vertex, 0], result[vertex, 1], result[vertex, 2], result[vertex, 3] = a, b, c, d


@compiled
def _blur(
    following: IndexArray, preceding: IndexArray, values: Float32Array, result: Float32Array, first: int, last: int
) -> None:
    """Blur the values (V+1, 4) of the vertices with [1/2, 1, 1/2] along one direction."""
    half = np.float32(0.5)
    for vertex in range(first, last):
        after, before = following[vertex], preceding[vertex]
        for lane in range(LANES):
            result[vertex, lane] = values[vertex, lane] + half * (values[after, lane] + values[before, lane])


@compiled
def _slice(
    vertices: IndexArray,
    weights: Float32Array,
    values: Float32Array,
    factor: np.float32,
    result: Float32Array,
    first: int,
    last: int,
) -> None:
    """Add to every point (N, 4) the weighted sum of the values (V+1, 4) of its vertices, times a factor."""
    for point in range(first, last):
        a = b = c = d = np.float32(0)
        for corner in range(vertices.shape[1]):
            vertex, weight = vertices[point, corner], weights[point, corner]
            a += weight * values[vertex, 0]
            b += weight * values[vertex, 1]
            c += weight * values[vertex, 2]
            d += weight * values[vertex, 3]
        result[point, 0] += factor * a
        result[point, 1] += factor * b
        result[point, 2] += factor * c
        result[point, 3] += factor * d
