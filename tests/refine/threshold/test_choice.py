import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ShapeError
from weakseg.refine.threshold.choice import (
    CANDIDATES,
    FIRST_JUDGES,
    USUAL,
    USUAL_AREA,
    choose_in_rounds,
    choose_threshold,
    still_open,
    tell_support,
    worth_refining,
)
from weakseg.refine.threshold.colour import colour_information

NAN = float("nan")


def same_area(scores: np.ndarray, share: float = USUAL_AREA) -> np.ndarray:
    """Return areas that say nothing: every candidate's masks take the same share."""
    return np.full(scores.shape, share)


def test_candidates_that_lose_among_the_first_images_are_out() -> None:
    areas = np.full((2, 3), USUAL_AREA)
    scores = np.array([[1.0, 0.8, 0.7], [1.0, 0.8, 0.7]])  # ln 0.8 = -0.22, ln 0.7 = -0.36
    assert still_open(scores, (0.1, 0.2, 0.3), areas=areas) == (0, 1)
    # An area 1.8 times as large is 0.35 against it.
    far = areas * [1.8, 1.0, 1.0]
    assert still_open(scores, (0.1, 0.2, 0.3), areas=far) == (0, 1, 2)
    assert still_open(np.zeros((2, 3)), (0.1, 0.2, 0.3), areas=areas) == (0, 1, 2), "colours tell nothing"
    assert still_open(np.zeros((0, 3)), (0.1, 0.2, 0.3), areas=np.zeros((0, 3))) == (0, 1, 2)


def test_a_candidate_that_lost_early_is_not_chosen_whatever_comes_later() -> None:
    scores = np.array([[1.0, 0.5]] * FIRST_JUDGES + [[0.0, 99.0]])
    areas = np.full(scores.shape, USUAL_AREA)
    assert choose_in_rounds(scores, (0.1, 0.2), areas=areas).threshold == 0.1
    assert choose_threshold(scores, (0.1, 0.2), areas=areas).threshold == 0.2
    scores[-1, 1] = areas[-1, 1] = np.nan  # what is no longer computed
    choice = choose_in_rounds(scores, (0.1, 0.2), areas=areas)
    assert (choice.candidates, choice.images) == ((0.1,), FIRST_JUDGES + 1)


def test_the_largest_average_wins_where_areas_are_alike() -> None:
    scores = np.array([[0.0, 3.0, 1.0], [1.0, 4.0, 2.0]])
    choice = choose_threshold(scores, (0.2, 0.3, 0.4), areas=same_area(scores))
    assert (choice.threshold, choice.best) == (0.3, 0.3)
    assert choice.curve == (0.5, 3.5, 1.5)
    assert choice.areas == (USUAL_AREA,) * 3
    assert (choice.images, choice.is_clear) == (2, True)


def test_an_unusual_area_costs_the_square_of_its_logarithm() -> None:
    """Masks of e times the usual area lose 1, so that they must be more than e times as well supported."""
    areas = np.array([[USUAL_AREA * math.e, USUAL_AREA]])
    assert choose_threshold(np.array([[2.7, 1.0]]), (0.1, 0.2), areas=areas).threshold == 0.2
    assert choose_threshold(np.array([[2.8, 1.0]]), (0.1, 0.2), areas=areas).threshold == 0.1
    assert choose_threshold(np.array([[2.7, 1.0]]), (0.1, 0.2), areas=areas).best == 0.1
    # As far on the other side costs as much.
    areas = np.array([[USUAL_AREA, USUAL_AREA / math.e]])
    assert choose_threshold(np.array([[1.0, 2.7]]), (0.1, 0.2), areas=areas).threshold == 0.1
    assert choose_threshold(np.array([[1.0, 2.8]]), (0.1, 0.2), areas=areas).threshold == 0.2


def test_areas_are_averaged_over_images_before_they_are_judged() -> None:
    scores = np.ones((2, 2)) * [1.0, 1.1]
    areas = np.array([[0.02, 0.1], [0.42, 0.12]])  # 0.22 and 0.11 on average, so that the first is nearer
    assert choose_threshold(scores, (0.1, 0.2), areas=areas).threshold == 0.1


def test_a_candidate_whose_masks_are_empty_is_never_taken() -> None:
    scores = np.array([[1.0, 9.0]])
    choice = choose_threshold(scores, (0.1, 0.2), areas=np.array([[0.9, 0.0]]))
    assert (choice.threshold, choice.best) == (0.1, 0.2)


def test_of_equals_the_lower_is_taken() -> None:
    scores = np.array([[0.0, 2.0, 2.0], [0.0, 3.0, 3.0]])
    assert choose_threshold(scores, (0.1, 0.2, 0.3), areas=same_area(scores)).threshold == 0.2


def test_what_is_undefined_or_below_zero_is_left_out() -> None:
    scores = np.array([[NAN, 1.0, 2.0], [NAN, 3.0, NAN]])
    choice = choose_threshold(scores, (0.1, 0.2, 0.3), areas=same_area(scores))
    assert choice.curve == (None, 2.0, 2.0)
    assert not choice.is_clear, "both candidates that are defined are equal"
    scores = np.array([[NAN, -1.0, 0.1]])
    areas = np.array([[USUAL_AREA, USUAL_AREA, 0.9]])
    assert choose_threshold(scores, (0.15, 0.2, 0.3), areas=areas).threshold == 0.3


@pytest.mark.parametrize("scores", [np.zeros((4, 3)), np.full((1, 3), NAN), -np.ones((2, 3))])
def test_without_evidence_the_area_decides_alone(scores: np.ndarray) -> None:
    areas = np.tile([0.6, 0.3, 0.1], (len(scores), 1))
    choice = choose_threshold(scores, (0.1, 0.3, 0.5), areas=areas)
    assert (choice.threshold, choice.best, choice.is_clear) == (0.3, 0.3, False)


@pytest.mark.parametrize("images", [0, 1, 4])
def test_without_any_foreground_the_default_is_taken(images: int) -> None:
    scores = np.zeros((images, len(CANDIDATES)))
    choice = choose_threshold(scores, CANDIDATES, areas=scores)
    assert (choice.threshold, choice.is_clear) == (USUAL, False)
    assert choice.areas == ((0.0,) if images else (None,)) * len(CANDIDATES)


def test_masks_without_foreground_or_background_do_not_win_by_telling_nothing() -> None:
    """Where colours are noise, both extremes share 0 bits with them, and everything between less than that."""
    image = np.random.default_rng(0).integers(0, 256, (24, 33, 3), dtype=np.uint8)
    labels = [np.random.default_rng(1).random((24, 33)) < share for share in (1.0, 0.5, 0.0)]
    scores = np.array([[colour_information(image, mask.astype(np.uint8)) for mask in labels]])
    assert scores[0, 1] < 0 == scores[0, 0] == scores[0, 2]
    choice = choose_threshold(scores, (0.02, 0.15, 0.5), areas=np.array([[1.0, 0.5, 0.0]]))
    assert (choice.threshold, choice.is_clear) == (0.15, False)


def test_the_candidates_ascend_and_hold_the_default() -> None:
    assert list(CANDIDATES) == sorted(set(CANDIDATES))
    assert USUAL in CANDIDATES


@given(
    arrays(np.float64, (3, 4), elements=st.integers(1, 1000).map(float)),
    arrays(np.float64, (3, 4), elements=st.integers(1, 100).map(lambda share: share / 100)),
)
def test_nothing_better_supported_and_nearer_to_the_usual_area_is_passed_over(
    scores: np.ndarray, areas: np.ndarray
) -> None:
    candidates = (0.05, 0.1, 0.15, 0.4)
    choice = choose_threshold(scores, candidates, areas=areas)
    taken = candidates.index(choice.threshold)
    averages, distances = scores.mean(axis=0), np.abs(np.log(areas.mean(axis=0) / USUAL_AREA))
    if choice.is_clear:
        assert not ((averages > averages[taken]) & (distances < distances[taken])).any()
    else:
        assert distances[taken] == distances.min()


@given(arrays(np.float64, (5, 4), elements=st.integers(-1000, 1000).map(float)), st.sampled_from((2, 4, 8)))
def test_the_unit_of_the_statistic_does_not_matter(scores: np.ndarray, factor: int) -> None:
    candidates = (0.05, 0.1, 0.15, 0.4)
    areas = np.tile([0.5, 0.3, 0.2, 0.1], (5, 1))
    choice = choose_threshold(scores, candidates, areas=areas)
    scaled = choose_threshold(factor * scores, candidates, areas=areas)
    assert (scaled.threshold, scaled.best) == (choice.threshold, choice.best)


def test_a_wrong_number_of_columns_is_named() -> None:
    with pytest.raises(ShapeError, match=r"expected scores \(images, 2\), one column per candidate, got \(1, 3\)"):
        choose_threshold(np.zeros((1, 3)), (0.1, 0.2), areas=np.zeros((1, 3)))
    with pytest.raises(ShapeError, match="one column per candidate"):
        choose_threshold(np.zeros((1, 0)), (), areas=np.zeros((1, 0)))
    with pytest.raises(ShapeError, match=r"expected areas \(2, 1\) as the scores, got \(1, 1\)"):
        choose_threshold(np.zeros((2, 1)), (0.1,), areas=np.zeros((1, 1)))


def test_candidates_whose_seeds_take_far_more_or_less_than_usual_are_not_tried() -> None:
    areas = np.array([[0.9, 0.6, 0.3, 0.1, 0.0], [0.7, 0.6, 0.2, 0.08, 0.02]])  # means 0.8, 0.6, 0.25, 0.09, 0.01
    assert worth_refining((0.1, 0.2, 0.3, 0.4, 0.5), areas) == (0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    "areas", [np.zeros((3, 2)), np.ones((3, 2)), np.zeros((0, 2))], ids=["none", "all", "no image"]
)
def test_all_candidates_are_tried_where_none_is_near_the_usual_area(areas: np.ndarray) -> None:
    assert worth_refining((0.1, 0.2), areas) == (0.1, 0.2)


def test_areas_of_other_candidates_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected areas \(images, 2\), got \(1, 3\)"):
        worth_refining((0.1, 0.2), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("scores", "shares", "support"),
    [
        ([[0.2, 0.4]], [0.235, 0.235 * math.e], [math.log(0.5), -1.0]),
        ([[0.2, 0.4], [0.2, NAN]], [0.235, 0.235], [math.log(0.5), 0.0]),  # a lost candidate, not tried any more
        ([[0.0, 0.0]], [0.235, 0.235 * math.e], [0.0, -1.0]),  # colours tell nothing
        ([[0.0, 0.0]], [0.0, 0.0], [0.0, 0.0]),  # nor do areas
        ([[-0.1, 0.4]], [0.235, 0.235], [-math.inf, 0.0]),
    ],
)
def test_support_is_what_colours_and_areas_say(
    scores: list[list[float]], shares: list[float], support: list[float]
) -> None:
    table = np.array(scores)
    areas = np.where(np.isnan(table), NAN, np.array(shares))
    assert tell_support(table, (0.1, 0.2), areas=areas) == pytest.approx(support)
    with pytest.raises(ShapeError, match=r"expected scores and areas \(images, 3\)"):
        tell_support(table, (0.1, 0.2, 0.3), areas=areas)


def test_support_is_largest_where_the_choice_is() -> None:
    rng = np.random.default_rng(0)
    scores, areas = rng.uniform(0.1, 1, (9, 5)), rng.uniform(0.1, 0.9, (9, 5))
    candidates = CANDIDATES[:5]
    chosen = choose_threshold(scores, candidates, areas=areas).threshold
    assert candidates[int(tell_support(scores, candidates, areas=areas).argmax())] == chosen
