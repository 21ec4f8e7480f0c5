"""Pairs of pixels and the paths between them: which pixels lie on a path, and the least value along each.

IRN (Ahn, Cho and Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations", CVPR 2019)
and AffinityNet (Ahn and Kwak, CVPR 2018) relate pixels that are less than a radius apart. A pair is written as its
source and the offset (dy, dx) to its other end, and only offsets of one half-plane are listed: dy > 0, or dy = 0 and
dx > 0. What a path holds and how offsets are ordered was found from the recorded offsets and affinities of the
released code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from weakseg.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

Offset = tuple[int, int]
"""(dy, dx) from the source of a pair to its other end, in pixels."""

ROWS, COLUMNS = -2, -1
"""Dimensions of a map (..., H, W)."""

RunTables = Mapping[tuple[int, int], Tensor]


@dataclass(frozen=True)
class Run:
    """Consecutive pixels of one row or column.

    Args:
        along: The dimension they follow each other in: `COLUMNS` for a piece of a row, `ROWS` for one of a column.
        length: Their number.
        dy: Row of the first pixel, counted from the source of the path.
        dx: Column of the first pixel, counted from the source of the path.
    """

    along: int
    length: int
    dy: int
    dx: int


@lru_cache(maxsize=16)
def list_offsets(radius: int) -> tuple[Offset, ...]:
    """List the offsets shorter than `radius` px of one half-plane, by the number of pixels on their path.

    Offsets with equally many pixels stand in ascending order of (dy, dx). A radius of 1 has none.

    Raises:
        ConfigError: If the radius is below 1.
    """
    if radius < 1:
        raise ConfigError(f"radius: expected at least 1 px, got {radius}")
    reach = range(1 - radius, radius)
    half_plane = [(dy, dx) for dy in range(radius) for dx in reach if dy > 0 or dx > 0]
    near = [(dy, dx) for dy, dx in half_plane if dy**2 + dx**2 < radius**2]
    return tuple(sorted(near, key=lambda offset: (len(path_pixels(offset)), offset)))


def path_pixels(offset: Offset) -> list[Offset]:
    """List the pixels on the path from (0, 0) to `offset`, both ends among them, row by row.

    They are the pixels of the rectangle between the ends whose distance from the straight line is below 1 px.
    """
    dy, dx = offset
    return [
        (y, x)
        for y in range(min(0, dy), max(0, dy) + 1)
        for x in range(min(0, dx), max(0, dx) + 1)
        if (dy * x - dx * y) ** 2 < dy**2 + dx**2
    ]


@lru_cache(maxsize=1024)
def path_runs(offset: Offset) -> tuple[Run, ...]:
    """Cut a path into runs, along rows if it is wider than high and along columns if not: few and long."""
    dy, dx = offset
    along = COLUMNS if abs(dx) >= abs(dy) else ROWS
    lines = path_pixels(offset)
    if along == ROWS:
        lines.sort(key=lambda pixel: (pixel[1], pixel[0]))
    runs = []
    for _, line in groupby(lines, key=lambda pixel: pixel[0] if along == COLUMNS else pixel[1]):
        pixels = list(line)
        runs.append(Run(along, len(pixels), *pixels[0]))
    return tuple(runs)


@dataclass(frozen=True)
class SourceGrid:
    """The sources whose pairs all lie inside a map: rows 0..H-radius, columns radius-1..W-radius.

    Args:
        size_hw: (height, width) of the map.
        radius: Offsets are shorter than this, in px.

    Raises:
        ShapeError: If the map has no such source.
    """

    size_hw: tuple[int, int]
    radius: int

    def __post_init__(self) -> None:
        height, width = self.size_hw
        if height < self.radius or width < 2 * self.radius - 1:
            raise ShapeError(
                f"pairs within a radius of {self.radius} px need a map of at least {self.radius} x "
                f"{2 * self.radius - 1} px, got {height} x {width}; use larger images or a smaller radius"
            )

    @property
    def height(self) -> int:
        """Number of rows of sources."""
        return self.size_hw[0] - self.radius + 1

    @property
    def width(self) -> int:
        """Number of columns of sources."""
        return self.size_hw[1] - 2 * self.radius + 2

    def view(self, maps: Tensor, dy: int = 0, dx: int = 0) -> Tensor:
        """Return the part of maps (..., H, W) that lies at (dy, dx) from the sources, a view (..., height, width)."""
        left = self.radius - 1 + dx
        return maps[..., dy : dy + self.height, left : left + self.width]


def path_minima(values: Tensor, *, radius: int) -> Tensor:
    """Find the least value on every path. Differentiable once.

    A path is a pile of runs, and the least of every run of a given length is found once, for all paths it is part
    of: 532 slices for a radius of 10 in place of the 2134 pixels of its 152 paths. Only the argument and the result are
    kept for the backward pass. There, each gradient goes to one pixel that holds the least value: among equals to
    the first run, and in it to the first pixel.

    Args:
        values: (N, H, W) float. Not modified.
        radius: Pairs are closer than this, in px.

    Returns:
        (N, P, height, width) of `SourceGrid`, offsets in the order of `list_offsets`; dtype and device of `values`.

    Raises:
        ShapeError: If the maps are too small for the radius.
        ConfigError: If the radius is below 1.
    """
    minima: Tensor = _PathMinima.apply(values, radius)  # type: ignore[no-untyped-call]
    return minima


class _PathMinima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, radius: int) -> Tensor:
        offsets = list_offsets(radius)
        grid = SourceGrid((values.shape[ROWS], values.shape[COLUMNS]), radius)
        tables = _run_minima(values, radius)
        minima = values.new_empty(values.shape[0], len(offsets), grid.height, grid.width)
        for number, offset in enumerate(offsets):
            first, *others = (_view_run(grid, tables, run) for run in path_runs(offset))
            least = minima[:, number]
            least.copy_(first)
            for other in others:
                torch.minimum(least, other, out=least)
        ctx.save_for_backward(values, minima)
        ctx.radius = radius  # type: ignore[attr-defined]
        return minima

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        values, minima = ctx.saved_tensors  # type: ignore[attr-defined]
        radius: int = ctx.radius  # type: ignore[attr-defined]
        grid = SourceGrid((values.shape[ROWS], values.shape[COLUMNS]), radius)
        tables = _run_minima(values, radius)
        gradients = {key: torch.zeros_like(table) for key, table in tables.items()}
        # As numbers: masks of bool are several times slower to make and to multiply with on a CPU.
        holds = torch.empty_like(minima[:, 0])
        for number, offset in enumerate(list_offsets(radius)):
            *first_runs, last_run = path_runs(offset)
            rest = gradient[:, number].clone()
            for run in first_runs:
                torch.eq(_view_run(grid, tables, run), minima[:, number], out=holds)
                share = rest * holds
                _view_run(grid, gradients, run).add_(share)
                rest.sub_(share)
            _view_run(grid, gradients, last_run).add_(rest)
        return _spread_over_pixels(gradients, tables, radius), None


def other_ends(maps: Tensor, offsets: Sequence[Offset], *, radius: int) -> Tensor:
    """Collect what maps hold at the other ends of pairs. Differentiable once.

    Args:
        maps: (N, C, H, W) of any dtype. Not modified.
        offsets: P offsets shorter than the radius, at least one.
        radius: That of `SourceGrid`, in px.

    Returns:
        (N, C, P, height, width) of `SourceGrid`: the maps at the source plus the offset.

    Raises:
        ShapeError: If the maps are too small for the radius.
    """
    ends: Tensor = _OtherEnds.apply(maps, offsets, radius)  # type: ignore[no-untyped-call]
    return ends


class _OtherEnds(torch.autograd.Function):
    """Its backward pass adds into one map; that of slices would make a map of zeros for each."""

    @staticmethod
    def forward(ctx: FunctionCtx, maps: Tensor, offsets: Sequence[Offset], radius: int) -> Tensor:
        grid = SourceGrid((maps.shape[ROWS], maps.shape[COLUMNS]), radius)
        ctx.grid, ctx.offsets = grid, offsets  # type: ignore[attr-defined]
        return torch.stack([grid.view(maps, *offset) for offset in offsets], dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        grid: SourceGrid = ctx.grid  # type: ignore[attr-defined]
        of_maps = gradient.new_zeros(*gradient.shape[:2], *grid.size_hw)
        for offset, of_end in zip(ctx.offsets, gradient.unbind(2), strict=True):  # type: ignore[attr-defined]
            grid.view(of_maps, *offset).add_(of_end)
        return of_maps, None, None


def _view_run(grid: SourceGrid, tables: RunTables, run: Run) -> Tensor:
    """Return a run's table at the place of the run, one value per source."""
    return grid.view(tables[run.along, run.length], run.dy, run.dx)


def _run_minima(values: Tensor, radius: int) -> dict[tuple[int, int], Tensor]:
    """Find, by direction and length, the least value of the run that begins at each pixel."""
    tables = {}
    for along in (ROWS, COLUMNS):
        tables[along, 1] = values
        for length in range(2, radius + 1):
            starts = values.shape[along] - length + 1
            shorter = tables[along, length - 1].narrow(along, 0, starts)
            tables[along, length] = torch.minimum(shorter, values.narrow(along, length - 1, starts))
    return tables


def _spread_over_pixels(gradients: RunTables, tables: RunTables, radius: int) -> Tensor:
    """Take the gradients of runs, longest first, to the pixels that hold their least values; changes `gradients`."""
    for along in (ROWS, COLUMNS):
        for length in range(radius, 1, -1):
            gradient = gradients[along, length]
            starts = gradient.shape[along]
            shorter = tables[along, length - 1].narrow(along, 0, starts)
            share = torch.eq(shorter, tables[along, length], out=torch.empty_like(gradient)).mul_(gradient)
            gradients[along, length - 1].narrow(along, 0, starts).add_(share)
            gradients[along, 1].narrow(along, length - 1, starts).add_(gradient - share)
    return gradients[ROWS, 1] + gradients[COLUMNS, 1]
