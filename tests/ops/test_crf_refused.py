"""What the CRF refuses: energies, images, kernels and labels that fit nothing, each said in a line."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ops.crf_case import draw_energies, draw_image, run
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.crf import dense_crf, label_energies, refine_labels


@pytest.mark.parametrize(
    "unary",
    [
        np.zeros((2, 4, 5), np.float32),
        np.zeros((2, 5), np.float32),
        np.zeros((0, 5, 4), np.float32),
        np.zeros((256, 5, 4), np.float32),
        np.zeros((2, 5, 4), np.int64),
    ],
)
def test_energies_that_do_not_fit_the_image_are_refused(unary: NDArray[np.generic]) -> None:
    with pytest.raises(
        ShapeError, match=r"expected float energies \(L, 5, 4\), the image's size, of 1 to 255 labels, got"
    ):
        run(draw_image(5, 4), unary)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_energies_that_are_not_energies_are_refused(value: float) -> None:
    unary = draw_energies(3, 5, 4)
    unary[1, 2, 3] = value
    with pytest.raises(ShapeError, match="energies must not be NaN or minus infinity"):
        run(draw_image(5, 4), unary)


def test_energies_beyond_float32_are_refused() -> None:
    with pytest.raises(ShapeError, match="must fit float32"):
        run(draw_image(5, 4), np.full((2, 5, 4), 1e39))


def test_pixel_without_a_possible_label_is_refused() -> None:
    unary = draw_energies(3, 5, 4)
    unary[:, 4, 0] = np.inf
    with pytest.raises(ShapeError, match="nor infinite for every label of a pixel"):
        run(draw_image(5, 4), unary)


@pytest.mark.parametrize("image", [np.zeros((5, 4), np.uint8), np.zeros((5, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_images_of_another_kind_are_refused(image: NDArray[np.generic]) -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        run(image, np.zeros((2, *image.shape[:2]), np.float32))


@pytest.mark.parametrize(
    ("gaussian", "bilateral", "message"),
    [
        ((0, 3), (50, 5, 10), r"gaussian: expected \(sxy, weight\) with widths of at least 0.01 .* got \(0, 3\)"),
        ((3, -1), (50, 5, 10), "weight of 0 or more"),
        ((3, 3, 3), (50, 5, 10), "gaussian: expected"),
        ((3, 3), (50, 0.001, 10), r"bilateral: expected \(sxy, srgb, weight\)"),
        ((3, 3), (50, np.nan, 10), "bilateral: expected"),
        ((3, 3), (np.inf, 5, 10), "bilateral: expected"),
        ((3, 3), (50, 10), "bilateral: expected"),
        ((), (50, 5, 10), r"gaussian: expected \(sxy, weight\) .* got \(\)"),
    ],
)
def test_kernels_out_of_range_are_refused(
    gaussian: tuple[float, float], bilateral: tuple[float, float, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dense_crf(draw_image(5, 4), np.zeros((2, 5, 4), np.float32), gaussian=gaussian, bilateral=bilateral)


def test_negative_number_of_iterations_is_refused() -> None:
    with pytest.raises(ConfigError, match="iterations: expected 0 or more, got -1"):
        run(draw_image(5, 4), np.zeros((2, 5, 4), np.float32), iterations=-1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, 3]]), r"expected labels 0\.\.2, got \[3\]; the CRF knows no ignored pixels"),
        (np.array([[-1, 0]]), r"expected labels 0\.\.2, got \[-1\]"),
        (np.array([[255, 0]], np.uint8), r"got \[255\]"),
        (np.array([[0, 1, 2]]), r"expected whole labels \(1, 2\), the image's size, got int64 \(1, 3\)"),
        (np.array([0, 1]), r"got int64 \(2,\)"),
        (np.array([[0.0, 1.0]]), "got float64"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        refine_labels(draw_image(1, 2), labels, num_labels=3)


def test_single_label_is_checked_too() -> None:
    with pytest.raises(ShapeError, match=r"expected labels 0\.\.0, got \[1\]"):
        refine_labels(draw_image(1, 2), np.array([[0, 1]]), num_labels=1)


@pytest.mark.parametrize("num_labels", [0, 256])
def test_impossible_numbers_of_labels_are_refused(num_labels: int) -> None:
    with pytest.raises(ShapeError, match=f"expected 1 to 255 labels with the background, got {num_labels}"):
        refine_labels(draw_image(1, 2), np.zeros((1, 2), np.uint8), num_labels=num_labels)


def test_energies_of_no_pixels_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected labels of at least 1 x 1 px, got \(0, 3\)"):
        label_energies(np.zeros((0, 3), np.uint8), num_labels=2)


def test_energies_of_a_single_label_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected 2 labels or more"):
        label_energies(np.zeros((1, 2), np.uint8), num_labels=1)


@pytest.mark.parametrize("certainty", [0.0, 1.0, -0.5, np.nan])
def test_certainty_out_of_range_is_refused(certainty: float) -> None:
    with pytest.raises(ConfigError, match="certainty: expected a probability between 0 and 1, both excluded"):
        refine_labels(draw_image(1, 2), np.zeros((1, 2), np.uint8), num_labels=2, certainty=certainty)
