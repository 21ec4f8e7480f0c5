from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.crf import refine_labels
from weakseg.ops.crf_settings import IRN_CRF, CRFSettings
from weakseg.refine.crf import crf_mask
from weakseg.refine.masks import seed_to_mask


def make_scene() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a dark square on a light ground and a seed that covers two thirds of it, (30, 41) pixels."""
    image = np.full((30, 41, 3), 200, np.uint8)
    image[8:23, 10:31] = 60
    maps = np.full((1, 30, 41), 0.05, np.float32)
    maps[0, 8:23, 10:24] = 0.9
    return image, maps


def test_mask_grows_to_the_edges_of_the_image() -> None:
    image, maps = make_scene()
    mask = crf_mask(image, maps, (6,), background_threshold=0.3)
    assert mask.dtype == np.uint8
    expected = np.zeros((30, 41), np.uint8)
    expected[8:23, 10:31] = 7
    assert np.array_equal(mask, expected)


def test_it_is_the_refined_seed_with_its_classes_in_place() -> None:
    golden = np.load(GOLDEN / "crf_smooth_confident.npz")
    image, maps = golden["image_rgb"], golden["cams"]
    labels = np.array([0, 80, 3], np.uint8)
    mask = crf_mask(image, maps, (79, 2), background_threshold=0.2)
    index = seed_to_mask(maps, (0, 1), background_threshold=0.2)
    assert np.array_equal(mask, labels[refine_labels(image, index, num_labels=3)])


def test_without_iterations_the_seed_is_the_mask() -> None:
    rng = np.random.default_rng(0)
    image, maps = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8), rng.random((80, 7, 9), dtype=np.float32)
    before = image.copy(), maps.copy()
    mask = crf_mask(image, maps, range(80), background_threshold=0.97, settings=replace(IRN_CRF, iterations=0))
    assert np.array_equal(mask, seed_to_mask(maps, range(80), background_threshold=0.97))
    assert np.array_equal(image, before[0])
    assert np.array_equal(maps, before[1])


def test_settings_reach_the_crf() -> None:
    image, maps = make_scene()
    near = crf_mask(image, maps, (6,), background_threshold=0.3, settings=CRFSettings((1, 0.1), (50, 5, 0)))
    assert np.array_equal(near, seed_to_mask(maps, (6,), background_threshold=0.3))
    certain = crf_mask(image, maps, (6,), background_threshold=0.3, settings=replace(IRN_CRF, certainty=1 - 1e-7))
    assert np.array_equal(certain, near)


def test_image_without_tags_is_background() -> None:
    image, _ = make_scene()
    mask = crf_mask(image, np.zeros((0, 30, 41), np.float32), (), background_threshold=0.3)
    assert mask.dtype == np.uint8
    assert mask.shape == (30, 41)
    assert not mask.any()


@pytest.mark.parametrize("shape", [(1, 41, 30), (0, 30, 40), (30, 41)])
def test_maps_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    image, _ = make_scene()
    with pytest.raises(ShapeError, match=r"expected maps \(K, 30, 41\) of the image's size, got \("):
        crf_mask(image, np.zeros(shape, np.float32), (0,) * shape[0], background_threshold=0.3)


def test_maps_with_nan_are_refused() -> None:
    image, maps = make_scene()
    maps[0, 3, 4] = np.nan
    with pytest.raises(ShapeError, match="maps hold NaN"):
        crf_mask(image, maps, (6,), background_threshold=0.3)


def test_images_of_another_kind_are_refused() -> None:
    image, maps = make_scene()
    with pytest.raises(ShapeError, match=r"uint8 RGB image, got float64 \(30, 41, 3\)"):
        crf_mask(image / 255, maps, (6,), background_threshold=0.3)


def test_settings_out_of_range_are_refused() -> None:
    image, maps = make_scene()
    with pytest.raises(ConfigError, match="gaussian: expected"):
        crf_mask(image, maps, (6,), background_threshold=0.3, settings=replace(IRN_CRF, gaussian=(0, 3)))
