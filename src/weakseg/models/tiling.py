"""Cutting a large image into overlapping tiles, and the weights by which their results are put together again.

Tiles begin at multiples of `ALIGNMENT_PX`, so that a network strides over the same pixels in a tile as in the whole
image. Near an edge that a tile has and the image has not, the network sees padding in place of pixels; a quarter of
the overlap there counts for nothing, and over the half behind it one tile's weight falls from 1 to 0 while its
neighbour's rises. Hence the law that the tests hold: **a network whose result at a place depends on no pixel farther
than a quarter of the overlap, along either axis, gives the same result in tiles as on the whole image, but for
rounding.** A network that sees farther gives another result, without a step where tiles meet. The overlap-tile
strategy is that of U-Net (Ronneberger et al., MICCAI 2015), which cuts hard and does not blend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from weakseg.errors import ConfigError

ALIGNMENT_PX = 32
"""Tiles begin at multiples of this: the largest stride inside any of the networks (SegFormer's last stage)."""


@dataclass(frozen=True)
class Tiling:
    """How images too large to be seen whole are cut.

    Args:
        tile_px: Images of at most this height and width are seen whole; larger ones in tiles of at most this size.
        overlap_px: Neighbouring tiles share at least so many pixels.

    Raises:
        ConfigError: If `tile_px` is no multiple of 32 above 0, or `overlap_px` is no multiple of 32 from 0 to half of
            `tile_px`.
    """

    tile_px: int = 1024
    overlap_px: int = 256

    def __post_init__(self) -> None:
        if self.tile_px < ALIGNMENT_PX or self.tile_px % ALIGNMENT_PX:
            raise ConfigError(f"tile_px: expected a multiple of {ALIGNMENT_PX} above 0, got {self.tile_px}")
        if not 0 <= self.overlap_px <= self.tile_px // 2 or self.overlap_px % ALIGNMENT_PX:
            raise ConfigError(
                f"overlap_px: expected a multiple of {ALIGNMENT_PX} from 0 to half of tile_px ({self.tile_px // 2}), "
                f"got {self.overlap_px}"
            )


def choose_tiling(tile_px: int, overlap_px: int | None) -> Tiling:
    """Return tiles of a size that overlap by so much; by a quarter of it, rounded down to what is allowed, for None.

    Raises:
        ConfigError: As `Tiling`.
    """
    quarter = tile_px // (4 * ALIGNMENT_PX) * ALIGNMENT_PX
    return Tiling(tile_px, quarter if overlap_px is None else overlap_px)


@dataclass(frozen=True, eq=False)
class Span:
    """One tile along one axis.

    Args:
        start_px: Its first pixel, a multiple of `ALIGNMENT_PX`.
        size_px: Its length in pixels.
        first_cell: Its first cell on the whole image's grid of `stride`.
        weights: (cells,) float32 in 0..1, what each of its cells counts; over all spans they add up to 1 in each cell.
    """

    start_px: int
    size_px: int
    first_cell: int
    weights: Tensor

    @property
    def cells(self) -> slice:
        """Its place on the grid of the whole image."""
        return slice(self.first_cell, self.first_cell + len(self.weights))

    @property
    def pixels(self) -> slice:
        """Its place in the whole image."""
        return slice(self.start_px, self.start_px + self.size_px)


def cut_axis(length_px: int, *, tiling: Tiling, stride: int) -> tuple[Span, ...]:
    """Cut one axis of an image into the fewest tiles that overlap enough, evenly spaced.

    Args:
        length_px: Height or width of the image.
        tiling: How to cut.
        stride: Pixels per cell of the network's result.

    Returns:
        The spans in order; a single one, of weight 1 throughout, when the axis is no longer than a tile.

    Raises:
        ConfigError: If the axis is longer than a tile and `stride` does not divide `ALIGNMENT_PX`.
    """
    starts = _place_starts(length_px, tiling)
    if len(starts) > 1 and ALIGNMENT_PX % stride:
        raise ConfigError(
            f"tiles begin at multiples of {ALIGNMENT_PX} px, which this network's stride of {stride} px does not "
            f"divide; {length_px} px must be seen whole: raise the size of tiles, or limit that of images"
        )
    sizes = [min(tiling.tile_px, length_px - start) for start in starts]
    ramps = [
        _ramp(start, size, length_px, tiling.overlap_px, stride) for start, size in zip(starts, sizes, strict=True)
    ]
    total = torch.zeros(math.ceil(length_px / stride))
    for start, ramp in zip(starts, ramps, strict=True):
        total[start // stride : start // stride + len(ramp)] += ramp
    return tuple(
        Span(start, size, start // stride, ramp / total[start // stride : start // stride + len(ramp)])
        for start, size, ramp in zip(starts, sizes, ramps, strict=True)
    )


def _place_starts(length_px: int, tiling: Tiling) -> list[int]:
    if length_px <= tiling.tile_px:
        return [0]
    last = math.ceil((length_px - tiling.tile_px) / ALIGNMENT_PX)  # in units of the alignment, as all below
    gaps = math.ceil(last / ((tiling.tile_px - tiling.overlap_px) // ALIGNMENT_PX))
    # Rounding down keeps every gap at most ceil(last / gaps), and so every overlap large enough.
    return [ALIGNMENT_PX * (place * last // gaps) for place in range(gaps + 1)]


def _ramp(start_px: int, size_px: int, length_px: int, overlap_px: int, stride: int) -> Tensor:
    """Return the weight (cells,) of each cell of a tile before weights are made to add up to 1."""
    centres = (torch.arange(math.ceil(size_px / stride)) + 0.5) * stride
    weights = torch.ones(len(centres))
    if overlap_px == 0:
        return weights
    if start_px > 0:
        weights *= ((centres - overlap_px / 4) / (overlap_px / 2)).clamp(0, 1)
    if start_px + size_px < length_px:
        weights *= ((size_px - centres - overlap_px / 4) / (overlap_px / 2)).clamp(0, 1)
    return weights
