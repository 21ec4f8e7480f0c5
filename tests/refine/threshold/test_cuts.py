from dataclasses import replace

import numpy as np
import pytest

from tests.refine.threshold.cutting import make_cuts, square
from weakseg.errors import ShapeError
from weakseg.refine.threshold.cuts import cut_maps, strongest_score

IMAGE = np.zeros((5, 7, 3), np.uint8)


def test_maps_are_cut_at_every_threshold() -> None:
    maps = np.array([[[0.1, 0.5, 0.9]], [[0.3, 0.2, 0.2]]], np.float32)
    assert cut_maps(maps, (2, 4), (0.15, 0.3, 0.95)).tolist() == [[[5, 3, 3]], [[0, 3, 3]], [[0, 0, 0]]]
    assert strongest_score(maps, (2, 4)).tolist() == maps.max(axis=0).tolist()


def test_an_image_without_tags_is_background_at_every_threshold() -> None:
    empty = np.zeros((0, 5, 7), np.float32)
    assert cut_maps(empty, (), (0.1, 0.9)).tolist() == np.zeros((2, 5, 7), int).tolist()
    assert strongest_score(empty, ()).tolist() == np.zeros((5, 7)).tolist()


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_any_number_of_classes_is_cut(num_classes: int) -> None:
    maps = np.random.default_rng(0).random((num_classes, 5, 7)).astype(np.float32)
    masks = cut_maps(maps, range(num_classes), (0.0, 1.0))
    assert masks.shape == (2, 5, 7)
    assert masks.dtype == np.uint8
    assert masks[0].tolist() == (maps.argmax(axis=0) + 1).tolist()
    assert not masks[1].any()


def test_arrays_that_do_not_fit_are_named() -> None:
    cuts = make_cuts(IMAGE, [square((5, 7), 1), square((5, 7), 2)])
    with pytest.raises(ShapeError, match=r"expected scores \(5, 7\) and masks \(2, 5, 7\), one per threshold"):
        replace(cuts, masks=cuts.masks[:1])
    with pytest.raises(ShapeError, match=r"got \(7, 5\)"):
        replace(cuts, strongest=np.zeros((7, 5), np.float32))
    with pytest.raises(ShapeError, match=r"ascend without repeats, got \(0\.2, 0\.1\)"):
        replace(cuts, thresholds=(0.2, 0.1))
