"""The fully supervised twin: a segmenter taught by the data set's own masks."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.made_context import make_context
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.errors import ConfigError
from weakseg.pipeline.pseudo_masks import choose_training_images, require_training_masks, training_masks


def make_splits(root: Path) -> tuple[Dataset, Dataset]:
    dataset = make_dataset(root, sizes_hw=((24, 33), (20, 20)))
    return dataset, dataset


def test_images_without_a_true_mask_are_left_out(tmp_path: Path) -> None:
    train, val = make_splits(tmp_path / "images")
    first = train.samples[0].id
    reader = train.mask_reader
    assert reader is not None
    train = replace(train, mask_reader=lambda sample: None if sample.id == first else reader(sample))
    context = make_context(tmp_path, (train, val), ("segmenter.masks", "truth"))
    require_training_masks(context)
    chosen = choose_training_images(context)
    assert [sample.id for sample in chosen] == [sample.id for sample in train.samples[1:]]
    assert (training_masks(context)(chosen.samples[0]) == train.load_mask(chosen.samples[0])).all()


def test_without_any_true_mask_the_switch_is_refused(tmp_path: Path) -> None:
    train, val = make_splits(tmp_path / "images")
    context = make_context(tmp_path, (replace(train, mask_reader=None), val), ("segmenter.masks", "truth"))
    with pytest.raises(ConfigError, match=r"segmenter\.masks: 'truth' is for data sets with masks, but none of the"):
        require_training_masks(context)
