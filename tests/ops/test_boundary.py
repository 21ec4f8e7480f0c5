from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.boundary import boundary_width_px, count_boundaries, inner_boundary

LABELS = arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2]))


def draw(text: str) -> np.ndarray:
    """`#` is True."""
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def boundary_iou(prediction: np.ndarray, truth: np.ndarray, *, label: int, width_px: int = 1) -> float:
    both, either = count_boundaries(prediction, truth, num_labels=3, width_px=width_px)[label]
    return float(both / either)


def test_the_boundary_is_the_outermost_pixels_of_a_mask() -> None:
    mask = draw("....... .#####. .#####. .#####. .......")
    near = inner_boundary(mask, width_px=1)
    np.testing.assert_array_equal(near, draw("....... .#####. .#...#. .#####. ......."))
    assert near.dtype == np.bool_


def test_a_wider_boundary_takes_one_more_ring() -> None:
    mask = np.ones((6, 7), np.bool_)
    np.testing.assert_array_equal(
        inner_boundary(mask, width_px=2), draw("####### ####### ##...## ##...## ####### #######")
    )
    assert inner_boundary(mask, width_px=3).all()


def test_the_border_of_the_image_is_a_contour() -> None:
    mask = draw("###. ###. ###. ....")
    np.testing.assert_array_equal(inner_boundary(mask, width_px=1), draw("###. #.#. ###. ...."))


def test_steps_along_the_diagonal_count_once() -> None:
    mask = np.ones((5, 5), np.bool_)
    mask[0, 0] = False
    assert not inner_boundary(mask, width_px=1)[2, 2]
    assert inner_boundary(mask, width_px=1)[1, 1]


def test_an_empty_mask_has_no_boundary_and_none_is_modified() -> None:
    mask = np.zeros((3, 4), np.bool_)
    assert not inner_boundary(mask, width_px=2).any()
    full = np.ones((3, 4), np.bool_)
    inner_boundary(full, width_px=1)
    assert full.all()


@settings(max_examples=40, deadline=None)
@given(LABELS, st.integers(1, 3))
def test_the_boundary_is_what_repeated_erosion_takes_off(labels: np.ndarray, width_px: int) -> None:
    mask = labels == 1
    eroded = ndimage.binary_erosion(mask, structure=np.ones((3, 3)), iterations=width_px, border_value=0)
    np.testing.assert_array_equal(inner_boundary(mask, width_px=width_px), mask & ~eroded)


@pytest.mark.parametrize(("size_hw", "width_px"), [((128, 128), 4), ((375, 500), 12), ((3, 4), 1)])
def test_the_width_is_two_percent_of_the_diagonal(size_hw: tuple[int, int], width_px: int) -> None:
    # 0.02 * 181.02 = 3.62; 0.02 * 625 = 12.5, to even; 0.02 * 5 = 0.1
    assert boundary_width_px(size_hw) == width_px


@pytest.mark.parametrize("share", [0.0, -0.1, float("nan"), float("inf")])
def test_a_width_must_be_positive(share: float) -> None:
    with pytest.raises(ConfigError, match="expected a positive share of the image's diagonal"):
        boundary_width_px((10, 10), diagonal_share=share)


def test_a_shifted_square_loses_more_at_its_boundary_than_inside() -> None:
    truth = np.zeros((7, 9), np.uint8)
    truth[1:6, 1:6] = 1
    prediction = np.roll(truth, 1, axis=1)
    # Rings of 16 pixels each: of rows 1 and 5 they share 4, in columns 2 and 5 nothing else.
    assert count_boundaries(prediction, truth, num_labels=2, width_px=1)[1].tolist() == [8, 24]
    assert (prediction & truth).sum() / (prediction | truth).sum() == pytest.approx(20 / 30)


def test_void_is_outside_of_both() -> None:
    truth = np.zeros((5, 8), np.uint8)
    truth[:, 2:6] = 1
    truth[:, 5] = 255
    prediction = np.zeros((5, 8), np.uint8)
    prediction[:, 2:6] = 1  # reaches to the far side of the void column, as it may
    assert boundary_iou(prediction, truth, label=1) == 1
    assert boundary_iou(prediction, truth, label=0) == 1


def test_labels_without_a_pixel_count_nothing_and_no_answer_is_no_label() -> None:
    truth = np.full((3, 5), 2, np.uint8)
    prediction = np.full((3, 5), 255, np.uint8)
    counts = count_boundaries(prediction, truth, num_labels=81, width_px=1)
    assert counts.shape == (81, 2)
    assert counts.dtype == np.int64
    assert counts[2].tolist() == [0, 12]
    assert counts.sum() == 12


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_boundary_iou_is_symmetric_and_one_only_for_equal_masks(data: st.DataObject, width_px: int) -> None:
    first = data.draw(LABELS)
    second = data.draw(arrays(np.uint8, first.shape, elements=st.sampled_from([0, 1, 2])))
    forth = count_boundaries(first, second, num_labels=3, width_px=width_px)
    np.testing.assert_array_equal(forth, count_boundaries(second, first, num_labels=3, width_px=width_px))
    assert (forth[:, 0] <= forth[:, 1]).all()
    assert (forth[:, 0] == forth[:, 1]).all() == np.array_equal(first, second)
    itself = count_boundaries(first, first, num_labels=3, width_px=width_px)
    np.testing.assert_array_equal(itself[:, 0], itself[:, 1])


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), r"\(2, 3\) and truth \(3, 2\) differ"),
        (np.zeros((2, 3)), np.zeros((2, 3), np.uint8), "prediction: expected integer labels"),
        (np.zeros((2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), "truth: expected integer labels"),
    ],
)
def test_maps_that_do_not_fit_are_refused(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        count_boundaries(prediction, truth, num_labels=2, width_px=1)


def test_a_mask_must_be_boolean_and_a_width_whole() -> None:
    with pytest.raises(ShapeError, match="expected a mask"):
        inner_boundary(np.zeros((2, 3), np.uint8), width_px=1)
    with pytest.raises(ConfigError, match="expected 1 pixel or more, got 0"):
        inner_boundary(np.zeros((2, 3), np.bool_), width_px=0)
