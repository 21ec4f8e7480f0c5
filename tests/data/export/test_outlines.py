import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.path import Path as Polygon
from pycocotools import mask as rle_tools

from tests.data.export.made_split import fill_even_odd
from weakseg.data.export.outlines import trace_polygon
from weakseg.errors import ShapeError


def signed_area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_a_rectangle_has_four_corners_clockwise() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    corners = trace_polygon(mask)
    assert sorted(corners.tolist()) == [[2, 1], [2, 3], [5, 1], [5, 3]]
    assert signed_area(corners) == 6
    assert corners.dtype == np.int64
    assert trace_polygon(np.ones((1, 1), bool)).shape == (4, 2)


def test_a_hole_is_bridged_to_the_left_of_its_top() -> None:
    mask = np.ones((3, 4), bool)
    mask[1, 2] = False
    corners = trace_polygon(mask).tolist()
    # Up the left side to the bridge, against the clock around the hole, back along the bridge and on upwards.
    assert corners == [[0, 0], [4, 0], [4, 3], [0, 3], [0, 1], [2, 1], [2, 2], [3, 2], [3, 1], [0, 1]]


def test_pixels_that_touch_by_a_corner_are_one_line_without_a_bridge() -> None:
    mask = np.array([[1, 0], [0, 1]], bool)
    corners = trace_polygon(mask).tolist()
    assert len(corners) == 8
    assert corners.count([1, 1]) == 2


def test_separate_parts_are_joined_where_they_are_nearest() -> None:
    mask = np.zeros((7, 9), bool)
    mask[0:2, 0:2] = mask[4:7, 5:9] = True
    corners = trace_polygon(mask).tolist()
    # From (2, 2) by way of (5, 2) to (5, 4), around the other part, and back the same way.
    around = [[5, 4], [9, 4], [9, 7], [5, 7]]
    assert corners == [[0, 0], [2, 0], [2, 2], [5, 2], *around, [5, 2], [0, 2]]


@pytest.mark.parametrize("parts", [2, 3, 7, 8, 21])
def test_of_many_parts_each_is_joined_to_its_neighbour(parts: int) -> None:
    """Pixels in a row, ten apart: around each four steps, and nine there and back between two."""
    mask = np.zeros((3, 10 * parts), bool)
    mask[1, ::10] = True
    corners = trace_polygon(mask)
    assert np.abs(np.roll(corners, -1, axis=0) - corners).sum() == 4 * parts + 18 * (parts - 1)


def test_all_lines_are_parallel_to_the_axes_and_no_corner_is_idle() -> None:
    mask = np.random.default_rng(0).random((20, 31)) < 0.6
    corners = trace_polygon(mask)
    ahead = np.roll(corners, -1, axis=0) - corners
    assert ((ahead == 0).sum(axis=1) == 1).all()
    assert (np.sign(ahead) != np.sign(np.roll(ahead, 1, axis=0))).any(axis=1).all()


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)).filter(np.any), st.integers(0, 1))
def test_three_ways_to_fill_the_polygon_give_the_mask_back(mask: np.ndarray, turned: int) -> None:
    mask = mask.T if turned else mask
    before = mask.copy()
    corners = trace_polygon(mask)
    height, width = mask.shape
    assert signed_area(corners) == mask.sum()
    np.testing.assert_array_equal(fill_even_odd(corners, mask.shape), mask)
    rle = rle_tools.frPyObjects([corners.ravel().astype(float).tolist()], height, width)
    np.testing.assert_array_equal(rle_tools.decode(rle)[..., 0], mask)
    y, x = np.mgrid[:height, :width] + 0.5
    closed = Polygon(np.vstack([corners, corners[:1]]), closed=True)
    inside = closed.contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("mask", [np.zeros((2, 3), bool), np.ones((2, 3), np.uint8), np.ones(3, bool)])
def test_what_has_no_outline_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected a mask \(H, W\) bool with a pixel"):
        trace_polygon(mask)
