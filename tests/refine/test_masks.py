import numpy as np
import pytest

from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.masks import seed_to_mask, shows_class


def test_strongest_class_above_the_threshold_wins() -> None:
    maps = np.array([[[0.1, 0.9, 0.2]], [[0.5, 0.2, 0.1]]], np.float32)
    mask = seed_to_mask(maps, (0, 19), background_threshold=0.25)
    assert mask.tolist() == [[20, 1, 0]]
    assert mask.dtype == np.uint8


def test_ties_go_to_the_background_then_to_the_first_map() -> None:
    maps = np.array([[[0.3, 0.4]], [[0.3, 0.4]]], np.float32)
    assert seed_to_mask(maps, (2, 5), background_threshold=0.3).tolist() == [[0, 3]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("threshold", [0.1, 0.15, 0.3, 0.7])
def test_threshold_is_compared_in_the_precision_of_the_maps(dtype: type[np.floating], threshold: float) -> None:
    at_threshold = np.full((1, 1, 1), threshold, dtype)
    assert seed_to_mask(at_threshold, (0,), background_threshold=threshold).tolist() == [[0]]
    assert seed_to_mask(np.nextafter(at_threshold, dtype(1)), (0,), background_threshold=threshold).tolist() == [[1]]


def test_image_without_tags_is_background() -> None:
    mask = seed_to_mask(np.zeros((0, 3, 5), np.float32), (), background_threshold=0.0)
    assert mask.shape == (3, 5)
    assert not mask.any()


def test_maps_are_not_modified() -> None:
    maps = np.random.default_rng(0).random((80, 5, 7), dtype=np.float32)
    before = maps.copy()
    seed_to_mask(maps, range(80), background_threshold=0.5)
    assert np.array_equal(maps, before)


def test_keys_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected 2 distinct keys"):
        seed_to_mask(np.zeros((2, 3, 4)), (1,), background_threshold=0.5)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    # NaN would leave no background at all.
    with pytest.raises(ConfigError, match=f"background_threshold: expected a value within 0..1, got {threshold}"):
        seed_to_mask(np.zeros((1, 3, 4)), (1,), background_threshold=threshold)


def test_background_and_void_are_no_class() -> None:
    labels = np.array([[0, 255, 0], [0, 0, 255]], np.uint8)
    assert not shows_class(labels)
    labels[1, 0] = 254
    assert shows_class(labels)
    assert not shows_class(np.zeros((0, 3), np.uint8))
