import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refine.threshold.cutting import make_cuts, square
from weakseg.errors import ShapeError
from weakseg.refine.threshold.colour import colour_information, score_colours


def paint(labels: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> np.ndarray:
    image = np.zeros((*labels.shape, 3), np.uint8)
    for label, colour in colours.items():
        image[labels == label] = colour
    return image


def test_the_value_of_four_pixels_is_what_hand_counting_gives() -> None:
    # Label: half and half, 1 bit. Red pixels have labels 1, 1, 0, blue ones 0. With the whole image as one more pixel a
    # red pixel of label 1 is guessed with (1 + 1/2) / 3, that of label 0 with (0 + 1/2) / 3, the blue one with 1/2.
    image = np.array([[[255, 0, 0], [255, 0, 0]], [[255, 0, 0], [0, 0, 255]]], np.uint8)
    labels = np.array([[1, 1], [0, 0]], np.uint8)
    left = (2 * np.log2(1 / 2) + np.log2(1 / 6) + np.log2(1 / 2)) / 4
    assert colour_information(image, labels) == pytest.approx(1 + left)


def test_labels_that_follow_the_colour_are_known_up_to_the_first_guess() -> None:
    labels = square((20, 30), 5)
    image = paint(labels, {0: (10, 20, 30), 1: (200, 100, 0)})
    share = labels.mean()
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    found = colour_information(image, labels)
    assert entropy - 0.01 < found < entropy


def test_one_colour_and_one_label_tell_nothing() -> None:
    labels = square((11, 13), 3)
    grey = np.full((11, 13, 3), 90, np.uint8)
    assert colour_information(grey, labels) == pytest.approx(0, abs=0.02)
    noise = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    for label in (0, 1, 80, 254):
        assert colour_information(noise, np.full((11, 13), label, np.uint8)) == 0


def test_noise_gets_no_credit_for_its_many_colours() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert colour_information(noise, square((40, 50), 12)) < 0.02


def test_the_mask_that_covers_the_object_wins() -> None:
    truth = square((33, 41), 10)
    image = paint(truth, {0: (40, 160, 60), 1: (200, 60, 40)})
    noise = np.random.default_rng(2).integers(-15, 16, image.shape)
    image = (image + noise).astype(np.uint8)
    masks = [square((33, 41), margin) for margin in (0, 4, 7, 10, 13, 16)]
    assert score_colours(make_cuts(image, masks)).argmax() == 3


def test_which_class_the_foreground_has_is_left_aside() -> None:
    image = np.random.default_rng(3).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    mask = square((9, 8), 2)
    split = mask.copy()
    split[:, 4:] *= 7
    one, other = score_colours(make_cuts(image, [mask, split]))
    assert one == other
    assert one == colour_information(image, mask)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_laws(seed: int, height: int, width: int, num_labels: int) -> None:
    """Bounded by the labels' entropy; blind to the names of labels, to the order of pixels and of channels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = rng.integers(0, num_labels, (height, width), dtype=np.uint8)
    before = image.copy(), labels.copy()
    found = colour_information(image, labels)
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])
    shares = np.bincount(labels.ravel()) / labels.size
    shares = shares[shares > 0]
    assert found <= -(shares * np.log2(shares)).sum() + 1e-9
    assert colour_information(image, labels[::-1] * 3 + 1) == pytest.approx(
        colour_information(image[::-1], labels * 3 + 1)
    )
    assert colour_information(image[..., ::-1], 200 - labels) == pytest.approx(found)


def test_what_does_not_fit_is_named() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"expected labels \(4, 6\) uint8 like the image, got uint8 \(6, 4\)"):
        colour_information(image, np.zeros((6, 4), np.uint8))
    with pytest.raises(ShapeError, match=r"got int64 \(4, 6\)"):
        colour_information(image, np.zeros((4, 6), np.int64))
    with pytest.raises(ShapeError, match="uint8"):
        colour_information(image / 255, np.zeros((4, 6), np.uint8))
