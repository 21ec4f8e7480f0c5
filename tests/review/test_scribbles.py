import numpy as np
import pytest

from weakseg.errors import ShapeError
from weakseg.review.patches import find_patches
from weakseg.review.scribbles import NO_STROKE, StrokeSpreader

HEIGHT, WIDTH = 60, 90


def two_halves() -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, 50:] = (200, 180, 20)
    return image


@pytest.mark.slow
@pytest.mark.parametrize("old", [0, 255])
def test_a_stroke_spreads_to_the_edge_and_no_farther(old: int) -> None:
    image, labels = two_halves(), np.full((HEIGHT, WIDTH), old, np.uint8)
    strokes = np.full((HEIGHT, WIDTH), NO_STROKE, np.uint8)
    strokes[10:50, 52:54], strokes[10:50, 46:48] = 3, 0
    kept = [array.copy() for array in (image, labels, strokes)]
    spread = StrokeSpreader().spread("a", image, labels, strokes)
    assert (spread[20:40, 51:56] == 3).all()
    assert (spread[:, :49] != 3).all()
    assert (spread[strokes != NO_STROKE] == strokes[strokes != NO_STROKE]).all()
    for array, before in zip((image, labels, strokes), kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.slow
def test_large_images_keep_their_fine_borders_where_nothing_was_said() -> None:
    image = np.kron(two_halves(), np.ones((10, 10, 1), np.uint8))
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[1:21:2, :20] = 1
    strokes = np.full(labels.shape, NO_STROKE, np.uint8)
    strokes[300, 600:640] = 2
    spread = StrokeSpreader().spread("a", image, labels, strokes)
    assert spread.shape == labels.shape
    assert (spread[300, 600:640] == 2).all()
    np.testing.assert_array_equal(spread[:50, :50], labels[:50, :50])


def test_without_strokes_nothing_changes() -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    strokes = np.full((2, 3), NO_STROKE, np.uint8)
    spread = StrokeSpreader().spread("a", np.zeros((2, 3, 3), np.uint8), labels, strokes)
    np.testing.assert_array_equal(spread, labels)
    assert spread is not labels
    with pytest.raises(ShapeError, match="expected one size"):
        StrokeSpreader().spread("a", np.zeros((2, 4, 3), np.uint8), labels, strokes)


@pytest.mark.parametrize(
    ("size_hw", "patches"), [((60, 90), (3, 16)), ((1, 1), (1, 1)), ((3, 50), (1, 3)), ((90, 1300), (30, 90))]
)
def test_patches_are_numbered_without_gaps(size_hw: tuple[int, int], patches: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    found = find_patches(image)
    assert (found.shape, found.dtype) == (size_hw, np.uint16)
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    assert patches[0] <= found.max() + 1 <= patches[1]


def test_a_patch_does_not_cross_an_edge() -> None:
    found = find_patches(two_halves())
    assert not set(found[:, :49].ravel()) & set(found[:, 51:].ravel())  # it looks at a blurred copy
    with pytest.raises(ShapeError):
        find_patches(np.zeros((4, 4), np.uint8))
