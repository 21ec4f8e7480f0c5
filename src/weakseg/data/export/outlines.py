"""The outline of a mask as one polygon, exact to the pixel: along the cracks between pixels, holes and parts bridged.

Formats with polygons have one closed line per object. A hole is joined to the line around it by a bridge of no width,
walked there and back, and so are separate parts. A bridge encloses nothing: whoever fills the polygon at the centres of
pixels, by the even-odd or the winding rule, gets the mask back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from weakseg.errors import ShapeError

_STEPS_XY = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""East, south, west, north: the next one is the turn to the right, the one before it the turn to the left."""


@dataclass(frozen=True, eq=False)
class _Rings:
    """Closed lines of unit steps, the object on their right: clockwise around an object, the other way around a hole.

    Args:
        corners: (E, 2) int64 x, y where each step begins.
        following: (E,) int64, which step comes after each.
        ring: (E,) which ring each step belongs to.
        is_hole: (R,) bool.
    """

    corners: NDArray[np.int64]
    following: NDArray[np.int64]
    ring: NDArray[np.int32]
    is_hole: NDArray[np.bool_]


def trace_polygon(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Trace the outline of a mask as one polygon.

    Pixels that touch only by a corner are connected there. Parts are joined where their corners are nearest, along at
    most two lines that are parallel to the axes, as all lines of the polygon are.

    Args:
        mask: (H, W) bool with at least one pixel.

    Returns:
        (P, 2) int64 x, y of the corners, 0..W and 0..H; the pixel in row r and column c covers r..r+1 and c..c+1. The
        last corner is joined to the first, which is not repeated.

    Raises:
        ShapeError: If the mask is not (H, W) bool or holds no pixel.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or not mask.any():
        raise ShapeError(f"expected a mask (H, W) bool with a pixel, got {mask.shape} {mask.dtype}")
    rings = _trace_rings(mask)
    line = _Line(rings)
    _join_holes(rings, line, mask.shape)
    _join_parts(rings, line)
    return _drop_straight_corners(line.walk())


def _trace_rings(mask: NDArray[np.bool_]) -> _Rings:
    padded = np.pad(mask, 1)
    lower_right, lower_left = padded[1:, 1:], padded[1:, :-1]
    upper_right, upper_left = padded[:-1, 1:], padded[:-1, :-1]
    # Whether a step leaves the corner (row y, column x) to the east, south, west, north with the object on its right.
    leaves = np.stack(
        [
            lower_right & ~upper_right,
            lower_left & ~lower_right,
            upper_left & ~lower_left,
            upper_right & ~upper_left,
        ]
    )
    direction, y, x = np.nonzero(leaves)
    number = np.full(leaves.shape, -1, np.int64)
    number[direction, y, x] = np.arange(len(x))
    end_x, end_y = np.stack([x, y]) + _STEPS_XY[direction].T
    left, right = (direction + 3) % 4, (direction + 1) % 4
    # Where two pixels touch by a corner there are two ways on; the left one goes over to the other pixel.
    following = number[left, end_y, end_x]
    for turn in (direction, right):
        following = np.where(following < 0, number[turn, end_y, end_x], following)
    steps = coo_array((np.ones(len(x), np.int8), (np.arange(len(x)), following)), shape=(len(x), len(x)))
    count, ring = connected_components(steps, directed=False)
    # Of the lines around a region only the horizontal ones count, x going up in y: the shoelace formula.
    signed_area = np.bincount(ring, weights=-y * _STEPS_XY[direction, 0], minlength=count)
    return _Rings(np.stack([x, y], axis=1), following, ring, signed_area < 0)


class _Line:
    """Rings as linked corners, which bridges join into one."""

    def __init__(self, rings: _Rings) -> None:
        self._corners: list[list[int]] = rings.corners.tolist()
        self._following: list[int] = rings.following.tolist()

    def bridge(self, start: int, end: int) -> None:
        """Join two rings by a bridge from one corner to another and back, along x first."""
        (_, start_y), (end_x, _) = self._corners[start], self._corners[end]
        after_start, after_end = self._following[start], self._following[end]
        back = self._add([end_x, start_y], self._add(self._corners[start], after_start))
        self._following[end] = back
        self._following[start] = self._add([end_x, start_y], self._add(self._corners[end], after_end))

    def walk(self) -> NDArray[np.int64]:
        """Return all corners in order."""
        walked = [self._corners[0]]
        at = self._following[0]
        while at != 0:
            walked.append(self._corners[at])
            at = self._following[at]
        return np.array(walked, np.int64)

    def _add(self, corner: list[int], following: int) -> int:
        self._corners.append(corner)
        self._following.append(following)
        return len(self._corners) - 1


def _join_holes(rings: _Rings, line: _Line, size_hw: tuple[int, ...]) -> None:
    """Join every hole to the nearest corner of another ring to the left of its topmost corner.

    A ring found there reaches as far up as the hole or farther, so from top to bottom and left to right it has been
    joined before; and it belongs to the same part, for the pixels on both sides of the bridge do.
    """
    x, y = rings.corners.T
    step_at = np.full((size_hw[0] + 1, size_hw[1] + 1), -1, np.int64)
    joined = np.flatnonzero(~rings.is_hole[rings.ring])
    step_at[y[joined], x[joined]] = joined
    order = np.lexsort((x, y))
    order = order[rings.is_hole[rings.ring[order]]]
    _, first = np.unique(rings.ring[order], return_index=True)
    members = _list_members(rings)
    for step in order[np.sort(first)].tolist():
        to_the_left = np.flatnonzero(step_at[y[step], : x[step] + 1] >= 0)
        line.bridge(int(step_at[y[step], to_the_left[-1]]), step)
        own = members[rings.ring[step]]
        step_at[y[own], x[own]] = own


def _join_parts(rings: _Rings, line: _Line) -> None:
    """Join every part to the nearest corner of those before it."""
    outer = [own for own, is_hole in zip(_list_members(rings), rings.is_hole, strict=True) if not is_hole]
    # One tree of all parts before would be built anew for each part. Trees of sizes that fall by half or more are few,
    # and a corner is put into a new one only as often as its tree doubles (Bentley and Saxe, 1980).
    trees: list[tuple[NDArray[np.int64], cKDTree]] = []
    for own in outer:
        if trees:
            found = [(before, *tree.query(rings.corners[own])) for before, tree in trees]
            before, distances, nearest = min(found, key=lambda entry: float(entry[1].min()))
            closest = int(np.argmin(distances))
            line.bridge(int(before[nearest[closest]]), int(own[closest]))
        members = own
        while trees and len(trees[-1][0]) <= 2 * len(members):
            members = np.concatenate([trees.pop()[0], members])
        trees.append((members, cKDTree(rings.corners[members])))


def _list_members(rings: _Rings) -> list[NDArray[np.int64]]:
    """Return the steps of every ring."""
    by_ring = np.argsort(rings.ring, kind="stable")
    return np.split(by_ring, np.searchsorted(rings.ring[by_ring], np.arange(1, len(rings.is_hole))))


def _drop_straight_corners(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop repeated corners, and those where the line goes straight on."""
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    ahead = np.sign(np.roll(corners, -1, axis=0) - corners)
    turns: NDArray[np.bool_] = (ahead != np.roll(ahead, 1, axis=0)).any(axis=1)
    return corners[turns]
