"""How fast critters are drawn, on one core.

Claim: at least 40 images a second at 128 px. The ratio is against the same code made to draw every shape, and every
shape's texture, over the whole canvas instead of inside its bounding box; everything else is equal.

    python benchmarks/critters.py --images 200
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from weakseg.data.synthetic import CritterSettings, generate_scene, write_critters
from weakseg.data.synthetic.shapes import Box, Shape

SIZES_PX = (64, 128, 256, 512)
CLAIMED_SIZE_PX = 128
CLAIMED_RATE = 40.0
ROUNDS = 3
"""The two variants take turns this often, and the best round of each counts, since other processes only slow down."""


def main() -> None:
    """Print images per second by size, the ratio to full-canvas drawing, and the rate of writing a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="images per measurement at 128 px (default: 100)")
    images: int = parser.parse_args().images

    print("size px   images/s   full canvas   ratio")
    for size_px in SIZES_PX:
        # As many pixels at each size, but some images at least.
        count = max(images * CLAIMED_SIZE_PX**2 // size_px**2, 8)
        settings = CritterSettings(size_px=size_px)
        boxed, full = 0.0, 0.0
        for _ in range(ROUNDS):
            boxed = max(boxed, measure_rate(settings, count))
            with full_canvas():
                full = max(full, measure_rate(settings, count))
        verdict = f"   (claim: {CLAIMED_RATE:.0f})" if size_px == CLAIMED_SIZE_PX else ""
        print(f"{size_px:7d} {boxed:10.0f} {full:13.0f} {boxed / full:7.1f}{verdict}")

    with tempfile.TemporaryDirectory() as folder:
        # The first image also loads what writing needs.
        write_critters(Path(folder) / "one", CritterSettings(), images=1, val_images=0, seed=0)
        start = time.perf_counter()
        write_critters(Path(folder) / "critters", CritterSettings(), images=images, val_images=0, seed=0)
        print(f"written as a VOC folder at 128 px: {images / (time.perf_counter() - start):.0f} images/s")


def measure_rate(settings: CritterSettings, count: int) -> float:
    """Return how many images per second are drawn."""
    generate_scene(settings, seed=0, index=0)
    start = time.perf_counter()
    for index in range(count):
        generate_scene(settings, seed=0, index=index)
    return count / (time.perf_counter() - start)


@contextmanager
def full_canvas() -> Iterator[None]:
    """Make every bounding box the whole canvas."""

    def whole(shapes: tuple[Shape, ...], size_hw: tuple[int, int], *, bulge_px: float = 0.0) -> Box:
        return Box(0, 0, *size_hw)

    with ExitStack() as stack:
        for module in ("shapes", "animals", "scenes"):
            stack.enter_context(patch(f"weakseg.data.synthetic.{module}.enclosing_box", whole))
        yield


if __name__ == "__main__":
    main()
