import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.soft_labels import SoftMask, choose_labels, score_threshold, soften, to_grey


def test_confidence_is_the_share_of_the_strongest_score() -> None:
    scores = np.array([[[0.2, 0.5, 0.1]], [[0.6, 0.25, 0.1]], [[0.2, 0.25, 0.3]]], np.float32)
    mask = soften(scores, (3, 18))
    assert mask.labels.tolist() == [[4, 0, 19]]
    assert np.allclose(mask.confidence, [[0.6, 0.5, 0.6]])
    assert (mask.labels.dtype, mask.confidence.dtype) == (np.uint8, np.float32)


def test_threshold_masks_compare_the_maps_with_the_threshold() -> None:
    maps = np.array([[[0.75, 0.0, 0.1, 0.5]], [[0.0, 0.0, 0.1, 0.25]]], np.float32)
    mask = soften(score_threshold(maps, background_threshold=0.25), (0, 1))
    assert mask.labels.tolist() == [[1, 0, 0, 1]]
    # 0.75 / 1, 0.25 / 0.25, 0.25 / 0.45, 0.5 / 1
    assert np.allclose(mask.confidence, [[0.75, 1.0, 0.25 / 0.45, 0.5]])


def test_a_tie_goes_to_the_background_then_to_the_first_class_and_is_unsure() -> None:
    scores = np.array([[[0.4, 0.0]], [[0.4, 0.4]], [[0.0, 0.4]]], np.float32)
    mask = soften(scores, (6, 2))
    assert mask.labels.tolist() == [[0, 7]]
    assert mask.confidence.tolist() == [[0.5, 0.5]]


def test_where_all_scores_are_zero_nothing_speaks_for_any_label() -> None:
    mask = soften(np.zeros((4, 2, 3), np.float32), (0, 1, 2))
    assert not mask.labels.any()
    assert mask.confidence.tolist() == [[0.25] * 3] * 2


def test_an_image_without_tags_is_surely_background() -> None:
    mask = soften(score_threshold(np.zeros((0, 3, 5), np.float32), background_threshold=0.15), ())
    assert mask.labels.tolist() == [[0] * 5] * 3
    assert mask.confidence.tolist() == [[1.0] * 5] * 3


@pytest.mark.parametrize("num_classes", [1, 3, 80])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_are_those_of_the_seed_and_nothing_is_modified(num_classes: int, dtype: type[np.floating]) -> None:
    maps = np.random.default_rng(0).random((num_classes, 7, 5)).astype(dtype)
    before = maps.copy()
    scores = score_threshold(maps, background_threshold=0.9)
    kept = scores.copy()
    mask = soften(scores, range(num_classes))
    assert scores.dtype == dtype
    assert np.array_equal(mask.labels, seed_to_mask(maps, range(num_classes), background_threshold=0.9))
    assert np.array_equal(maps, before)
    assert np.array_equal(scores, kept)


@settings(deadline=None)
@given(
    arrays(np.float32, (3, 2, 3), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
)
def test_any_seed_gets_its_own_labels_and_at_least_an_even_share(maps: np.ndarray, threshold: float) -> None:
    mask = soften(score_threshold(maps, background_threshold=threshold), (0, 4, 9))
    assert np.array_equal(mask.labels, seed_to_mask(maps, (0, 4, 9), background_threshold=threshold))
    assert (mask.confidence >= 0.25 - 1e-6).all()
    assert (mask.confidence <= 1).all()


def test_grey_values_are_rounded_to_the_nearest() -> None:
    grey = to_grey(np.array([[0.0, 0.001, 0.002, 0.5, 0.8, 1.0]], np.float32))
    assert grey.tolist() == [[0, 0, 1, 128, 204, 255]]  # 0.255, 0.51, 127.5 to even
    assert grey.dtype == np.uint8


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected scores \(3, H, W\) of background and keys, got \(2, 4, 5\)"):
        choose_labels(np.zeros((2, 4, 5)), (0, 1))
    with pytest.raises(ShapeError, match=r"expected float maps \(K, H, W\), got uint8 \(1, 4, 5\)"):
        score_threshold(np.zeros((1, 4, 5), np.uint8), background_threshold=0.5)
    with pytest.raises(ConfigError, match=r"background_threshold: expected a value within 0\.\.1, got 1\.5"):
        score_threshold(np.zeros((1, 4, 5), np.float32), background_threshold=1.5)
    with pytest.raises(ShapeError, match=r"expected labels \(H, W\) uint8, got \(4, 5\) int64"):
        SoftMask(np.zeros((4, 5), np.int64), np.zeros((4, 5), np.float32))
    with pytest.raises(ShapeError, match=r"expected confidence \(4, 5\) float32, one value per label, got \(5, 4\)"):
        SoftMask(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.float32))
