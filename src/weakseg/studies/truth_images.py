"""Choosing the images that a study looks at: tagged, with a truth mask, and spread over their split."""

from __future__ import annotations

from itertools import pairwise

from weakseg.data.base import Dataset
from weakseg.scoring.truth import read_truth
from weakseg.types import Sample


def choose_images(dataset: Dataset, *, images: int, faults: set[str]) -> Dataset:
    """Choose tagged images with a truth mask, evenly spaced over a split.

    The split is cut into `images` stretches, and the first image of each that will do is taken; where stretches have
    none, others give their second, and so on. Only as many masks are read as that takes.

    Args:
        dataset: The split.
        images: How many; fewer if there are no more.
        faults: See `read_truth`.

    Returns:
        The split with the chosen images alone, in its order.
    """

    def has_truth(sample: Sample) -> bool:
        return read_truth(dataset, sample, dataset.load_image(sample).shape[:2], faults) is not None

    tagged = [sample for sample in dataset if sample.keys]
    wanted = min(images, len(tagged))
    cuts = [place * len(tagged) // wanted for place in range(wanted + 1)] if wanted else []
    stretches = [iter(tagged[start:stop]) for start, stop in pairwise(cuts)]
    chosen: list[str] = []
    while stretches and len(chosen) < images:
        found = []
        for stretch in stretches:
            usable = next((sample.id for sample in stretch if has_truth(sample)), None)
            if usable is not None:
                chosen.append(usable)
                found.append(stretch)
        stretches = found
    return dataset.keep(chosen[:images])
