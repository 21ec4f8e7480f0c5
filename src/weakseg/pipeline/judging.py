"""What some tagged training images say of candidates for the background threshold.

Each image is refined at every candidate once; those that have lost after the first images are not tried any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import Cutter, cut_image
from weakseg.pipeline.images import learning_images
from weakseg.pipeline.seeds import pair_with_seed, require_training_seeds
from weakseg.pipeline.side_by_side import LARGE_PX, run_side_by_side
from weakseg.pipeline.telling import show_progress
from weakseg.refine.method import SeededImage
from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.choice import CANDIDATES, FIRST_JUDGES, still_open, worth_refining
from weakseg.refine.threshold.colour import score_colours
from weakseg.refine.threshold.cuts import cut_maps
from weakseg.types import Sample

MAX_IMAGES = 200
"""So many tagged images decide; docs/threshold.md says what fewer do."""

MAX_PIXELS = 8_000_000
"""Fewer do once they hold so many pixels together: 200 of 200 x 200, 72 of 384 x 288."""

PROBED_IMAGES = 40
"""So many seeds tell which candidates are worth a refinement."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What colours (N, T) and areas (N, T) tell of T candidates; NaN where a lost one was not tried any more."""

    scores: NDArray[np.float64]
    areas: NDArray[np.float64]
    candidates: tuple[float, ...]


def judge_on_tags(context: Context, cutter: Cutter) -> Judged:
    """Refine some tagged training images at every candidate that is worth it.

    Raises:
        ConfigError: If the training images get no seeds.
        ArtifactError: If a seed is missing or damaged.
    """
    require_training_seeds(context, "refine.background_threshold 'auto'")
    order = draw_tagged(context)
    candidates, judges = _open_judges(context, order)
    # Columns of candidates that have lost are no longer filled.
    scores, areas = (np.full((0, len(candidates)), np.nan) for _ in range(2))
    places = list(range(len(candidates)))
    with show_progress("choosing the background threshold") as tick:
        for chosen in (islice(judges, FIRST_JUDGES), judges):
            tried = [candidates[place] for place in places]
            for pixels, found in judge_side_by_side(chosen, cutter, tried):
                scores, areas = (np.vstack((rows, np.full(len(candidates), np.nan))) for rows in (scores, areas))
                scores[-1, places], areas[-1, places] = found
                tick(len(scores), max(len(scores), _expect_images(pixels, len(order))))
            if len(scores) == FIRST_JUDGES:
                places = list(still_open(scores, candidates, areas=areas))
    return Judged(scores, areas, candidates)


def judge_side_by_side(
    items: Iterable[SeededImage], cutter: Cutter, candidates: Sequence[float]
) -> Iterator[tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Judge images, as many at once as torch has threads; yield each one's pixels, and what `judge_image` says."""

    def judge(item: SeededImage) -> tuple[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        return _count_pixels(item), judge_image(item, cutter, candidates)

    threads = torch.get_num_threads()
    return run_side_by_side(judge, items, threads=threads, is_large=lambda item: _count_pixels(item) > LARGE_PX)


def _count_pixels(item: SeededImage) -> int:
    return int(item.image.shape[0]) * int(item.image.shape[1])


def judge_image(
    item: SeededImage, cutter: Cutter, candidates: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Refine an image at T candidates; return what colours tell about each mask (T,) and how much it covers (T,)."""
    cuts = cut_image(item, cutter, candidates)
    return score_colours(cuts), measure_areas(cuts)


def _open_judges(context: Context, order: list[Sample]) -> tuple[tuple[float, ...], Iterator[SeededImage]]:
    """Return the candidates that a refinement is worth trying at, by the areas of some seeds, and the images to try.

    The first of these images are kept meanwhile, `MAX_PIXELS` and one image at most.
    """
    items = _load_some(context, order)
    probed = list(islice(items, PROBED_IMAGES))
    areas = [(cut_maps(item.seed.full().numpy(), item.seed.keys, CANDIDATES) != 0).mean(axis=(1, 2)) for item in probed]
    return worth_refining(CANDIDATES, np.array(areas).reshape(-1, len(CANDIDATES))), chain(probed, items)


def _expect_images(pixels: int, tagged: int) -> int:
    """Return how many images will be looked at if they have so many pixels each."""
    return min(MAX_IMAGES, tagged, math.ceil(MAX_PIXELS / pixels))


def draw_tagged(context: Context) -> list[Sample]:
    """Return the tagged training images, of which there may be none, in a random order, that of `runtime.seed`."""
    tagged = [sample for sample in learning_images(context) if sample.keys]
    order = np.random.default_rng(context.config.runtime.seed).permutation(len(tagged))
    return [tagged[place] for place in order]


def choose_judges(context: Context) -> tuple[list[Sample], tuple[float, ...]]:
    """Return the images that `judge_on_tags` looks at, and the candidates that it tries.

    The images are loaded, since their size decides how many they are.
    """
    candidates, judges = _open_judges(context, draw_tagged(context))
    return [item.sample for item in judges], candidates


def _load_some(context: Context, samples: list[Sample]) -> Iterator[SeededImage]:
    """Load images until they are enough; at least one, however large."""
    pixels = 0
    for sample in samples[:MAX_IMAGES]:
        if pixels >= MAX_PIXELS:
            return
        item = pair_with_seed(context, sample, context.train.load_image(sample))
        pixels += _count_pixels(item)
        yield item
