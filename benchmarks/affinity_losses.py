"""IRN's losses, forward and backward, against a form that gathers every pixel of every path through index tables.

Claim: at least 3 times as fast at 2 x 128 x 128 with a radius of 10, with the same losses and gradients, in less
memory.

    python benchmarks/affinity_losses.py
    python benchmarks/affinity_losses.py --images 1 --size 32 32 --threads 2
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from weakseg.ops.affinity import IRNLosses, affinity_displacement_losses

NUM_LABELS, IGNORED, CELL_PX = 21, 255, 16
LOG_EPS = 1e-5
ROUNDS = 5
"""The two sides take turns this often, and the best round of each counts: other processes only slow down."""

TOLERANCE = 1e-5
"""Largest relative difference of losses, and of gradients to the largest gradient, at which they count as equal."""

Losses = Callable[[Tensor, Tensor], IRNLosses]


@dataclass(frozen=True, eq=False)
class Case:
    """Edges (N, H, W), displacements (N, 2, H, W) and labels (N, H, W)."""

    edge: Tensor
    displacement: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class IndexTables:
    """Flat pixel numbers: of sources (M,), of the other ends (P, M), and of paths, (paths, length, M) per length."""

    sources: Tensor
    others: Tensor
    paths: tuple[Tensor, ...]
    offsets: Tensor


def main() -> None:
    """Print milliseconds for both sides, their ratio, the differences of their results, and the memory they take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--radius", type=int, default=10)
    parser.add_argument("--threads", type=int, help="threads of both sides (default: torch's)")
    parser.add_argument("--peak", choices=("gather", "slices", "nothing"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    case = make_case(args.images, tuple(args.size))
    build = lru_cache(lambda: build_tables(tuple(args.size), args.radius))  # once, by the side that needs them
    sides: dict[str, Losses] = {
        "gather": lambda edge, displacement: gather_losses(edge, displacement, case.labels, build()),
        "slices": lambda edge, displacement: affinity_displacement_losses(
            edge, displacement, case.labels, radius=args.radius, num_labels=NUM_LABELS
        ),
    }
    if args.peak is not None:
        if args.peak in sides:
            train_once(sides[args.peak], case)
        print(own_peak_mib())
        return
    print(f"{args.images} x {args.size[0]} x {args.size[1]}, radius {args.radius}, {torch.get_num_threads()} threads")
    # Before anything large is done here: on Linux a new process starts from the peak of the one that starts it.
    peaks_mib = {side: measure_peak_mib(side) for side in ("gather", "slices", "nothing")}
    compare(sides, case)
    for side in sides:
        print(
            f"{side}: {peaks_mib[side] - peaks_mib['nothing']:6d} MiB above {peaks_mib['nothing']} MiB without losses"
        )


def compare(sides: dict[str, Losses], case: Case) -> None:
    """Time both sides in turns, print the ratio, and stop the program if their results differ."""
    best_s = dict.fromkeys(sides, math.inf)
    results: dict[str, list[Tensor]] = {}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.perf_counter()
            results[name] = train_once(side, case)
            best_s[name] = min(best_s[name], time.perf_counter() - start)
    for name, seconds in best_s.items():
        print(f"{name}: {1e3 * seconds:8.1f} ms forward and backward")
    differences = [
        float((own - literal).abs().max() / literal.abs().max())
        for own, literal in zip(results["slices"], results["gather"], strict=True)
    ]
    print(f"ratio: {best_s['gather'] / best_s['slices']:.1f}x, results differ by {max(differences):.1e} at most")
    if not max(differences) <= TOLERANCE:
        raise SystemExit(f"the results differ by more than {TOLERANCE}")


def train_once(losses: Losses, case: Case) -> list[Tensor]:
    """Return the four losses and the gradients of their sum."""
    edge = case.edge.clone().requires_grad_()
    displacement = case.displacement.clone().requires_grad_()
    result = losses(edge, displacement)
    terms = [result.positive, result.negative, result.displacement_foreground, result.displacement_background]
    result.total().backward()
    assert edge.grad is not None
    assert displacement.grad is not None
    return [*(term.detach() for term in terms), edge.grad, displacement.grad]


def build_tables(size_hw: tuple[int, int], radius: int) -> IndexTables:
    """Tabulate every pixel of every path from every source."""
    number = torch.arange(size_hw[0] * size_hw[1]).reshape(size_hw)
    by_length: dict[int, list[tuple[tuple[int, int], list[tuple[int, int]]]]] = {}
    for dy in range(radius):
        for dx in range(1 - radius, radius):
            if dy**2 + dx**2 >= radius**2 or (dy, dx) <= (0, 0):
                continue
            pixels = [
                (y, x)
                for y in range(dy + 1)
                for x in range(min(0, dx), max(0, dx) + 1)
                if (dy * x - dx * y) ** 2 < dy**2 + dx**2
            ]
            by_length.setdefault(len(pixels), []).append(((dy, dx), pixels))

    def at(y: int, x: int) -> Tensor:
        left = radius - 1 + x
        return number[y : y + size_hw[0] - radius + 1, left : left + size_hw[1] - 2 * radius + 2].flatten()

    paths, offsets = [], []
    for _, group in sorted(by_length.items()):
        paths.append(torch.stack([torch.stack([at(*pixel) for pixel in pixels]) for _, pixels in group]))
        offsets += [offset for offset, _ in group]
    others = torch.stack([at(*offset) for offset in offsets])
    return IndexTables(at(0, 0), others, tuple(paths), torch.tensor(offsets))


def gather_losses(edge: Tensor, displacement: Tensor, labels: Tensor, tables: IndexTables) -> IRNLosses:
    """Gather all path pixels, take their maximum, and average over masks."""
    flat = edge.flatten(1)
    affinity = torch.cat([1 - flat[:, table].amax(dim=2) for table in tables.paths], dim=1)
    source, other = labels.flatten(1)[:, tables.sources][:, None], labels.flatten(1)[:, tables.others]
    known = (source != IGNORED) & (other != IGNORED)
    background = (known & (source == other) & (source == 0)).float()
    foreground = (known & (source == other) & (source > 0)).float()
    negative = (known & (source != other)).float()
    positive_cost, negative_cost = -torch.log(affinity + LOG_EPS), -torch.log(1 + LOG_EPS - affinity)
    places = displacement.flatten(2)
    apart = places[:, :, tables.sources][:, :, None] - places[:, :, tables.others]
    of_background = (positive_cost * background).sum() / background.sum()
    of_foreground = (positive_cost * foreground).sum() / foreground.sum()
    off_target = (apart - tables.offsets.T[:, :, None]).abs()
    return IRNLosses(
        positive=(of_background + of_foreground) / 2,
        negative=(negative_cost * negative).sum() / negative.sum(),
        displacement_foreground=(off_target * foreground[:, None]).sum() / (2 * foreground.sum()),
        displacement_background=(apart.abs() * background[:, None]).sum() / (2 * background.sum()),
    )


def make_case(count: int, size_hw: tuple[int, int]) -> Case:
    """Make edges and displacements of noise, and labels in blocks, some of them ignored."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.tensor([0, 0, 5, 12, IGNORED], dtype=torch.uint8)[
        torch.randint(0, 5, (count, size_hw[0] // CELL_PX + 1, size_hw[1] // CELL_PX + 1), generator=generator)
    ]
    labels = blocks.repeat_interleave(CELL_PX, 1).repeat_interleave(CELL_PX, 2)[:, : size_hw[0], : size_hw[1]]
    return Case(
        edge=torch.rand(count, *size_hw, generator=generator),
        displacement=4 * torch.randn(count, 2, *size_hw, generator=generator),
        labels=labels.contiguous(),
    )


def measure_peak_mib(side: str) -> int:
    """Run this file anew with the same options and return the largest resident memory that process had."""
    command = [sys.executable, *sys.argv, "--peak", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_mib() -> int:
    """Return the largest resident memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024**2 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux


if __name__ == "__main__":
    main()
