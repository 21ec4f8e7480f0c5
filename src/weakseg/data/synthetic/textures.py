"""Noise, the contexts of an image, and the patterns of coats and heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakseg.data.synthetic.shapes import FloatArray

OCTAVE_DECAY = 0.55
"""Each octave of noise is twice as fine and this much weaker."""

NOISE_GAIN = 1.6
"""Interpolation and averaging over octaves flatten noise; this brings it back to about -1..1. It is also the bound."""

GRAIN_LEVELS = 3.0
"""Standard deviation of a context's grey pixel noise."""

SLOPE_LEVELS = 20.0
"""Standard deviation of the change of brightness from one side of the image to the other."""

Pattern = Literal["plain", "band", "spot"]
Marking = Literal["ring", "stripe", "dots"]


@dataclass(frozen=True)
class NoiseLayer:
    """One summand of a context's texture.

    Args:
        cells_hw: Noise cells per image height and width.
        octaves: Number of octaves.
        levels: Amplitude.
    """

    cells_hw: tuple[float, float]
    octaves: int
    levels: float


@dataclass(frozen=True)
class Context:
    """A kind of background.

    Args:
        name: What it stands for.
        rgb: Mean colour.
        layers: Texture.
        has_bricks: Whether a grid of joints is drawn over it.
    """

    name: str
    rgb: tuple[float, float, float]
    layers: tuple[NoiseLayer, ...]
    has_bricks: bool = False


CONTEXTS = (
    Context("sea", (52, 104, 140), (NoiseLayer((14, 3), 3, 30), NoiseLayer((3, 2), 2, 14))),
    Context("grass", (82, 128, 58), (NoiseLayer((10, 36), 2, 30), NoiseLayer((4, 4), 2, 16))),
    Context("sand", (190, 168, 122), (NoiseLayer((60, 60), 1, 16), NoiseLayer((5, 3), 2, 16))),
    Context("snow", (196, 206, 218), (NoiseLayer((3, 3), 3, 26),)),
    Context("brick", (150, 86, 68), (NoiseLayer((12, 12), 2, 18),), has_bricks=True),
    Context("bark", (92, 72, 52), (NoiseLayer((4, 24), 3, 34), NoiseLayer((3, 3), 2, 10))),
)
"""The context at index c is the one that class c prefers."""


def value_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], *, cell_hw: tuple[float, float], octaves: int
) -> FloatArray:
    """Draw smooth random noise: random values on a grid, interpolated, summed over octaves.

    Args:
        rng: Source of randomness.
        size_hw: (height, width) of the result in pixels, both at least 1.
        cell_hw: Height and width of a grid cell of the first octave in pixels; cells are never finer than a pixel.
        octaves: Number of octaves.

    Returns:
        (H, W) float32 with mean 0, within -1.6..1.6 and mostly within -1..1.
    """
    total = np.zeros(size_hw, np.float32)
    amplitude, amplitudes = 1.0, 0.0
    for octave in range(octaves):
        cell_height, cell_width = (max(1.0, cell / 2**octave) for cell in cell_hw)
        rows, row_weights = _grid_positions(size_hw[0], cell_height)
        columns, column_weights = _grid_positions(size_hw[1], cell_width)
        grid = rng.random((int(rows[-1]) + 2, int(columns[-1]) + 2), dtype=np.float32)
        upper, lower = grid[rows], grid[rows + 1]
        bands = upper + row_weights[:, None] * (lower - upper)
        left, right = bands[:, columns], bands[:, columns + 1]
        total += amplitude * (left + column_weights * (right - left))
        amplitudes += amplitude
        amplitude *= OCTAVE_DECAY
    # The grid holds 0..1; -1..1 is twice that less one.
    return (total * (2 / amplitudes) - 1) * NOISE_GAIN


def _grid_positions(length: int, cell: float) -> tuple[NDArray[np.intp], FloatArray]:
    """Return for each pixel of a line the grid point before it and the smoothed weight of the one after it."""
    position = np.arange(length, dtype=np.float32) / cell
    before = position.astype(np.intp)
    fraction = position - before.astype(np.float32)
    return before, fraction * fraction * (3 - 2 * fraction)


def draw_context(
    rng: np.random.Generator, context: Context, *, size_px: int, scale: float, jitter: float
) -> FloatArray:
    """Draw a background.

    Args:
        rng: Source of randomness.
        context: Which kind.
        size_px: Height and width.
        scale: Factor of lengths that are meant for 128 px.
        jitter: Standard deviation of the random change of the mean colour, per channel.

    Returns:
        (size_px, size_px, 3) float32 levels.
    """
    size_hw = (size_px, size_px)
    rgb = np.asarray(context.rgb, np.float32) + rng.normal(0, jitter, 3).astype(np.float32)
    tone = rng.standard_normal(size_hw, dtype=np.float32) * GRAIN_LEVELS
    for layer in context.layers:
        cell_hw = (size_px / layer.cells_hw[0], size_px / layer.cells_hw[1])
        tone += value_noise(rng, size_hw, cell_hw=cell_hw, octaves=layer.octaves) * layer.levels
    if context.has_bricks:
        tone += _joints(rng, size_px=size_px, scale=scale)
    across = np.arange(size_px, dtype=np.float32) / size_px - 0.5
    slope_y, slope_x = (float(slope) for slope in rng.normal(0, SLOPE_LEVELS, 2))
    tone += slope_y * across[:, None] + slope_x * across
    return rgb + tone[..., None]


def _joints(rng: np.random.Generator, *, size_px: int, scale: float) -> FloatArray:
    """Draw the joints of a brick wall: (size_px, size_px) float32, 34 on a joint and 0 elsewhere."""
    height, width = int(rng.integers(8, 13)) * scale, int(rng.integers(16, 26)) * scale
    shift_y, shift_x = (float(shift) * scale for shift in rng.integers(0, 30, 2))
    line = np.arange(size_px, dtype=np.float32)
    y, x = (line + shift_y)[:, None], (line + shift_x)[None, :]
    every_other_row = (y // height) % 2
    on_joint = (y % height < 1.5 * scale) | ((x + every_other_row * (width / 2)) % width < 1.5 * scale)
    return np.where(on_joint, np.float32(34), np.float32(0))


def coat_tone(
    rng: np.random.Generator, pattern: Pattern, u: FloatArray, v: FloatArray, *, contrast: float, scale: float
) -> FloatArray:
    """Draw the brightness of a coat over the axes u (along the body) and v of its torso, in levels.

    Args:
        rng: Source of randomness: period and phase.
        pattern: `plain`, `band` (across the body) or `spot`.
        u: (h, w) float32, px.
        v: (h, w) float32, px.
        contrast: Amplitude in levels.
        scale: Factor of lengths that are meant for 128 px.

    Returns:
        (h, w) float32.
    """
    wave_number = 2 * math.pi / (rng.uniform(7, 10) * scale)
    phase_u, phase_v = rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi)
    if pattern == "plain":
        return np.zeros_like(u)
    wave: FloatArray = np.sin(u * wave_number + phase_u)
    if pattern == "band":
        return np.where(wave > 0, np.float32(contrast), np.float32(-contrast))
    wave *= np.sin(v * wave_number + phase_v)
    return np.where(wave > 0.25, np.float32(-1.4 * contrast), np.float32(0.4 * contrast))


def is_marked(marking: Marking, u: FloatArray, v: FloatArray) -> NDArray[np.bool_]:
    """Return where a head bears its marking, over head axes u and v in units of the head's radius.

    Args:
        marking: `ring`, `stripe` or `dots`.
        u: (h, w) float32, along the head.
        v: (h, w) float32, across it.

    Returns:
        (h, w) bool.
    """
    if marking == "ring":
        squared_radius = u * u + v * v
        return (squared_radius > 0.38**2) & (squared_radius < 0.68**2)
    if marking == "stripe":
        off_stripe: FloatArray = np.abs((u + 1) * 2.2 % 1 - 0.5)
        return off_stripe < 0.23
    waves: FloatArray = np.sin(u * 6) * np.sin(v * 6)
    return waves > 0.3
