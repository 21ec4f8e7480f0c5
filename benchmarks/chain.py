"""How fast the stages of a recipe run on photographs, beside the plain form of the same computation.

Claim: training at least 1.5 times and localising at least twice as fast on `folder`'s network. The plain form has
contiguous weights, dilated and 1x1 convolutions run as convolutions, batch norms that are not folded into them, padded
copies before strides, trains at the stride that scores, and decodes every image in every epoch. The recipe's form is
what `weakseg run` does. Both start from the same weights, see the same images and take turns; the results are compared.
A recipe that trains at a coarser stride has other losses, of course: docs/photographs.md compares its seeds.

Elapsed time is what a user waits for, and shows whether all cores are busy; it means little while the machine does more
than that. CPU seconds, of this process and its threads, then tell more.

    python benchmarks/chain.py                    # generated critters
    python benchmarks/chain.py photos/            # your own, as the recipe `folder` sees them
    python benchmarks/chain.py photos/ --images 32 --threads 1
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads would count as busy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forms.stages import EPOCHS, fit, fit_segmenter, lay_out, mask_of, plain_layers, run_all, seed_of, snapshot
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.segmenters import start_segmenter
from weakseg.pipeline.starting import start_classifier
from weakseg.types import Sample, ScoreMaps

ROUNDS = 3
"""The two forms take turns this often, and the best round of each counts, since other processes only slow down."""

CRITTERS = ("--data.critters.images=64", "--data.critters.val_images=0")


@dataclass(frozen=True, eq=False)
class Timing:
    """One form of one stage.

    Args:
        cpu_s: CPU seconds, of the best round.
        elapsed_s: Elapsed seconds, of the best round.
        result: What came out, to be compared.
    """

    cpu_s: float
    elapsed_s: float
    result: list[Tensor]

    def improve(self, other: Timing) -> Timing:
        """Return the shorter of both kinds of time, with the results of this round."""
        return replace(self, cpu_s=min(self.cpu_s, other.cpu_s), elapsed_s=min(self.elapsed_s, other.elapsed_s))


def main() -> None:
    """Print images per second of every stage in both forms, their ratio, and how far the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of tagged photographs (default: critters)")
    parser.add_argument("--recipe", help="default: folder, or demo without a folder")
    parser.add_argument("--images", type=int, default=16, help="images per stage (default: 16)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: one per core)")
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        words = (f"--data.root={args.folder}",) if args.folder else CRITTERS
        recipe = args.recipe or ("folder" if args.folder else "demo")
        config = build_config(read_recipe(recipe), (*words, "--runtime.workers=0", "--runtime.device=cpu"))
        folder = RunFolder(Path(scratch))
        train = prepare(config, folder).train
        chosen = train.samples[:: max(1, len(train) // args.images)][: args.images]
        measure_chain(config, folder, replace(train, samples=chosen))


def measure_chain(config: RunConfig, folder: RunFolder, train: Dataset) -> None:
    """Time the stages one after the other; each works on what the one before has made."""
    print(
        f"{config.classifier.name} and {config.segmenter.name}, {len(train)} images, {torch.get_num_threads()} threads"
    )
    print("stage        images/s: plain  recipe  ratio   images per CPU s: plain  recipe  ratio   largest difference")
    classifier, coarse = (
        start_classifier(settings, train.classes, folder.network("classifier"), seed=0)[0]
        for settings in (replace(config.classifier, training_stride_px=None), config.classifier)
    )
    start = snapshot(classifier)

    def train_form(is_plain: bool) -> list[Tensor]:
        return fit(config, classifier if is_plain else coarse, start, train, is_plain)

    report("training", train, time_both(train_form, EPOCHS))
    classifier.load_state_dict(start)
    classifier.eval()
    maps: list[ScoreMaps] = []

    def localise(is_plain: bool) -> list[Tensor]:
        lay_out(classifier, is_plain)
        maps[:] = run_all(lambda sample: seed_of(config, classifier, train, sample, is_plain), train.samples, is_plain)
        return [scale for found in maps for scale in found.scales if scale.numel()]

    report("localising", train, time_both(localise))
    seeds = dict(zip([sample.id for sample in train], maps, strict=True))
    masks: dict[str, NDArray[np.uint8]] = {}

    def refine(is_plain: bool) -> list[Tensor]:
        def work(sample: Sample) -> NDArray[np.uint8]:
            return mask_of(config, train, sample, seeds[sample.id], is_plain)

        made = run_all(work, train.samples, is_plain)
        masks.update(zip(seeds, made, strict=True))
        return [torch.from_numpy(mask).float() for mask in made]

    report("refining", train, time_both(refine))
    segmenter, _ = start_segmenter(
        replace(config.segmenter, weights="none"),
        train.classes,
        folder.network("segmenter"),
        classifier=folder.network("classifier"),
        seed=0,
    )
    begin = snapshot(segmenter)

    def segment(is_plain: bool) -> list[Tensor]:
        return fit_segmenter(config, segmenter, begin, train, masks, is_plain)

    report("segmenting", train, time_both(segment, EPOCHS))


def report(stage: str, train: Dataset, sides: tuple[Timing, Timing, int]) -> None:
    """Print the line of a stage; `sides` are plain, recipe's and how often each image was seen."""
    plain, quick, times = sides
    seen = times * len(train)
    largest = max(float(tensor.abs().max()) for tensor in plain.result)
    difference = max(float((a - b).abs().max()) for a, b in zip(plain.result, quick.result, strict=True)) / largest
    elapsed = f"{seen / plain.elapsed_s:15.2f} {seen / quick.elapsed_s:7.2f} {plain.elapsed_s / quick.elapsed_s:6.2f}"
    cpu = f"{seen / plain.cpu_s:24.2f} {seen / quick.cpu_s:7.2f} {plain.cpu_s / quick.cpu_s:6.2f}"
    print(f"{stage:11s} {elapsed} {cpu} {difference:20.1e}", flush=True)


def time_both(stage: Callable[[bool], list[Tensor]], times: int = 1) -> tuple[Timing, Timing, int]:
    """Let the plain and the recipe's form of a stage take turns."""
    best: dict[bool, Timing] = {}
    for _ in range(ROUNDS):
        for is_plain in (True, False):
            with plain_layers() if is_plain else patch.dict({}):
                cpu_s, elapsed_s = time.process_time(), time.perf_counter()
                result = stage(is_plain)
                timing = Timing(time.process_time() - cpu_s, time.perf_counter() - elapsed_s, result)
            best[is_plain] = timing if is_plain not in best else best[is_plain].improve(timing)
    return best[True], best[False], times


if __name__ == "__main__":
    main()
