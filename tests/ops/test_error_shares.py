from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ShapeError
from weakseg.ops.error_shares import share_errors
from weakseg.ops.metrics import ConfusionMatrix

NAN = float("nan")


def test_the_union_of_a_class_is_parted_into_right_false_and_missed_pixels() -> None:
    confusion = ConfusionMatrix(3)
    truth = np.array([[0, 0, 1, 1, 1], [0, 2, 2, 1, 255]], np.uint8)
    prediction = np.array([[0, 1, 1, 1, 0], [0, 1, 2, 255, 1]], np.uint8)
    confusion.update(prediction, truth)
    shares = share_errors(confusion.counts)
    # Class 1 has 4 pixels and was given to 4: 2 right, 2 false (one of class 2), 2 missed (one without an answer).
    np.testing.assert_allclose(shares.iou, [2 / 4, 2 / 6, 1 / 2])
    np.testing.assert_allclose(shares.over, [1 / 4, 2 / 6, 0])
    np.testing.assert_allclose(shares.over_other, [1 / 4, 1 / 6, 0])
    np.testing.assert_allclose(shares.under, [1 / 4, 2 / 6, 1 / 2])


def test_a_label_that_nobody_has_is_undefined_and_one_that_is_only_given_is_all_over() -> None:
    counts = np.zeros((4, 5), np.int64)
    counts[0, 0], counts[0, 2] = 6, 3
    shares = share_errors(counts)
    np.testing.assert_array_equal(shares.iou, [6 / 9, NAN, 0, NAN])
    np.testing.assert_array_equal(shares.over, [0, NAN, 1, NAN])
    np.testing.assert_array_equal(shares.over_other, [0, NAN, 0, NAN])
    np.testing.assert_array_equal(shares.under, [3 / 9, NAN, 0, NAN])


@pytest.mark.parametrize("num_labels", [2, 4, 81])
def test_every_label_has_its_shares(num_labels: int) -> None:
    counts = np.ones((num_labels, num_labels + 1), np.int64)
    shares = share_errors(counts)
    union = 2 * num_labels
    np.testing.assert_allclose(shares.iou, 1 / union)
    np.testing.assert_allclose(shares.over, (num_labels - 1) / union)
    np.testing.assert_allclose(shares.under, num_labels / union)
    np.testing.assert_allclose(shares.over_other[1:], (num_labels - 2) / union)
    assert (counts == 1).all()


@given(arrays(np.int64, (3, 4), elements=st.integers(0, 5)))
def test_iou_over_and_under_are_shares_of_one_whole(counts: np.ndarray) -> None:
    shares = share_errors(counts)
    defined = ~np.isnan(shares.iou)
    np.testing.assert_allclose((shares.iou + shares.over + shares.under)[defined], 1)
    assert (shares.over_other[defined] <= shares.over[defined]).all()
    np.testing.assert_array_equal(np.isnan(shares.under), ~defined)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected counts \(L, L \+ 1\), got \(3, 3\)"):
        share_errors(np.zeros((3, 3), np.int64))
