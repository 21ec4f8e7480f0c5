import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ShapeError
from weakseg.refine.threshold.choice import CANDIDATES, USUAL, choose_threshold
from weakseg.refine.threshold.colour import colour_information

NAN = float("nan")


def test_the_largest_average_wins() -> None:
    choice = choose_threshold(np.array([[0.0, 3.0, 1.0], [1.0, 0.0, 1.5]]), (0.1, 0.2, 0.3))
    assert choice.threshold == 0.2
    assert choice.curve == (0.5, 1.5, 1.25)
    assert (choice.images, choice.is_clear) == (2, True)


def test_the_lowest_of_equals_is_taken() -> None:
    assert choose_threshold(np.array([[0.0, 2.0, 2.0]]), (0.1, 0.2, 0.3)).threshold == 0.2


def test_what_is_undefined_is_left_out() -> None:
    choice = choose_threshold(np.array([[NAN, 1.0, 2.0], [NAN, 3.0, NAN]]), (0.1, 0.2, 0.3))
    assert choice.curve == (None, 2.0, 2.0)
    assert not choice.is_clear, "both candidates that are defined are equal"


@pytest.mark.parametrize(
    "scores", [np.zeros((4, len(CANDIDATES))), np.full((1, len(CANDIDATES)), NAN), np.zeros((0, len(CANDIDATES)))]
)
def test_without_any_difference_the_usual_threshold_is_taken(scores: np.ndarray) -> None:
    choice = choose_threshold(scores, CANDIDATES)
    assert choice.threshold == USUAL
    assert not choice.is_clear


def test_masks_without_foreground_or_background_do_not_win_by_telling_nothing() -> None:
    """Where colours are noise, both extremes share 0 bits with them, and everything between less than that."""
    image = np.random.default_rng(0).integers(0, 256, (24, 33, 3), dtype=np.uint8)
    labels = [np.random.default_rng(1).random((24, 33)) < share for share in (1.0, 0.5, 0.0)]
    scores = np.array([[colour_information(image, mask.astype(np.uint8)) for mask in labels]])
    assert scores[0, 1] < 0 == scores[0, 0] == scores[0, 2]
    choice = choose_threshold(scores, (0.02, 0.15, 0.5))
    assert (choice.threshold, choice.is_clear) == (0.15, False)


def test_the_candidates_ascend_and_hold_the_usual_one() -> None:
    assert list(CANDIDATES) == sorted(set(CANDIDATES))
    assert USUAL in CANDIDATES


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.integers(-1000, 1000).map(float)))
def test_the_choice_is_a_candidate_and_keeps_under_order_and_scale(scores: np.ndarray) -> None:
    candidates = (0.1, 0.2, 0.3, 0.4)
    choice = choose_threshold(scores, candidates)
    assert choice.threshold in candidates
    assert choose_threshold(scores[::-1], candidates).threshold == choice.threshold
    assert choose_threshold(4 * scores, candidates).threshold == choice.threshold
    if choice.is_clear:
        best = scores.mean(axis=0)[candidates.index(choice.threshold)]
        assert best == pytest.approx(scores.mean(axis=0).max())


def test_a_wrong_number_of_columns_is_named() -> None:
    with pytest.raises(ShapeError, match=r"expected scores \(images, 2\), one column per candidate, got \(1, 3\)"):
        choose_threshold(np.zeros((1, 3)), (0.1, 0.2))
    with pytest.raises(ShapeError, match="one column per candidate"):
        choose_threshold(np.zeros((1, 0)), ())
