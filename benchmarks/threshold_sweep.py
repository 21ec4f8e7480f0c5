"""The sweep over background thresholds in one pass, against one confusion matrix per threshold.

Run as `python benchmarks/threshold_sweep.py`. Both sides score the same random seeds of VOC's image size; their
results are compared before the ratio of their times is printed.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.ndimage import zoom

from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.refine.masks import seed_to_mask

HEIGHT, WIDTH, NUM_LABELS = 375, 500, 21
CELL_PX = 16
TOLERANCE = 1e-12


def _make_image(rng: np.random.Generator) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Make smooth maps of one to three classes and a truth in blocks, with some void."""
    keys = sorted(rng.choice(NUM_LABELS - 1, size=rng.integers(1, 4), replace=False).tolist())
    coarse = rng.random((len(keys), HEIGHT // CELL_PX + 1, WIDTH // CELL_PX + 1), dtype=np.float32)
    maps = np.stack([zoom(m, CELL_PX, order=1)[:HEIGHT, :WIDTH] for m in coarse])
    labels = np.array([0, *(key + 1 for key in keys), 255], np.uint8)
    blocks = rng.choice(labels, size=(HEIGHT // CELL_PX + 1, WIDTH // CELL_PX + 1))
    truth = np.kron(blocks, np.ones((CELL_PX, CELL_PX), np.uint8))[:HEIGHT, :WIDTH]
    return maps, keys, truth


def main() -> None:
    """Print both times per image and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--thresholds", type=int, default=100)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [_make_image(rng) for _ in range(args.images)]
    thresholds = np.linspace(0, 1, args.thresholds, endpoint=False)

    start = time.perf_counter()
    sweep = ThresholdSweep(NUM_LABELS, thresholds)
    for maps, keys, truth in images:
        sweep.update(maps, keys, truth)
    swept = sweep.result().iou
    sweep_s = time.perf_counter() - start

    start = time.perf_counter()
    literal = np.empty_like(swept)
    for index, threshold in enumerate(thresholds):
        confusion = ConfusionMatrix(NUM_LABELS)
        for maps, keys, truth in images:
            confusion.update(seed_to_mask(maps, keys, background_threshold=threshold), truth)
        literal[index] = confusion.result().iou
    literal_s = time.perf_counter() - start

    np.testing.assert_allclose(swept, literal, atol=TOLERANCE)
    per_image_ms = 1e3 / args.images
    print(f"{args.images} images of {HEIGHT} x {WIDTH}, {args.thresholds} thresholds, {NUM_LABELS} labels")
    print(f"one pass:          {sweep_s * per_image_ms:8.1f} ms per image")
    print(f"one per threshold: {literal_s * per_image_ms:8.1f} ms per image")
    print(f"ratio: {literal_s / sweep_s:.0f}x, results equal")


if __name__ == "__main__":
    main()
