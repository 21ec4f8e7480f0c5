"""RIB's adaptation of one image, against a literal form of the released loop.

Claim: the same maps in less time. Both sides adapt one network with random weights to one image, with equal partners
that lie ready in memory (`rib_partners.py` loads them), and every iteration runs. Most of the arithmetic cannot be
spared: `--options` shows what bfloat16 saves and what it does to the maps.

    python benchmarks/rib.py --options
    python benchmarks/rib.py --image 375 500 --partners 20 --crop 512 --iterations 3
    python benchmarks/rib.py --memory
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Threads that wait should sleep: on a busy machine those that spin cost either side more than the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor

from weakseg.localize.cam import CAM_SCALES, flip_pair, merge_flip_pair
from weakseg.localize.rib import adapt
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.resnet import BACKBONE_NAMES
from weakseg.ops.images import normalise, resize_image, scaled_size_hw
from weakseg.types import ScoreMaps

NUM_CLASSES = 20
KEYS = (3, 14)
LR, WEIGHT_DECAY, THRESHOLD = 8e-6, 1e-4, 0.4
LEFT_OUT_SCALE = 0.5
ROUNDS = 2
"""The two sides take turns this often, and the best round of each counts: the first pays for memory the process does
not yet have, and other processes only slow down."""

TOLERANCE = 2e-3
"""Largest difference of normalised maps at which two adaptations count as equal."""

MEMORY_IMAGE_HW, MEMORY_PARTNERS, MEMORY_CROP_PX = (375, 500), 20, 512
MEMORY_AT_ONCE = (0, 10, 5, 2)
"""Portions of partners whose peak memory is measured; 0 for all together."""

MEMORY_ITERATIONS = 2
"""One update and a last iteration without one; further iterations need no more memory."""

Maps = Callable[[], ScoreMaps]


@dataclass(frozen=True, eq=False)
class Case:
    """A network, an image with its tags, and one batch of partners per iteration."""

    classifier: Classifier
    image: np.ndarray
    tags: np.ndarray
    batches: Iterable[tuple[Tensor, Tensor]]
    iterations: int


def main() -> None:
    """Print seconds per image for both sides, their ratio, and the largest difference of their maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=BACKBONE_NAMES, default="resnet50")
    parser.add_argument("--image", type=int, nargs=2, default=(188, 250), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--partners", type=int, default=4, help="partners per iteration (default: 4)")
    parser.add_argument("--crop", type=int, default=256, help="side of a partner in px (default: 256)")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, help="threads of both sides (default: torch's)")
    parser.add_argument("--options", action="store_true", help="also time channels_last and autocast")
    parser.add_argument("--memory", action="store_true", help="print the peak memory of large batches instead")
    parser.add_argument("--at-once", type=int, help=argparse.SUPPRESS)  # what `--memory` runs in a new process
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if args.at_once is not None:
        print(measure_peak_mib(args.network, at_once=args.at_once))
    elif args.memory:
        print_memory(args.network)
    else:
        case = make_case(
            args.network, tuple(args.image), iterations=args.iterations, partners=args.partners, crop_px=args.crop
        )
        print_times(case, with_options=args.options)


def make_case(name: str, image_hw: tuple[int, int], *, iterations: int, partners: int, crop_px: int) -> Case:
    """Make a network with random weights, an image of noise, and partners of noise that share no class with it."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    classifier = build_classifier(
        name, num_classes=NUM_CLASSES, freeze_trunk=True, fixed_norm=True, generator=generator
    ).eval()
    tags = np.zeros(NUM_CLASSES, np.float32)
    tags[list(KEYS)] = 1
    batches = []
    for _ in range(iterations):
        batch_tags = torch.zeros(partners, NUM_CLASSES)
        batch_tags[torch.arange(partners), torch.from_numpy(rng.choice(np.flatnonzero(tags == 0), partners))] = 1
        batches.append((torch.randn(partners, 3, crop_px, crop_px, generator=generator), batch_tags))
    return Case(classifier, rng.integers(0, 256, (*image_hw, 3), dtype=np.uint8), tags, batches, iterations)


def print_times(case: Case, *, with_options: bool) -> None:
    """Time both sides in turns and print a line for each.

    The seconds of all cores together suffer less from other processes than those of the clock.
    """
    sides: dict[str, Maps] = {"literal": lambda: adapt_literally(case), "adapt": lambda: adapt_case(case)}
    if with_options:
        sides["  channels_last"] = lambda: adapt_case(case, channels_last=True)
        sides["  autocast"] = lambda: adapt_case(case, autocast=True)
    images = next(iter(case.batches))[0]
    print(
        f"image {case.image.shape[0]} x {case.image.shape[1]}, {case.iterations} iterations, {len(images)} partners "
        f"of {images.shape[-1]} px, {torch.get_num_threads()} threads"
    )
    compare(sides, equal=("adapt",))


def compare(sides: dict[str, Maps], *, equal: tuple[str, ...]) -> None:
    """Time every side in turns, the first being the literal one, print a line for each, and stop if maps differ.

    The seconds of all cores together suffer less from other processes than those of the clock.

    Args:
        sides: What to time, by name.
        equal: Sides whose maps must be those of the first.
    """
    clock_s = dict.fromkeys(sides, math.inf)
    cores_s = dict.fromkeys(sides, math.inf)
    maps = {}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start_clock, start_cores = time.perf_counter(), time.process_time()
            maps[name] = side()
            clock_s[name] = min(clock_s[name], time.perf_counter() - start_clock)
            cores_s[name] = min(cores_s[name], time.process_time() - start_cores)
    print("                 s per image   ratio   core s per image   ratio   largest difference of the maps")
    for name in sides:
        difference = float((maps[name].full() - maps["literal"].full()).abs().max())
        print(
            f"{name:16s} {clock_s[name]:11.2f} {clock_s['literal'] / clock_s[name]:7.2f}"
            f" {cores_s[name]:18.2f} {cores_s['literal'] / cores_s[name]:7.2f}   {difference:.1e}"
        )
        if name in equal and difference > TOLERANCE:
            raise SystemExit(f"the maps differ by more than {TOLERANCE}")


def adapt_case(
    case: Case, *, max_partners_at_once: int | None = None, channels_last: bool = False, autocast: bool = False
) -> ScoreMaps:
    """Adapt with the package, its stop rules out of reach."""
    return adapt(
        case.classifier,
        case.image,
        case.tags,
        case.batches,
        iterations=case.iterations,
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        threshold=THRESHOLD,
        logit_stop=math.inf,
        area_ratio=1.0,
        max_partners_at_once=max_partners_at_once,
        channels_last=channels_last,
        autocast=autocast,
    ).maps


def adapt_literally(case: Case) -> ScoreMaps:
    """Follow the released loop as docs/sources.md#rib tells it, step by step, reusing nothing.

    In every iteration every scale goes through the whole network with its history, the trunk's output is detached from
    a trunk whose parameters ask for gradients, and one backward pass and an update end it; the whole state is copied.
    """
    network = case.classifier
    state = {name: value.clone() for name, value in network.state_dict().items()}
    asked = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(True)
    backbone = [*network.backbone.layer3.parameters(), *network.backbone.layer4.parameters()]
    groups = [{"params": backbone, "lr": LR}, {"params": network.head_parameters(), "lr": 10 * LR}]
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=WEIGHT_DECAY, weight_decay=WEIGHT_DECAY)
    size_hw = (case.image.shape[0], case.image.shape[1])
    views = [flip_pair(normalise(resize_image(case.image, scaled_size_hw(size_hw, scale)))) for scale in CAM_SCALES]
    own_tags = torch.from_numpy(case.tags).expand(2, -1)
    sums: list[Tensor] = []
    for iteration, (images, tags) in enumerate(case.batches):
        maps, logits = [], []
        for scale, view in zip(CAM_SCALES, views, strict=True):
            scores = network.head(network.backbone.trunk(view).detach())
            maps.append(merge_flip_pair(scores.detach()[:, list(KEYS)]))
            if scale != LEFT_OUT_SCALE:
                logits.append(pool_literally(scores, own_tags) * own_tags)
        sums = [total + part for total, part in zip(sums, maps, strict=True)] if sums else maps
        scores = network.head(network.backbone.trunk(images).detach())
        logits.append(pool_literally(scores, tags) * tags)
        factor = (1 - iteration / case.iterations) ** 0.9
        for group, rate in zip(optimizer.param_groups, (LR, 10 * LR), strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad()
        (-torch.cat(logits).sum()).backward()
        optimizer.step()
    network.load_state_dict(state)
    network.zero_grad()
    for parameter, asks in zip(network.parameters(), asked, strict=True):
        parameter.requires_grad_(asks)
    return ScoreMaps(keys=KEYS, scales=tuple(sums), size_hw=size_hw)


def pool_literally(scores: Tensor, tags: Tensor) -> Tensor:
    """Drop the strong positions image by image and class by class, then average: (N, C, h, w) -> (N, C)."""
    kept = torch.ones_like(scores)
    for row, number in tags.nonzero().tolist():
        own = scores[row, number].detach()
        kept[row, number] = (own / own.max() < THRESHOLD).float()
    return (scores * kept).mean(dim=(2, 3))


def print_memory(name: str) -> None:
    """Print the peak memory of an adaptation per portion of partners, each measured in a process of its own."""
    print(
        f"image {MEMORY_IMAGE_HW[0]} x {MEMORY_IMAGE_HW[1]}, {MEMORY_PARTNERS} partners of {MEMORY_CROP_PX} px, {name}"
    )
    for at_once in MEMORY_AT_ONCE:
        command = [sys.executable, __file__, "--network", name, "--at-once", str(at_once)]
        peak_mib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"max_partners_at_once {at_once or 'none':>4}: peak {peak_mib / 1024:5.1f} GiB", flush=True)


def measure_peak_mib(name: str, *, at_once: int) -> int:
    """Adapt once and return the largest resident memory this process ever had; 0 for all partners together."""
    case = make_case(
        name, MEMORY_IMAGE_HW, iterations=MEMORY_ITERATIONS, partners=MEMORY_PARTNERS, crop_px=MEMORY_CROP_PX
    )
    adapt_case(case, max_partners_at_once=at_once or None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024**2 if sys.platform == "darwin" else 1024)  # bytes there, KiB on Linux


if __name__ == "__main__":
    main()
