import math

import numpy as np
import pytest

from tests.refine.threshold.cutting import make_cuts, square
from weakseg.refine.threshold.agreement import mask_overlap, score_refinement, score_stability, score_typicality

SIZE_HW = (8, 10)
IMAGE = np.zeros((*SIZE_HW, 3), np.uint8)
WHOLE, MIDDLE, SMALL, EMPTY = (square(SIZE_HW, margin) for margin in (0, 1, 3, 5))
"""80, 48, 8 and 0 pixels."""


def test_the_overlap_counts_pixels_of_equal_class_over_those_of_any() -> None:
    assert mask_overlap(WHOLE, MIDDLE) == mask_overlap(MIDDLE, WHOLE) == 48 / 80
    assert mask_overlap(WHOLE, square(SIZE_HW, 0, label=80)) == 0
    assert mask_overlap(MIDDLE, MIDDLE) == 1
    assert math.isnan(mask_overlap(EMPTY, EMPTY))


def test_stability_is_the_mean_overlap_with_both_neighbours() -> None:
    scores = score_stability(make_cuts(IMAGE, [WHOLE, MIDDLE, SMALL, EMPTY]))
    assert scores[1:3].tolist() == pytest.approx([(48 / 80 + 8 / 48) / 2, (8 / 48 + 0) / 2])
    assert np.isnan(scores[[0, 3]]).all()


def test_one_threshold_has_no_stability() -> None:
    assert np.isnan(score_stability(make_cuts(IMAGE, [WHOLE]))).all()


def test_typicality_is_the_mean_overlap_with_all() -> None:
    scores = score_typicality(make_cuts(IMAGE, [WHOLE, MIDDLE, SMALL]))
    expected = [1 + 48 / 80 + 8 / 80, 48 / 80 + 1 + 8 / 48, 8 / 80 + 8 / 48 + 1]
    assert scores.tolist() == pytest.approx([value / 3 for value in expected])


def test_refinement_compares_the_mask_with_the_seed() -> None:
    cuts = make_cuts(IMAGE, [MIDDLE, EMPTY, EMPTY], seed_masks=[WHOLE, SMALL, EMPTY])
    scores = score_refinement(cuts)
    assert scores[:2].tolist() == [48 / 80, 0]
    assert math.isnan(scores[2])
