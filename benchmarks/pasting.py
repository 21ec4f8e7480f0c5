"""Pasting a donor into an image of 512 px, against reading such an image and against the literal way.

Run as `OMP_NUM_THREADS=1 python benchmarks/pasting.py`. The literal way resizes (bicubic), rotates and pastes colours
and outline one by one; `paste_donor` samples both at once. Their outlines are compared before ratios of the smallest
times of interleaved rounds are printed. Pixels are those of smoothed noise, which JPEG packs about as a photograph.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from weakseg.data.donors import Donor
from weakseg.data.pasting import PasteSettings, Placement, draw_placement, paste_donor

SIDE_PX = 512
DONOR_HW = (240, 320)
SMALLEST_IOU = 0.97
"""The ways place a donor up to half a pixel apart."""


def _make_photo(rng: np.random.Generator, size_hw: tuple[int, int]) -> np.ndarray:
    noise = gaussian_filter(rng.normal(0, 1, (*size_hw, 3)), (1.5, 1.5, 0))
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


def _paste_literally(host: np.ndarray, donor: Donor, placement: Placement) -> np.ndarray:
    size_wh = tuple(max(1, round(side * placement.scale)) for side in donor.outline.shape[::-1])
    pixels = Image.fromarray(donor.pixels).resize(size_wh, Image.Resampling.BICUBIC)
    outline = Image.fromarray(donor.outline).convert("L").resize(size_wh, Image.Resampling.BILINEAR)
    angle = placement.angle_degrees
    pixels = pixels.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    outline = outline.rotate(angle, Image.Resampling.BILINEAR, expand=True).point([0] * 128 + [255] * 128)
    result = Image.fromarray(host).copy()
    result.paste(pixels, placement.top_left_px[::-1], outline)
    return np.array(result)


def _time_ms(run: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        run(number)
    return 1e3 * (time.perf_counter() - start) / count


def main() -> None:
    """Print the times per image and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--donors", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    host = _make_photo(rng, (SIDE_PX, SIDE_PX))
    file = io.BytesIO()
    Image.fromarray(host).save(file, "JPEG", quality=90)
    ellipse = np.hypot(*(np.mgrid[-1 : 1 : 1j * DONOR_HW[0], -1 : 1 : 1j * DONOR_HW[1]])) < 0.95
    donor = Donor(0, "photo", _make_photo(rng, DONOR_HW), ellipse)
    placements = [draw_placement(rng, DONOR_HW, (SIDE_PX, SIDE_PX), PasteSettings()) for _ in range(args.donors)]

    for placement in placements:
        painted = paste_donor(host, donor, placement).painted
        literal = (_paste_literally(host, donor, placement) != host).any(axis=2)
        iou = (painted & literal).sum() / (painted | literal).sum()
        assert iou > SMALLEST_IOU, f"the outlines differ: IoU {iou:.3f}"

    ways: dict[str, Callable[[int], object]] = {
        "paste_donor": lambda n: paste_donor(host, donor, placements[n]),
        "paste_donor, blurred": lambda n: paste_donor(host, donor, placements[n], blur_px=1.5),
        "literal": lambda n: _paste_literally(host, donor, placements[n]),
        "reading the host": lambda n: np.array(Image.open(io.BytesIO(file.getvalue()))),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(args.rounds):
        for name, run in ways.items():
            best[name] = min(best[name], _time_ms(run, args.donors))
    print(f"{args.donors} donors of {DONOR_HW[0]} x {DONOR_HW[1]} into {SIDE_PX} x {SIDE_PX}, {args.rounds} rounds")
    for name, taken_ms in best.items():
        print(f"{name + ':':24s}{taken_ms:6.2f} ms, ratio to paste_donor {taken_ms / best['paste_donor']:.2f}")


if __name__ == "__main__":
    main()
