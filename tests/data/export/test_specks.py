import numpy as np
import pytest

from weakseg.data.export.specks import Specks, choose_min_area

X = 255


@pytest.mark.parametrize(
    ("size_hw", "area"),
    [((28, 28), 4), ((128, 128), 16), ((100, 333), 33), ((480, 640), 64), ((3000, 4000), 64), ((1, 1), 4)],
)
def test_a_thousandth_of_the_image_is_needed_but_never_much(size_hw: tuple[int, int], area: int) -> None:
    assert choose_min_area(size_hw) == area
    assert Specks(None).min_area(size_hw) == area


@pytest.mark.parametrize(
    ("labels", "cleared"),
    [
        ([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 2]], [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        ([[1, 0, 1, 0, 2, 2], [0, 1, 0, 0, 0, 2]], [[1, 0, 1, 0, 2, 2], [0, 1, 0, 0, 0, 2]]),  # corners connect
        ([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 1, 1]], [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]),  # no hole stays
        ([[X, X, 1, X], [X, X, X, X]], [[X, X, X, X], [X, X, X, X]]),
        ([[1, 2], [3, 4]], [[0, 0], [0, 0]]),  # nothing else is there
    ],
)
def test_parts_of_fewer_than_three_pixels_take_the_label_around_them(
    labels: list[list[int]], cleared: list[list[int]]
) -> None:
    given = np.array(labels, np.uint8)
    found = Specks(3).clear(given)
    assert found.dtype == np.uint8
    assert found.tolist() == cleared
    assert given.tolist() == labels, "the map itself is left alone"


@pytest.mark.parametrize("min_area_px", [0, 1])
def test_every_part_may_be_kept(min_area_px: int) -> None:
    labels = np.eye(5, 7, dtype=np.uint8)
    specks = Specks(min_area_px)
    assert specks.clear(labels) is labels
    assert specks.notes() == []


def test_what_is_left_out_is_counted() -> None:
    specks = Specks(None)
    small, large = np.zeros((50, 40), np.uint8), np.zeros((200, 300), np.uint8)
    small[0, 0], small[5:9, 5:9], large[0, :20], large[100:, :] = 1, 2, 1, 3
    specks.clear(small)
    specks.clear(large)
    assert specks.keeps(large > 0)
    assert not specks.keeps(small == 1)
    assert specks.notes() == [
        "3 of 6 parts are specks of fewer than 4 to 60 pixels, by the image's size, and left out; "
        "--min-area-px 0 keeps them"
    ]
