import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ShapeError
from weakseg.refine.threshold.choice import CANDIDATES, USUAL, choose_threshold
from weakseg.refine.threshold.colour import colour_information

NAN = float("nan")


def test_the_largest_average_wins_where_every_image_agrees() -> None:
    choice = choose_threshold(np.array([[0.0, 3.0, 1.0], [1.0, 4.0, 2.0]]), (0.2, 0.3, 0.4))
    assert (choice.threshold, choice.best) == (0.3, 0.3)
    assert choice.curve == (0.5, 3.5, 1.5)
    assert (choice.images, choice.is_clear) == (2, True)


def test_what_is_about_as_good_as_the_best_gives_way_to_the_usual_threshold() -> None:
    choice = choose_threshold(np.array([[0.5, 1.0], [1.4, 1.0]]), (0.15, 0.3))
    assert (choice.threshold, choice.best) == (0.15, 0.3), "0.95 is 5 % below 1"
    choice = choose_threshold(np.array([[0.5, 1.0], [1.3, 1.0]]), (0.15, 0.3))
    assert (choice.threshold, choice.best) == (0.3, 0.3), "0.9 is 10 % below 1"


def test_evidence_against_the_usual_threshold_leads_no_further_than_it_reaches() -> None:
    choice = choose_threshold(np.array([[0.0, 1.0, 5.7, 6.0]]), (0.15, 0.2, 0.3, 0.5))
    assert (choice.threshold, choice.best) == (0.3, 0.5)
    choice = choose_threshold(np.array([[6.0, 5.7, 1.0, 5.9]]), (0.02, 0.03, 0.15, 0.5))
    assert (choice.threshold, choice.best) == (0.5, 0.02), "as near as 3.3 times, where 0.03 is 5 times lower"


def test_of_equals_the_one_of_nearest_ratio_to_the_usual_is_taken() -> None:
    rows = np.array([[0.0, 2.0, 2.0], [0.0, 3.0, 3.0]])
    assert choose_threshold(rows, (0.1, 0.2, 0.3)).threshold == 0.2
    assert choose_threshold(rows, (0.02, 0.03, 0.1)).threshold == 0.1


def test_what_is_undefined_is_left_out() -> None:
    choice = choose_threshold(np.array([[NAN, 1.0, 2.0], [NAN, 3.0, NAN]]), (0.1, 0.2, 0.3))
    assert choice.curve == (None, 2.0, 2.0)
    assert not choice.is_clear, "both candidates that are defined are equal"
    # 0.15 is undefined and cannot be taken; 0.2 is far worse.
    choice = choose_threshold(np.array([[NAN, 1.0, 2.0], [NAN, 1.5, 2.5], [NAN, NAN, 9.0]]), (0.15, 0.2, 0.3))
    assert choice.threshold == 0.3


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
def test_the_choice_lies_between_the_best_and_the_usual_threshold(scores: np.ndarray) -> None:
    candidates = (0.05, 0.1, 0.15, 0.4)
    choice = choose_threshold(scores, candidates)
    assert {choice.threshold, choice.best} <= set(candidates)
    assert abs(np.log(choice.threshold / USUAL)) <= abs(np.log(choice.best / USUAL))
    averages = scores.mean(axis=0)
    if choice.is_clear:
        assert averages[candidates.index(choice.best)] == pytest.approx(averages.max())
    else:
        assert choice.threshold == choice.best == USUAL


@given(arrays(np.float64, (5, 4), elements=st.integers(-1000, 1000).map(float)), st.sampled_from((2, 4, 8)))
def test_the_unit_of_the_statistic_does_not_matter(scores: np.ndarray, factor: int) -> None:
    candidates = (0.05, 0.1, 0.15, 0.4)
    choice, scaled = choose_threshold(scores, candidates), choose_threshold(factor * scores, candidates)
    assert (scaled.threshold, scaled.best) == (choice.threshold, choice.best)


def test_a_wrong_number_of_columns_is_named() -> None:
    with pytest.raises(ShapeError, match=r"expected scores \(images, 2\), one column per candidate, got \(1, 3\)"):
        choose_threshold(np.zeros((1, 3)), (0.1, 0.2))
    with pytest.raises(ShapeError, match="one column per candidate"):
        choose_threshold(np.zeros((1, 0)), ())


def test_the_usual_threshold_can_be_another_one() -> None:
    rows = np.array([[0.95, 1.0, 0.95, 0.1]])
    assert choose_threshold(rows, (0.1, 0.2, 0.3, 0.4), usual=0.5).threshold == 0.3
    assert choose_threshold(rows, (0.1, 0.2, 0.3, 0.4), usual=0.05).threshold == 0.1
    assert choose_threshold(rows, (0.1, 0.2, 0.3, 0.4), usual=0.3).usual == 0.3
