import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.ranking import average_precision, mean_average_precision


def known_everywhere(tags: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.ones(tags.shape, bool)


def test_average_precision_by_hand() -> None:
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    tags = np.array([[1], [0], [1], [0]])
    # The positives stand at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision(scores, tags, known_everywhere(tags)).tolist() == [pytest.approx(5 / 6)]


def test_equal_scores_share_one_precision_whatever_their_order() -> None:
    tags = np.array([[1], [0], [0], [1]])
    scores = np.array([[0.5], [0.5], [0.1], [0.5]])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        result = average_precision(scores[order], tags[order], known_everywhere(tags))
        assert result.tolist() == [pytest.approx(2 / 3)]


def test_unknown_tags_are_left_out_class_by_class() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.9], [0.7, 0.5]])
    tags = np.array([[0, 1], [1, 0], [0, 0]])
    known = np.array([[False, True], [True, True], [True, True]])
    np.testing.assert_allclose(average_precision(scores, tags, known), [1.0, 1 / 3])


def test_class_without_a_positive_is_nan_and_left_out_of_the_mean() -> None:
    scores, tags = np.array([[0.9, 0.3], [0.1, 0.4]]), np.array([[1, 0], [0, 0]])
    result = average_precision(scores, tags, known_everywhere(tags))
    np.testing.assert_array_equal(result, [1.0, np.nan])
    assert mean_average_precision(scores, tags, known_everywhere(tags)) == 1.0


def test_without_any_positive_the_mean_is_nan() -> None:
    tags = np.zeros((2, 80))
    assert np.isnan(mean_average_precision(np.zeros((2, 80)), tags, known_everywhere(tags)))


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_average_precision_is_the_mean_of_precisions_counted_one_by_one(images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (images, 1)) / 4
    tags = rng.integers(0, 2, (images, 1))
    precisions = []
    for score in scores[tags == 1]:
        above = scores >= score
        precisions.append(tags[above].sum() / above.sum())
    expected = np.mean(precisions) if precisions else np.nan
    np.testing.assert_allclose(average_precision(scores, tags, known_everywhere(tags)), [expected])


def test_wrong_scores_are_refused() -> None:
    tags = np.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"one shape \(N, C\), got \(2, 4\), \(2, 3\) and \(2, 3\)"):
        average_precision(np.zeros((2, 4)), tags, known_everywhere(tags))
    with pytest.raises(ShapeError, match="expected known as bool, got uint8"):  # it would pick images by number
        average_precision(np.zeros((2, 3)), tags, np.ones((2, 3), np.uint8))
    with pytest.raises(ShapeError, match="scores hold NaN"):
        average_precision(np.full((2, 3), np.nan), tags, known_everywhere(tags))
