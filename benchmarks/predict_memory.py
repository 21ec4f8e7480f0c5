"""Peak memory of labelling one large image: tiles and one label at a time, against everything at once.

Run as `python benchmarks/predict_memory.py`. Each way runs in a process of its own, whose peak is printed above that of
one that only imports. The literal way passes the whole image through the network, brings all labels to full size and
takes the argmax; seen whole, weakseg must give its labels but for rounding. Tiles are compared as well: how many labels
they change depends on the network, and this one has random weights.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from weakseg.models.deeplab import build_segmenter
from weakseg.models.predictor import TorchNetwork, Views, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.ops.images import normalise, resize_image

WAYS = ("import", "tiles", "whole", "literal")
WHOLE = Tiling(tile_px=16384, overlap_px=0)
ASPP_RATES = (1, 3, 6)
NOISE_PX = 64
"""The image is smooth noise: one random colour in so many pixels."""

MEBIBYTE = 1024**2 if sys.platform == "darwin" else 1024
"""In the units of `ru_maxrss`: bytes on macOS, KiB on Linux."""

ROUNDING_SHARE = 1e-4
"""Share of the pixels at which two labels may be so close that rounding decides."""


def _label(way: str, height: int, width: int, num_labels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // NOISE_PX, width // NOISE_PX, 3), dtype=np.uint8)
    image = resize_image(coarse, (height, width))
    generator = torch.Generator().manual_seed(0)
    segmenter = build_segmenter(
        "critter", num_labels=num_labels, aspp_rates=ASPP_RATES, fixed_norm=True, generator=generator
    ).eval()
    if way == "literal":
        with torch.no_grad():
            probabilities = segmenter(normalise(image)[None]).softmax(dim=1)
            full = torch.nn.functional.interpolate(probabilities, (height, width), mode="bilinear", align_corners=False)
        return full[0].argmax(dim=0).to(torch.uint8).numpy()
    tiling = Tiling() if way == "tiles" else WHOLE
    (maps,) = predict_views(TorchNetwork(segmenter), [image], views=Views(), tiling=tiling)
    return choose_labels(maps, image, views=Views()).labels


def _measure(way: str, arguments: argparse.Namespace, out: Path) -> tuple[float, np.ndarray | None]:
    """Run one way in its own process; return its peak in MiB and its labels."""
    file = out / f"{way}.npy"
    sizes = [str(arguments.height), str(arguments.width), str(arguments.labels)]
    command = [sys.executable, __file__, "--way", way, "--file", str(file)]
    command += ["--height", sizes[0], "--width", sizes[1], "--labels", sizes[2]]
    peak_mib = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return peak_mib, np.load(file) if file.exists() else None


def main() -> None:
    """Print the peaks above the imports, their ratios, and how many labels differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=2000)
    parser.add_argument("--width", type=int, default=3000)
    parser.add_argument("--labels", type=int, default=81)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        if arguments.way != "import":
            np.save(arguments.file, _label(arguments.way, arguments.height, arguments.width, arguments.labels))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {way: _measure(way, arguments, Path(folder)) for way in WAYS}
    base_mib, literal = found["import"][0], found["literal"][1]
    assert literal is not None
    print(f"one image of {arguments.height} x {arguments.width}, {arguments.labels} labels")
    literal_mib = found["literal"][0] - base_mib
    for way in ("literal", "whole", "tiles"):
        peak_mib, labels = found[way]
        differing = float((labels != literal).mean())
        used_mib = peak_mib - base_mib
        ratio = literal_mib / used_mib
        print(f"{way:>8}: {used_mib:7.0f} MiB, ratio {ratio:4.1f}x, {100 * differing:.3f} % of labels differ")
        assert way == "tiles" or differing <= ROUNDING_SHARE, f"{way} differs from the literal way"


if __name__ == "__main__":
    main()
