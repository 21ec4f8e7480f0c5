"""RIB in the short form of the recipes for photographs: what a coarser loss and two images at a time save.

Claim: an image takes at most half the time of the same adaptation with the loss at the stride of the maps, one image
after another. Side by side gives the same maps; the coarser loss gives others, and the difference is printed. That
the gain of mIoU stays is measured on photographs (docs/rib.md). Weights are random, images are noise of their size.

    python benchmarks/rib_photographs.py
    python benchmarks/rib_photographs.py --images 8
"""

from __future__ import annotations

import argparse
import copy
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from rib import TOLERANCE, Case, make_case
from weakseg.localize.rib import adapt
from weakseg.models.classifier import Classifier
from weakseg.types import ScoreMaps

IMAGE_HW, PARTNERS, CROP_PX, ITERATIONS = (288, 384), 6, 320, 6
"""Of the recipe `folder`: a photograph at 384 px, and its short form of RIB."""

LR, COARSE_PX = 3e-5, 32
CORES = 2

Work = Callable[[], list[ScoreMaps]]


def main() -> None:
    """Print seconds per image of the three forms, their ratios to the first, and how far the maps are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2 * CORES)
    args = parser.parse_args()
    case = make_case("efficientnet_lite0", IMAGE_HW, iterations=ITERATIONS, partners=PARTNERS, crop_px=CROP_PX)
    case.classifier.to(memory_format=torch.channels_last)
    cases: Sequence[Case] = [case] * args.images
    forms: dict[str, Work] = {
        "loss at stride 16": lambda: one_by_one(cases, None),
        "loss at stride 32": lambda: one_by_one(cases, COARSE_PX),
        "the same, two at a time": lambda: side_by_side(cases, COARSE_PX),
    }
    taken_s, maps = {}, {}
    adapt_case(case, case.classifier, None)  # the first pays for memory that the process does not have yet
    for name, work in forms.items():
        start_s = time.perf_counter()
        maps[name] = work()
        taken_s[name] = (time.perf_counter() - start_s) / len(cases)
    first, coarse, together = forms
    for name, seconds in taken_s.items():
        print(f"{name:24} {seconds:6.2f} s per image, ratio {taken_s[first] / seconds:.2f}")
    changed, same = largest_difference(maps[first], maps[coarse]), largest_difference(maps[coarse], maps[together])
    print(f"largest difference of normalised maps: by the coarser loss {changed:.1e}, by two at a time {same:.1e}")
    if same > TOLERANCE:
        raise SystemExit(f"maps made side by side differ by more than {TOLERANCE}")


def one_by_one(cases: Sequence[Case], loss_stride_px: int | None) -> list[ScoreMaps]:
    """Adapt to one image after another, with all threads."""
    torch.set_num_threads(CORES)
    return [adapt_case(case, case.classifier, loss_stride_px) for case in cases]


def side_by_side(cases: Sequence[Case], loss_stride_px: int | None) -> list[ScoreMaps]:
    """Adapt to as many images at a time as there are cores, each with one thread and a classifier of its own."""
    own = threading.local()

    def begin() -> None:
        torch.set_num_threads(1)
        own.classifier = copy.deepcopy(cases[0].classifier)

    with ThreadPoolExecutor(CORES, initializer=begin) as pool:
        return list(pool.map(lambda case: adapt_case(case, own.classifier, loss_stride_px), cases))


def adapt_case(case: Case, classifier: Classifier, loss_stride_px: int | None) -> ScoreMaps:
    """Adapt as the recipe `folder` does; noise must not stop it."""
    return adapt(
        classifier,
        case.image,
        case.tags,
        case.batches,
        iterations=case.iterations,
        lr=LR,
        area_ratio=1.0,
        scales=(1.0, 1.5),
        mirror=False,
        channels_last=True,
        loss_stride_px=loss_stride_px,
    ).maps


def largest_difference(some: Sequence[ScoreMaps], others: Sequence[ScoreMaps]) -> float:
    """Return the largest difference of the normalised maps of two forms."""
    return max(float((a.full() - b.full()).abs().max()) for a, b in zip(some, others, strict=True))


if __name__ == "__main__":
    main()
