"""Choosing the images that a study of methods localises, refines and scores, where all would take too long."""

from __future__ import annotations

import numpy as np

from weakseg.data.base import Dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import whole_datasets

SAMPLE_SEED = 0
"""The images are the same for every seed of the networks, which are then compared on nothing else."""


def sample_images(context: Context, images: int) -> frozenset[str]:
    """Choose tagged images with a truth mask from each split that gets seeds, all classes about equally often.

    Args:
        context: The run.
        images: How many of each split; fewer if there are no more.

    Returns:
        Their ids.
    """
    return frozenset(name for dataset in whole_datasets(context) for name in draw_balanced(dataset, images))


def draw_balanced(dataset: Dataset, images: int) -> tuple[str, ...]:
    """Draw images of a split at random, each time one with the tag that has been drawn least often.

    Of more images the first are the same.

    Args:
        dataset: The split.
        images: How many; fewer if there are no more that are tagged and have a truth mask.

    Returns:
        Their ids in the order of the draw.
    """
    order = np.random.default_rng(SAMPLE_SEED).permutation(len(dataset))
    left = [
        sample for sample in (dataset.samples[place] for place in order) if sample.keys and dataset.has_mask(sample)
    ]
    counts = np.zeros(len(dataset.classes), np.int64)
    chosen: list[str] = []
    while left and len(chosen) < images:
        # Of the rarest tag that any image left shows; a class that is never alone counts with its company.
        sample = min(left, key=lambda one: min(int(counts[key]) for key in one.keys))
        left.remove(sample)
        counts[list(sample.keys)] += 1
        chosen.append(sample.id)
    return tuple(chosen)
