import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as rle_tools

from tests.data.layouts import square
from weakseg.data.coco_outlines import Outline, draw_instances, draw_labels, outline_fault, rle_size_hw
from weakseg.errors import DataError


def test_a_square_covers_its_pixels() -> None:
    labels = draw_labels([Outline(7, False, square(1, 0, 2))], size_hw=(3, 5))
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 7, 7, 0, 0], [0, 7, 7, 0, 0], [0, 0, 0, 0, 0]]


def test_parts_of_one_object_are_drawn_together() -> None:
    parts = [*square(0, 0, 1), *square(3, 1, 1)]
    assert draw_labels([Outline(1, False, parts)], size_hw=(2, 4)).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_smaller_object_lies_on_top(order: tuple[int, int]) -> None:
    objects = [Outline(1, False, square(0, 0, 3)), Outline(2, False, square(1, 1, 1))]
    labels = draw_labels([objects[k] for k in order], size_hw=(3, 4))
    assert labels.tolist() == [[1, 1, 1, 0], [1, 2, 1, 0], [1, 1, 1, 0]]


def test_of_equal_objects_the_later_lies_on_top() -> None:
    objects = [Outline(1, False, square(0, 0, 2)), Outline(2, False, square(1, 0, 2))]
    assert draw_labels(objects, size_hw=(2, 3)).tolist() == [[1, 2, 2], [1, 2, 2]]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_crowd_is_ignored_but_where_an_object_covers_it(order: tuple[int, int]) -> None:
    crowd = {"size": [2, 3], "counts": [0, 4, 2]}  # the first two columns
    objects = [Outline(5, True, crowd), Outline(9, False, square(1, 0, 1))]
    labels = draw_labels([objects[k] for k in order], size_hw=(2, 3))
    assert labels.tolist() == [[255, 9, 0], [255, 255, 0]]


def test_an_image_without_objects_is_background() -> None:
    assert draw_labels([], size_hw=(2, 5)).tolist() == [[0] * 5] * 2


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(pixels=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_packed_and_plain_runs_give_the_pixels_back(pixels: np.ndarray) -> None:
    packed = rle_tools.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode()
    column_by_column = np.concatenate([[False], pixels.T.ravel(), [not pixels[-1, -1]]])
    changes = np.flatnonzero(np.diff(column_by_column.astype(int)))
    runs = np.diff([0, *changes]).tolist()
    for counts in (packed, runs):
        rle = {"size": list(pixels.shape), "counts": counts}
        assert outline_fault(rle) is None
        np.testing.assert_array_equal(draw_labels([Outline(1, False, rle)], size_hw=pixels.shape), pixels)


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        (None, "no segmentation"),
        ([], "no segmentation"),
        ("outline", "no segmentation"),
        ([[0, 0, 5, 5]], "at least three"),
        ([[0, 0, 5, 5, 1, 1, 2]], "at least three"),
        ([5, 6, 7, 8, 9, 10], "at least three"),
        ([[0, 0, 5, 5, 1, "1"]], "numbers only"),
        ([[0, 0, 5, 5, 1, None]], "numbers only"),
        ([[0, 0, 5, 5, 1, float("nan")]], "far outside"),
        ([[0, 0, 5, 5, 1, float("inf")]], "far outside"),
        ([[0, 0, 5, 5, 1, 1e9]], "far outside"),
        ({"counts": [6]}, "needs 'size'"),
        ({"size": [2, 0], "counts": [0]}, "needs 'size'"),
        ({"size": [2, 3]}, "needs 'counts'"),
        ({"size": [2, 3], "counts": [5]}, "covers 5 pixels, not 2 x 3"),
        ({"size": [2, 3], "counts": [8, -2]}, "non-negative"),
        ({"size": [2, 3], "counts": [2.5, 3.5]}, "non-negative"),
        ({"size": [2, 3], "counts": "caf\xe9"}, "characters"),
        ({"size": [2, 3], "counts": "o"}, "end too early"),
        ({"size": [2, 3], "counts": "O"}, "damaged"),
    ],
)
def test_faults_are_found_and_never_drawn(segmentation: object, text: str) -> None:
    assert text in (outline_fault(segmentation) or "")
    with pytest.raises(DataError, match="an outline cannot be drawn"):
        draw_labels([Outline(1, False, segmentation)], size_hw=(2, 3))


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(min_codepoint=40, max_codepoint=115), max_size=30))
def test_no_packed_text_breaks_the_decoder(text: str) -> None:
    rle = {"size": [4, 5], "counts": text}
    if outline_fault(rle) is None:
        assert draw_labels([Outline(1, False, rle)], size_hw=(4, 5)).shape == (4, 5)


def test_runs_for_another_size_are_refused() -> None:
    rle = {"size": [3, 2], "counts": [0, 6]}
    assert rle_size_hw(rle) == (3, 2)
    assert rle_size_hw(square(0, 0, 1)) is None
    with pytest.raises(DataError, match=r"\(3, 2\) pixels does not fit an image of \(2, 3\)"):
        draw_labels([Outline(1, False, rle)], size_hw=(2, 3))


def test_an_outline_between_pixels_is_an_empty_instance() -> None:
    thin = [[1.6, 0, 1.9, 0, 1.9, 3, 1.6, 3]]
    truth = draw_instances([Outline(1, False, square(0, 0, 1)), Outline(3, False, thin)], size_hw=(3, 5))
    assert truth.keys.tolist() == [0, 2]
    assert truth.masks.sum(axis=(1, 2)).tolist() == [1, 0]


def test_an_instance_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match="an outline cannot be drawn"):
        draw_instances([Outline(1, False, None)], size_hw=(3, 5))
