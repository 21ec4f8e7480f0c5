import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.refine.sure import (
    LARGEST_ALPHA,
    LEAST_ALPHA,
    balancing_alpha,
    sure_background,
    sure_foreground,
)


def test_cuts_of_animals_are_those_that_were_chosen_there() -> None:
    assert sure_foreground(0.5) == pytest.approx(0.65)
    assert sure_background(0.5) == pytest.approx(0.35)


@pytest.mark.parametrize(("threshold", "above", "below"), [(0.0, 0.3, 0.0), (0.15, 0.405, 0.105), (1.0, 1.0, 0.7)])
def test_cuts_stay_on_both_sides_of_the_threshold(threshold: float, above: float, below: float) -> None:
    assert (sure_foreground(threshold), sure_background(threshold)) == pytest.approx((above, below))


@pytest.mark.parametrize(
    ("threshold", "alpha"),
    [
        (0.5, 1.0),  # both sides are equal there
        ((3 - math.sqrt(5)) / 2, 2.0),  # m = (1 - m)^2
        (0.25, math.log(4) / math.log(4 / 3)),
    ],
)
def test_powers_of_psa_by_hand(threshold: float, alpha: float) -> None:
    assert balancing_alpha(threshold) == pytest.approx(alpha)


@given(st.floats(0.05, 0.95))
def test_a_map_equals_its_background_at_the_threshold(threshold: float) -> None:
    assert (1 - threshold) ** balancing_alpha(threshold) == pytest.approx(threshold)


@given(st.floats(0, 1), st.floats(0, 1))
def test_powers_fall_with_the_threshold_and_stay_in_bounds(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert LARGEST_ALPHA >= balancing_alpha(low) >= balancing_alpha(high) >= LEAST_ALPHA
    assert balancing_alpha(sure_foreground(low)) <= balancing_alpha(sure_background(low)), "as the settings ask"
