from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.crf_settings import IRN_CRF
from weakseg.refine.confidence import confident_labels
from weakseg.refine.crf import crf_mask

LABEL_AGREEMENT = 0.9995


@pytest.mark.parametrize("name", ["crf_smooth", "crf_photo"])
def test_labels_are_the_recorded_ones(name: str) -> None:
    golden = np.load(GOLDEN / f"{name}_confident.npz")
    found = confident_labels(
        golden["image_rgb"],
        golden["cams"],
        golden["keys"],
        foreground=float(golden["foreground_threshold"]),
        background=float(golden["background_threshold"]),
    )
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, *(golden["keys"] + 1), 255}
    assert (found == golden["confident"]).mean() >= LABEL_AGREEMENT


def test_three_bands_without_a_crf() -> None:
    maps = np.array([[[0.9, 0.3, 0.2, 0.1, 0.05, 0.0]], [[0.1, 0.2, 0.31, 0.2, 0.05, 0.04]]], np.float32)
    settings = replace(IRN_CRF, iterations=0)
    found = confident_labels(
        np.zeros((1, 6, 3), np.uint8), maps, (4, 19), foreground=0.3, background=0.05, settings=settings
    )
    # 0.3 and 0.05 are ties, which go to the background.
    assert found.tolist() == [[5, 255, 20, 255, 0, 0]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_rule_combines_the_two_refined_masks(seed: int, num_maps: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (11, 8, 3), dtype=np.uint8)
    maps = rng.random((num_maps, 11, 8), dtype=np.float32)
    before = image.copy(), maps.copy()
    keys = sorted(rng.choice(80, num_maps, replace=False).tolist())
    found = confident_labels(image, maps, keys, foreground=0.7, background=0.4)
    sure = crf_mask(image, maps, keys, background_threshold=0.7)
    loose = crf_mask(image, maps, keys, background_threshold=0.4)
    assert np.array_equal(found, np.where(sure > 0, sure, np.where(loose > 0, 255, 0)))
    assert np.array_equal(image, before[0])
    assert np.array_equal(maps, before[1])


def test_equal_scores_leave_nothing_unsure() -> None:
    rng = np.random.default_rng(0)
    image, maps = rng.integers(0, 256, (11, 8, 3), dtype=np.uint8), rng.random((80, 11, 8), dtype=np.float32)
    found = confident_labels(image, maps, range(80), foreground=0.98, background=0.98)
    assert not (found == 255).any()
    assert (found > 0).any()


def test_image_without_tags_is_background() -> None:
    found = confident_labels(
        np.zeros((5, 4, 3), np.uint8), np.zeros((0, 5, 4), np.float32), (), foreground=0.3, background=0.05
    )
    assert found.dtype == np.uint8
    assert found.tolist() == [[0] * 4] * 5


@pytest.mark.parametrize(
    ("foreground", "background"), [(0.05, 0.3), (1.2, 0.3), (0.3, -0.1), (np.nan, 0.1), (0.3, np.nan)]
)
def test_scores_out_of_order_are_refused(foreground: float, background: float) -> None:
    with pytest.raises(ConfigError, match="expected 0 <= background <= foreground <= 1, got background"):
        confident_labels(
            np.zeros((5, 4, 3), np.uint8), np.zeros((1, 5, 4)), (0,), foreground=foreground, background=background
        )


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((1, 4, 5), np.float32), r"expected maps \(K, 5, 4\) of the image's size, got \(1, 4, 5\)"),
        (np.full((1, 5, 4), np.nan, np.float32), "maps hold NaN"),
        (np.zeros((1, 5, 4), np.uint8), r"expected float maps \(K, H, W\), got uint8"),
        (np.zeros((2, 5, 4), np.float32), "expected 2 distinct keys, one per map"),
    ],
)
def test_maps_that_do_not_fit_are_refused(maps: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        confident_labels(np.zeros((5, 4, 3), np.uint8), maps, (0,), foreground=0.3, background=0.05)


def test_images_of_another_kind_are_refused() -> None:
    with pytest.raises(ShapeError, match="uint8 RGB image, got float32"):
        confident_labels(np.zeros((5, 4, 3), np.float32), np.zeros((1, 5, 4)), (0,), foreground=0.3, background=0.05)
