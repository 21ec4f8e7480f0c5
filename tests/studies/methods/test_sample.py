from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.studies.methods.sample import draw_balanced
from weakseg.types import ClassSet, Sample

TAGS = [(1, 0, 0)] * 30 + [(0, 1, 0)] * 4 + [(1, 0, 1)] * 4 + [(0, 0, 0)] * 5


class Masks:
    """All images have a truth mask but the first."""

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        return None if sample.id == "00" else np.zeros((2, 3), np.uint8)


def make_dataset() -> Dataset:
    known = np.ones(3, np.bool_)
    samples = tuple(
        Sample(f"{at:02d}", Path(f"{at}.png"), np.array(tags, np.uint8), known) for at, tags in enumerate(TAGS)
    )
    return Dataset("folder", "train", ClassSet(("cat", "cow", "dog")), samples, mask_reader=Masks())


def test_rare_classes_are_drawn_as_often_as_there_are_images() -> None:
    chosen = draw_balanced(make_dataset(), 9)
    shown = np.sum([TAGS[int(name)] for name in chosen], axis=0)
    assert len(set(chosen)) == 9
    assert shown.tolist() in ([5, 4, 4], [4, 4, 2], [4, 4, 3], [5, 3, 3], [5, 4, 3])


def test_of_more_images_the_first_are_the_same_and_all_are_usable() -> None:
    dataset = make_dataset()
    assert draw_balanced(dataset, 20)[:7] == draw_balanced(dataset, 7)
    everything = draw_balanced(dataset, 99)
    assert len(everything) == 37
    assert "00" not in everything
    assert all(any(TAGS[int(name)]) for name in everything)
