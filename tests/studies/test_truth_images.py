from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import DictMasks, make_dataset
from weakseg.data.base import Dataset
from weakseg.studies.truth_images import choose_images


def without_truth(dataset: Dataset, places: Sequence[int]) -> Dataset:
    reader = dataset.mask_reader
    assert isinstance(reader, DictMasks)
    gone = {dataset.samples[place].id for place in places}
    return replace(dataset, mask_reader=DictMasks({id: mask for id, mask in reader.masks.items() if id not in gone}))


def places(chosen: Dataset) -> list[int]:
    return [int(sample.id.rpartition("_")[2]) for sample in chosen]


@pytest.fixture
def twelve(tmp_path: Path) -> Dataset:
    """Images 0 and 6 have no tag."""
    tags = [() if place % 6 == 0 else (place % 3,) for place in range(12)]
    return make_dataset(tmp_path, tags)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (1, [1]),
        (2, [1, 7]),
        (5, [1, 3, 5, 8, 10]),
        (10, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]),
        (99, [*range(1, 6), *range(7, 12)]),
    ],
)
def test_chosen_images_are_tagged_and_evenly_spaced(twelve: Dataset, images: int, expected: list[int]) -> None:
    assert places(choose_images(twelve, images=images, faults=set())) == expected


def test_an_image_without_truth_gives_way_to_its_neighbour(twelve: Dataset) -> None:
    assert places(choose_images(without_truth(twelve, [1, 7]), images=2, faults=set())) == [2, 8]


def test_where_a_stretch_has_no_truth_at_all_others_give_more(twelve: Dataset) -> None:
    chosen = choose_images(without_truth(twelve, range(1, 6)), images=2, faults=set())
    assert places(chosen) == [7, 8]


def test_a_truth_of_the_wrong_size_does_not_count_and_is_noted(twelve: Dataset, told: list[str]) -> None:
    reader = twelve.mask_reader
    assert isinstance(reader, DictMasks)
    damaged = replace(twelve, mask_reader=DictMasks({**reader.masks, "train_1": np.zeros((3, 4), np.uint8)}))
    faults: set[str] = set()
    assert places(choose_images(damaged, images=2, faults=faults)) == [2, 7]
    assert faults == {"train_1"}
    assert "'train_1': not scored" in told[0]


def test_nothing_is_chosen_without_truth_or_without_tags(twelve: Dataset, tmp_path: Path) -> None:
    assert len(choose_images(replace(twelve, mask_reader=None), images=3, faults=set())) == 0
    assert len(choose_images(make_dataset(tmp_path / "b", ((), ())), images=3, faults=set())) == 0
