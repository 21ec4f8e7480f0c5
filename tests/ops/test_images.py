import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.images import limit_side, normalise, resize_image, scaled_size_hw


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)


def test_black_and_white_are_normalised_per_channel() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    pixels = normalise(image)
    assert pixels.shape == (3, 1, 2)
    assert pixels.dtype == torch.float32
    expected = [[-0.485 / 0.229, 0.515 / 0.229], [-0.456 / 0.224, 0.544 / 0.224], [-0.406 / 0.225, 0.594 / 0.225]]
    torch.testing.assert_close(pixels[:, 0], torch.tensor(expected))


def test_rows_and_columns_keep_their_places(image: NDArray[np.uint8]) -> None:
    pixels = normalise(image)
    assert pixels[1, 4, 7].item() == pytest.approx((image[4, 7, 1] / 255 - 0.456) / 0.224, rel=1e-5)
    assert pixels.is_contiguous()


def test_mirrored_views_are_accepted_and_nothing_is_modified(image: NDArray[np.uint8]) -> None:
    before = image.copy()
    assert torch.equal(normalise(image[:, ::-1]), normalise(image).flip(2))
    resize_image(image, (5, 6))
    assert np.array_equal(image, before)


# The images of the recorded values: 75 and 110 px.
@pytest.mark.parametrize(
    ("scale", "size_hw"), [(1.0, (75, 110)), (0.5, (38, 55)), (1.5, (112, 165)), (2.0, (150, 220)), (0.001, (1, 1))]
)
def test_scaled_sizes_round_half_to_even(scale: float, size_hw: tuple[int, int]) -> None:
    assert scaled_size_hw((75, 110), scale) == size_hw


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0.01, 4))
def test_scaled_sizes_are_within_half_a_pixel(height: int, width: int, scale: float) -> None:
    scaled = scaled_size_hw((height, width), scale)
    assert scaled[0] == 1 or abs(scaled[0] - height * scale) <= 0.5
    assert scaled[1] == 1 or abs(scaled[1] - width * scale) <= 0.5


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_that_is_no_factor_is_refused(scale: float) -> None:
    with pytest.raises(ShapeError, match="finite factor above 0"):
        scaled_size_hw((10, 10), scale)


def test_resized_image_has_the_size_asked_for(image: NDArray[np.uint8]) -> None:
    resized = resize_image(image, (30, 8))
    assert resized.shape == (30, 8, 3)
    assert resized.dtype == np.uint8


def test_flat_image_stays_flat_when_resized() -> None:
    image = np.full((9, 5, 3), (10, 120, 250), np.uint8)
    assert (resize_image(image, (20, 3)) == (10, 120, 250)).all()


def test_shrinking_averages_instead_of_skipping() -> None:
    image = np.zeros((8, 64, 3), np.uint8)
    image[:, ::2] = 200
    assert abs(int(resize_image(image, (8, 8))[4, 4, 0]) - 100) <= 2


def test_enlarging_is_cubic_and_overshoots_at_an_edge() -> None:
    image = np.full((4, 8, 3), 100, np.uint8)
    image[:, 4:] = 150
    assert resize_image(image, (8, 16)).min() < 100


def test_unchanged_size_gives_the_image_itself(image: NDArray[np.uint8]) -> None:
    assert resize_image(image, (13, 21)) is image


def test_size_below_one_pixel_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match="1 x 1 pixel or more, got 0 x 5"):
        resize_image(image, (0, 5))


@pytest.mark.parametrize("wrong", [np.zeros((4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8), np.zeros((4, 5, 3))])
def test_other_layouts_and_dtypes_are_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        normalise(wrong)
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        resize_image(wrong, (2, 2))


def test_longer_side_is_limited_and_the_ratio_kept(image: NDArray[np.uint8]) -> None:
    assert limit_side(image, 10).shape == (6, 10, 3)
    assert limit_side(image.transpose(1, 0, 2), 10).shape == (10, 6, 3)


def test_small_enough_images_are_left_alone(image: NDArray[np.uint8]) -> None:
    assert limit_side(image, 21) is image
    assert limit_side(image, None) is image
