"""The sparse random walk against squaring a dense transition matrix, and the memory it takes.

Claims: at least 400 times as fast at 94 x 125, the edge map of a 375 x 500 image, with the same result; the walk for an
image of 1000 x 1000 takes less than 1 GB.

    python benchmarks/random_walk.py
    python benchmarks/random_walk.py --maps 20 --threads 2

The dense matrix of 94 x 125 = 11750 pixels is squared once and the time multiplied by the number of squarings; its
being built and applied is left out. The two results are compared at a size at which all squarings are done.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from weakseg.ops.walk import random_walk

RADIUS, BETA, DOUBLINGS = 5, 10.0, 8
SIZE_HW, COMPARED_HW, MEMORY_HW = (94, 125), (30, 41), (250, 250)
ROUNDS = 5
"""The walk is timed this often before and after the squaring, and the best round counts: other processes only slow
down. The squaring is timed once, since it takes a minute or two."""

TOLERANCE = 1e-4
"""Largest difference of maps of order 1 at which both results count as equal: the dense one is off by 2e-5 itself."""


def main() -> None:
    """Print seconds per image for both sides, their ratio, the difference of their results, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=2, help="classes walked together (default: 2)")
    parser.add_argument("--threads", type=int, help="threads of both sides (default: torch's)")
    parser.add_argument("--peak", choices=("walk", "imports"), help=argparse.SUPPRESS)  # for a process of its own
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if args.peak is not None:
        if args.peak == "walk":
            walk(*make_case(MEMORY_HW, args.maps))
        print(own_peak_mib())
        return

    # Before anything large is done here: on Linux a new process starts from the peak of the one that starts it.
    peak_mib, imports_mib = (measure_peak_mib(what, args.maps) for what in ("walk", "imports"))
    print(
        f"{MEMORY_HW[0]} x {MEMORY_HW[1]} (image of 1000 x 1000), {args.maps} maps: peak {peak_mib} MiB, "
        f"{imports_mib} MiB of them for the imports alone"
    )
    maps, edge = make_case(COMPARED_HW, args.maps)
    difference = float((walk(maps, edge) - walk_densely(maps, edge)).abs().max())
    print(f"{COMPARED_HW[0]} x {COMPARED_HW[1]}: results differ by {difference:.1e} at most")
    if difference > TOLERANCE:
        raise SystemExit(f"the results differ by more than {TOLERANCE}")

    maps, edge = make_case(SIZE_HW, args.maps)
    walk_s = min(measure_s(lambda: walk(maps, edge)) for _ in range(ROUNDS))
    squaring_s = measure_squaring_s(edge)
    walk_s = min(walk_s, *(measure_s(lambda: walk(maps, edge)) for _ in range(ROUNDS)))
    print(f"{SIZE_HW[0]} x {SIZE_HW[1]}, {args.maps} maps, {torch.get_num_threads()} threads")
    print(f"dense squaring: {DOUBLINGS * squaring_s:8.2f} s ({DOUBLINGS} times one of {squaring_s:.2f} s)")
    print(f"random_walk:    {walk_s:8.3f} s")
    print(f"ratio: {DOUBLINGS * squaring_s / walk_s:.0f}x")


def walk(maps: Tensor, edge: Tensor) -> Tensor:
    """Walk with the package."""
    return random_walk(maps, edge, radius=RADIUS, beta=BETA, doublings=DOUBLINGS)


def walk_densely(maps: Tensor, edge: Tensor) -> Tensor:
    """Square the whole transition matrix `DOUBLINGS` times."""
    transition = build_transition(edge)
    for _ in range(DOUBLINGS):
        transition = transition @ transition
    return ((maps * (1 - edge)).flatten(1) @ transition).reshape(maps.shape)


def build_transition(edge: Tensor) -> Tensor:
    """Build the N x N matrix with normalised columns, pair by pair and pixel by pixel of every path."""
    height, width = edge.shape
    number = torch.arange(height * width).reshape(height, width)
    matrix = torch.eye(height * width)
    for dy in range(RADIUS):
        for dx in range(1 - RADIUS, RADIUS):
            length_squared = dy**2 + dx**2
            if length_squared >= RADIUS**2 or (dy, dx) <= (0, 0):
                continue
            rows, left, right = height - dy, max(0, -dx), min(width, width - dx)
            strongest = torch.zeros(rows, right - left)
            for y in range(dy + 1):
                for x in range(min(0, dx), max(0, dx) + 1):
                    if (dy * x - dx * y) ** 2 < length_squared:
                        strongest = torch.maximum(strongest, edge[y : y + rows, left + x : right + x])
            affinity = (1 - strongest) ** BETA
            source, target = number[:rows, left:right], number[dy:, left + dx : right + dx]
            matrix[source, target] = affinity
            matrix[target, source] = affinity
    return matrix.div_(matrix.sum(dim=0))


def make_case(size_hw: tuple[int, int], count: int) -> tuple[Tensor, Tensor]:
    """Make maps of smooth noise, and edges that are weak in most places and strong along lines."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, count + 1, size_hw[0] // 8 + 2, size_hw[1] // 8 + 2, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size_hw, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    lines = torch.exp(-(((smooth[0] - 0.5) / 0.05) ** 2))
    return smooth[1:], (lines + 0.1 * torch.rand(size_hw, generator=generator)).clamp(0, 1)


def measure_squaring_s(edge: Tensor) -> float:
    """Return the seconds of squaring the dense matrix once."""
    transition = build_transition(edge)
    return measure_s(lambda: transition @ transition)


def measure_s(function: Callable[[], Tensor]) -> float:
    """Run once and return the seconds of the clock."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure_peak_mib(what: str, count: int) -> int:
    """Run this file anew and return the largest resident memory that process had."""
    command = [sys.executable, __file__, "--peak", what, "--maps", str(count)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_mib() -> int:
    """Return the largest resident memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024**2 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux


if __name__ == "__main__":
    main()
