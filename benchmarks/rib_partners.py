"""RIB's adaptation of one image with the loading of its partners, against a literal form of the released loop.

Claim: partners cost next to nothing. The literal side finds the class-disjoint images by going through the tags of the
whole data set once, and decodes, resizes and crops its partners while the network waits. `fresh` draws the very same
crops from a class index, decoded by threads ahead of time; `pooled` draws from a pool of which a tenth is new for each
image, so that its partners, and maps, are others. The loading alone is timed as well: what it is worth depends on how
long the network takes.

    python benchmarks/rib_partners.py
    python benchmarks/rib_partners.py --network critter --partners 20
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch; see rib.py

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rib import KEYS, NUM_CLASSES, adapt_case, adapt_literally, compare, make_case
from weakseg.data.base import Dataset
from weakseg.data.partners import FRESH_STREAM, PartnerMode, PartnerSource
from weakseg.data.transforms import Augmentation, augment_image
from weakseg.models.resnet import BACKBONE_NAMES
from weakseg.types import ClassSet, Sample

IMAGES, IMAGE_HW = 200, (375, 500)
SCANNED = 10_582
"""Entries of the tag list the literal side goes through: VOC's augmented training split."""

SEED, POSITION = 0, 3
THREADS = 2


def main() -> None:
    """Print the seconds of loading alone, then those of whole adaptations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=BACKBONE_NAMES, default="resnet50")
    parser.add_argument("--image", type=int, nargs=2, default=(188, 250), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--partners", type=int, default=4, help="partners per iteration (default: 4)")
    parser.add_argument("--crop", type=int, default=256, help="side of a partner in px (default: 256)")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, help="threads of both sides (default: torch's)")
    args = parser.parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    case = make_case(
        args.network, tuple(args.image), iterations=args.iterations, partners=args.partners, crop_px=args.crop
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_photos(Path(folder))
        augmentation = Augmentation(long_side_px=(320, 640), crop_px=args.crop, flip=True, colour=0.0)
        with (
            open_source(dataset, augmentation, args.partners, args.iterations, "fresh") as fresh,
            open_source(dataset, augmentation, args.partners, args.iterations, "pooled") as pooled,
        ):
            print_loading(dataset, augmentation, fresh, pooled)
            sides = {
                "literal": lambda: adapt_literally(replace(case, batches=load_literally(dataset, augmentation, fresh))),
                "fresh": lambda: adapt_case(replace(case, batches=fresh.draw(POSITION, KEYS))),
                "pooled": lambda: adapt_case(replace(case, batches=pooled.draw(POSITION, KEYS))),
            }
            print(f"whole adaptations, {args.network}, {torch.get_num_threads()} threads")
            compare(sides, equal=("fresh",))


def open_source(
    dataset: Dataset, augmentation: Augmentation, partners: int, iterations: int, mode: PartnerMode
) -> PartnerSource:
    """Open a source of partners."""
    return PartnerSource(
        dataset, augmentation, batch_size=partners, iterations=iterations, mode=mode, seed=SEED, threads=THREADS
    )


def print_loading(dataset: Dataset, augmentation: Augmentation, fresh: PartnerSource, pooled: PartnerSource) -> None:
    """Print how long the network would wait for the partners of one image, if it took no time itself."""

    def time_s(batches: Iterator[tuple[Tensor, Tensor]]) -> float:
        start_s = time.perf_counter()
        for _ in batches:
            pass
        return time.perf_counter() - start_s

    for _ in pooled.draw(POSITION - 1, KEYS):  # a pool is filled once per run; what counts is the next image
        pass
    literal_s = time_s(load_literally(dataset, augmentation, fresh))
    fresh_s, pooled_s = time_s(fresh.draw(POSITION, KEYS)), time_s(pooled.draw(POSITION, KEYS))
    print(f"loading alone, {fresh.iterations} batches of {fresh.batch_size}: literal {literal_s:.2f} s")
    print(f"  fresh {fresh_s:.2f} s ({literal_s / fresh_s:.1f} times as fast)")
    print(f"  pooled {pooled_s:.2f} s ({literal_s / pooled_s:.1f} times as fast)")


def load_literally(
    dataset: Dataset, augmentation: Augmentation, source: PartnerSource
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches a fresh source draws, found by scanning and decoded one after the other."""
    places = [place for place in find_by_scanning(dataset) if place < len(dataset)]
    for iteration in range(source.iterations):
        rng = np.random.default_rng([SEED, FRESH_STREAM, POSITION, iteration])
        chosen = [places[index] for index in rng.choice(len(places), source.batch_size, replace=False)]
        images, tags = [], []
        for place, own in zip(chosen, rng.spawn(len(chosen)), strict=True):
            pixels, _ = augment_image(dataset.load_image(dataset.samples[place]), None, augmentation, own)
            images.append(pixels)
            tags.append(torch.from_numpy(dataset.samples[place].tags.astype(np.float32)))
        yield torch.stack(images), torch.stack(tags)


def find_by_scanning(dataset: Dataset) -> list[int]:
    """Return the places that share no class with the image, looking at every entry of a list as long as VOC's."""
    own = np.zeros(NUM_CLASSES, np.uint8)
    own[list(KEYS)] = 1
    entries = (dataset.samples[place % len(dataset)].tags for place in range(SCANNED))
    return [place for place, tags in enumerate(entries) if tags.any() and not (tags * own).any()]


def write_photos(folder: Path) -> Dataset:
    """Write JPEG files with the detail of photographs, each with one random tag."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(IMAGES):
        coarse = rng.integers(0, 256, (IMAGE_HW[0] // 8, IMAGE_HW[1] // 8, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((IMAGE_HW[1], IMAGE_HW[0])), np.int16)
        pixels = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        path = folder / f"{number}.jpg"
        Image.fromarray(pixels).save(path, quality=90)
        tags = np.zeros(NUM_CLASSES, np.uint8)
        tags[rng.integers(NUM_CLASSES)] = 1
        samples.append(Sample(str(number), path, tags, np.ones(NUM_CLASSES, np.bool_)))
    return Dataset("folder", "train", ClassSet(tuple(f"class {k}" for k in range(NUM_CLASSES))), tuple(samples))


if __name__ == "__main__":
    main()
