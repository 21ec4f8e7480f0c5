import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.refine.threshold.cutting import make_cuts, square
from weakseg.refine.threshold.spread import LOWEST, between_variance, score_log_spread, score_spread

IMAGE = np.zeros((1, 4, 3), np.uint8)
STRONGEST = np.array([[0.05, 0.1, 0.25, 1.0]], np.float32)


def test_the_variance_between_two_groups_is_hand_countable() -> None:
    values = np.array([1.0, 1.0, 2.0, 6.0])
    found = between_variance(values, (0.5, 1.0, 2.0, 6.0))
    assert found.tolist() == pytest.approx([0, 0.5 * 0.5 * (4 - 1) ** 2, 0.75 * 0.25 * (6 - 4 / 3) ** 2, 0])


def test_spread_looks_at_the_strongest_scores() -> None:
    cuts = make_cuts(IMAGE, [square((1, 4), 0)] * 3, strongest=STRONGEST)
    assert score_spread(cuts).tolist() == between_variance(STRONGEST, (0.1, 0.2, 0.3)).tolist()
    logs = between_variance(np.log(STRONGEST.astype(float)), np.log((0.1, 0.2, 0.3)))
    assert score_log_spread(cuts).tolist() == pytest.approx(logs.tolist())


def test_a_score_of_zero_counts_as_the_lowest() -> None:
    cuts = make_cuts(IMAGE, [square((1, 4), 0)] * 2, strongest=np.array([[0, 0, 0.5, 0.5]], np.float32))
    gap = np.log(0.5) - np.log(LOWEST)
    assert score_log_spread(cuts).tolist() == pytest.approx([gap**2 / 4] * 2)


def test_maps_of_zeros_have_no_spread() -> None:
    cuts = make_cuts(IMAGE, [square((1, 4), 0)] * 2)
    assert score_spread(cuts).tolist() == score_log_spread(cuts).tolist() == [0, 0]


# Doubling is exact, and keeps the order, for all but subnormal numbers.
UNIT = st.floats(0, 1, allow_subnormal=False)


@given(st.lists(UNIT, min_size=1, max_size=30), st.lists(UNIT, min_size=1, max_size=5), st.sampled_from((2, 4, 8)))
@example([1.0, 2e-308], [0.0], 8)
def test_scaling_values_and_thresholds_scales_the_variance(
    values: list[float], thresholds: list[float], scale: float
) -> None:
    given_values = np.array(values)
    found = between_variance(given_values, tuple(thresholds))
    assert (found >= 0).all()
    scaled = between_variance(scale * given_values, tuple(scale * value for value in thresholds))
    assert scaled.tolist() == pytest.approx((scale**2 * found).tolist())
