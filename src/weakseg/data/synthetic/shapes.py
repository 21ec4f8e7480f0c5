"""Anti-aliased ellipses and capsules, drawn only inside their bounding boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""(y, x) in pixels; pixel centres have whole coordinates."""

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

EDGE_PX = 0.5
"""A shape fades out over this distance on either side of its outline."""


@dataclass(frozen=True)
class Box:
    """A half-open rectangle of whole pixels, possibly empty."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.top >= self.bottom or self.left >= self.right

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index of a canvas."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grid(self, origin: Point = (0.0, 0.0)) -> tuple[FloatArray, FloatArray]:
        """Return y (h, 1) and x (1, w) of the box's pixels, measured from `origin`."""
        y = np.arange(self.top, self.bottom, dtype=np.float32) - origin[0]
        x = np.arange(self.left, self.right, dtype=np.float32) - origin[1]
        return y[:, None], x[None, :]


class Shape(Protocol):
    """Something that can be painted."""

    def bounds(self, reach_px: float) -> tuple[Point, Point]:
        """Return the corners (least y, x), (greatest y, x) of the region where the depth is above `-reach_px`."""
        ...

    def depth(self, box: Box) -> FloatArray:
        """Return how deep each pixel of a box lies inside the outline, (h, w) in px, negative outside."""
        ...


@dataclass(frozen=True)
class Ellipse:
    """A filled, turned ellipse.

    Args:
        centre: (y, x).
        radii: Half-axes in px along u and v, the ellipse's own axes.
        angle: Angle of the u axis against the x axis in radians, positive towards growing y.
    """

    centre: Point
    radii: tuple[float, float]
    angle: float

    def bounds(self, reach_px: float) -> tuple[Point, Point]:
        """Enclose the region where the depth is above `-reach_px`."""
        growth = 1 + reach_px / min(self.radii)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        half_y = math.hypot(self.radii[0] * sine, self.radii[1] * cosine) * growth
        half_x = math.hypot(self.radii[0] * cosine, self.radii[1] * sine) * growth
        y, x = self.centre
        return (y - half_y, x - half_x), (y + half_y, x + half_x)

    def axes(self, box: Box) -> tuple[FloatArray, FloatArray]:
        """Return the coordinates u and v of a box's pixels, each (h, w) in px from the centre."""
        y, x = box.grid(self.centre)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return x * cosine + y * sine, y * cosine - x * sine

    def depth(self, box: Box) -> FloatArray:
        """Return the depth, exact across the short axis and for circles, and too small elsewhere."""
        u, v = self.axes(box)
        u /= self.radii[0]
        v /= self.radii[1]
        return (1 - np.sqrt(u * u + v * v)) * np.float32(min(self.radii))


@dataclass(frozen=True)
class Capsule:
    """A thick line with round ends.

    Args:
        start: (y, x) of one end.
        end: (y, x) of the other, elsewhere than `start`.
        radius: Half the thickness in px.
    """

    start: Point
    end: Point
    radius: float

    def bounds(self, reach_px: float) -> tuple[Point, Point]:
        """Enclose the region where the depth is above `-reach_px`."""
        (y0, x0), (y1, x1), reach = self.start, self.end, self.radius + reach_px
        return (min(y0, y1) - reach, min(x0, x1) - reach), (max(y0, y1) + reach, max(x0, x1) + reach)

    def depth(self, box: Box) -> FloatArray:
        """Return the exact depth."""
        y, x = box.grid(self.start)
        run_y, run_x = self.end[0] - self.start[0], self.end[1] - self.start[1]
        squared_length = run_y**2 + run_x**2
        nearest = np.clip(y * (run_y / squared_length) + x * (run_x / squared_length), 0, 1)
        off_y, off_x = y - nearest * run_y, x - nearest * run_x
        return np.float32(self.radius) - np.sqrt(off_y * off_y + off_x * off_x)


def enclosing_box(shapes: tuple[Shape, ...], size_hw: tuple[int, int], *, bulge_px: float = 0.0) -> Box:
    """Return the smallest box of a canvas of `size_hw` pixels that holds all that a set of shapes paints on it.

    Args:
        shapes: At least one shape.
        size_hw: (height, width) of the canvas.
        bulge_px: How far a depth may be raised before it is painted.
    """
    corners = [shape.bounds(EDGE_PX + bulge_px) for shape in shapes]
    top = math.ceil(min(least[0] for least, _ in corners))
    left = math.ceil(min(least[1] for least, _ in corners))
    bottom = math.floor(max(most[0] for _, most in corners)) + 1
    right = math.floor(max(most[1] for _, most in corners)) + 1
    return Box(max(top, 0), max(left, 0), min(bottom, size_hw[0]), min(right, size_hw[1]))


@dataclass(frozen=True, eq=False)
class ColourField:
    """Colours of a part of the canvas.

    Args:
        box: The part.
        rgb: (h, w, 3) float32, levels, for the box's pixels.
    """

    box: Box
    rgb: FloatArray

    def within(self, box: Box) -> FloatArray:
        """Return the colours of a smaller box, (h, w, 3), as a view."""
        rows = slice(box.top - self.box.top, box.bottom - self.box.top)
        columns = slice(box.left - self.box.left, box.right - self.box.left)
        return self.rgb[rows, columns]


@dataclass(frozen=True, eq=False)
class Canvas:
    """An image in the making, with the labels of what was painted on it. Painting changes the arrays.

    Args:
        image: (H, W, 3) float32, levels 0..255, may overshoot.
        instances: (H, W) uint8, 0 where nothing labelled was painted.
        parts: (H, W) uint8, likewise.
    """

    image: FloatArray
    instances: ByteArray
    parts: ByteArray

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.instances.shape[0], self.instances.shape[1]

    def blend(self, box: Box, depth: FloatArray, rgb: FloatArray) -> None:
        """Paint colours where `depth` is positive, softly at the edge; labels stay.

        Args:
            box: The part of the canvas that is painted.
            depth: (h, w) depth of the box's pixels inside the shape, px.
            rgb: (h, w, 3) float32.
        """
        target = self.image[box.slices]
        opacity = np.clip(depth + EDGE_PX, 0, 1)[..., None]
        target += opacity * (rgb - target)

    def paint(self, shape: Shape, colours: ColourField, *, instance: int, part: int) -> None:
        """Paint a shape and label the pixels inside it.

        Args:
            shape: The shape.
            colours: Colours of a box that holds the shape as far as it is on the canvas.
            instance: Label for `instances`.
            part: Label for `parts`.
        """
        box = enclosing_box((shape,), self.size_hw)
        if box.is_empty:
            return
        depth = shape.depth(box)
        self.blend(box, depth, colours.within(box))
        inside = depth > 0
        self.instances[box.slices][inside] = instance
        self.parts[box.slices][inside] = part
