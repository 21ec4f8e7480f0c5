from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.export.made_split import make_instances, make_split
from weakseg.data.export.pieces import Piece
from weakseg.data.export.split import VoidCount, clear_void, has_void
from weakseg.errors import DataError


def test_a_missing_mask_and_a_label_that_is_no_class_are_named(tmp_path: Path) -> None:
    split = make_split(tmp_path, {"a": np.full((2, 3), 4, np.uint8) * 0, "b": np.zeros((2, 3), np.uint8)})
    with pytest.raises(DataError, match="image 'b' has no mask"):
        replace(split, mask_reader=lambda sample: None).read_labels(split.samples[1])
    odd = np.array([[0, 255, 4]], np.uint8)
    with pytest.raises(DataError, match="the mask of 'a' holds label 4, but there are 3 classes"):
        replace(split, mask_reader=lambda sample: odd).read_labels(split.samples[0])


def test_instances_must_fit_the_mask(tmp_path: Path) -> None:
    instances = make_instances(np.ones((2, 3), bool), keys=[0], scores=[1.0])
    split = make_split(tmp_path, {"a": np.zeros((2, 3), np.uint8)}, instances={"a": instances})
    assert split.read_instances(split.samples[0], (2, 3)) is instances
    with pytest.raises(DataError, match=r"instances of 'a' have \(2, 3\) pixels, its mask \(3, 2\)"):
        split.read_instances(split.samples[0], (3, 2))
    assert replace(split, instance_reader=None).read_instances(split.samples[0], (2, 3)) is None


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train_aug: there is no image to export"):
        make_split(tmp_path, {})


def test_void_is_cleared_in_a_copy_and_counted_by_image() -> None:
    void = VoidCount()
    labels = np.array([[255, 2, 0], [1, 255, 255]], np.uint8)
    cleared = clear_void(labels)
    assert cleared.tolist() == [[0, 2, 0], [1, 0, 0]]
    assert cleared.dtype == np.uint8
    assert labels[0, 0] == 255
    for piece in (Piece((2, 3), has_void=has_void(labels)), Piece((2, 2), has_void=has_void(cleared))):
        void.count(piece)
    assert void.notes() == ["void pixels of 1 images are written as background"]
    assert VoidCount().notes() == []
