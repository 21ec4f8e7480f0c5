"""The CRF's marginals and labels: as recorded, near exact mean field, alike in any layout and number of threads."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.golden_weights import GOLDEN
from tests.ops.crf_case import BILATERAL, GAUSSIAN, draw_energies, draw_image, run
from weakseg.ops.crf import DenseCRF, dense_crf, label_energies, refine_labels

MARGINAL_TOLERANCE = 2e-3
"""The recordings are stored as float16."""

LABEL_AGREEMENT = 0.9995


def softmax(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    shares = np.exp(scores - scores.max(axis=0))
    return shares / shares.sum(axis=0)


def infer_exactly(image: NDArray[np.uint8], unary: NDArray[np.floating], iterations: int) -> NDArray[np.floating]:
    """Mean field with dense kernel matrices."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    place = np.stack([x, y]).astype(np.float64)
    colour = image.reshape(-1, 3).T.astype(np.float64)
    total = np.zeros((height * width, height * width))
    for features, weight in (
        (place / GAUSSIAN[0], GAUSSIAN[1]),
        (np.concatenate([place / BILATERAL[0], colour / BILATERAL[1]]), BILATERAL[2]),
    ):
        kernel = np.exp(-((features[:, :, None] - features[:, None]) ** 2).sum(axis=0) / 2)
        scale = 1 / np.sqrt(kernel.sum(axis=1))
        total += weight * scale[:, None] * kernel * scale
    evidence = -unary.reshape(len(unary), -1).astype(np.float64)
    marginals = softmax(evidence)
    for _ in range(iterations):
        marginals = softmax(evidence + marginals @ total)
    return marginals.reshape(unary.shape)


def compare_marginals(found: NDArray[np.float32], recorded: NDArray[np.float16]) -> None:
    # The photograph's marginals are kept at every second row and column.
    step = found.shape[1] // recorded.shape[1]
    np.testing.assert_allclose(found[:, ::step, ::step], recorded.astype(np.float32), atol=MARGINAL_TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["crf_smooth", "crf_photo"])
def test_label_refinement_is_the_recorded_one(name: str) -> None:
    golden = np.load(GOLDEN / f"{name}.npz")
    image, labels = golden["image_rgb"], golden["labels"]
    unary = label_energies(labels, num_labels=3)
    crf = DenseCRF(image, gaussian=GAUSSIAN, bilateral=BILATERAL)
    compare_marginals(crf.infer(unary), golden["label_marginals"])
    refined = refine_labels(image, labels, num_labels=3)
    assert refined.dtype == np.uint8
    assert (refined == golden["label_result"]).mean() >= LABEL_AGREEMENT
    assert np.array_equal(crf.refine(labels, num_labels=3), refined)


@pytest.mark.parametrize("name", ["crf_smooth", "crf_photo"])
@pytest.mark.parametrize(
    ("marginals", "gaussian", "bilateral"),
    [("softmax_marginals", (3, 3), (80, 13, 10)), ("deeplab_marginals", (1, 3), (67, 3, 4))],
)
def test_marginals_of_probabilities_are_the_recorded_ones(
    name: str, marginals: str, gaussian: tuple[float, float], bilateral: tuple[float, float, float]
) -> None:
    golden = np.load(GOLDEN / f"{name}.npz")
    unary = -np.log(golden["probabilities"])
    found = dense_crf(golden["image_rgb"], unary, gaussian=gaussian, bilateral=bilateral)
    assert found.dtype == np.float32
    assert found.shape == unary.shape
    compare_marginals(found, golden[marginals])


def test_it_is_near_mean_field_with_exact_kernels() -> None:
    # Two flat halves, with noise in image and energies: 21 x 30 pixels.
    rng = np.random.default_rng(3)
    left = np.arange(30) < 13
    image = np.where(left[None, :, None], 80, 110) + rng.integers(-3, 4, (21, 30, 3))
    unary = np.stack([~left * np.ones((21, 1)), left * np.ones((21, 1))]) + rng.normal(0, 1, (2, 21, 30))
    exact = infer_exactly(image, unary, iterations=5)
    found = run(image.astype(np.uint8), unary, iterations=5)
    assert np.abs(found - exact).mean() < 0.02
    assert np.array_equal(found.argmax(axis=0), exact.argmax(axis=0))
    assert (found.argmax(axis=0) == np.where(left, 0, 1)).all()
    assert (unary.argmin(axis=0) != np.where(left, 0, 1)).mean() > 0.2


def test_without_iterations_marginals_are_those_of_the_energies() -> None:
    unary = draw_energies(3, 5, 7)
    np.testing.assert_allclose(run(draw_image(5, 7), unary, iterations=0), softmax(-unary), rtol=1e-5)


def test_kernels_without_weight_leave_the_energies_alone() -> None:
    unary = draw_energies(3, 5, 7)
    found = dense_crf(draw_image(5, 7), unary, gaussian=(3, 0), bilateral=(50, 5, 0))
    np.testing.assert_allclose(found, softmax(-unary), rtol=1e-5)


def test_pixel_alone_is_pulled_towards_what_it_says() -> None:
    # One pixel is its own neighbourhood, of weight 1 after normalisation: q' = softmax(-u + (3 + 10) q).
    unary = np.array([[[0.0]], [[0.1]]], np.float32)
    expected = softmax(-unary)
    for _ in range(2):
        expected = softmax(-unary + 13 * expected)
    np.testing.assert_allclose(run(draw_image(1, 1), unary, iterations=2), expected, rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_marginals_are_probabilities_and_labels_are_all_alike(
    seed: int, num_labels: int, height: int, width: int
) -> None:
    image, unary = draw_image(height, width, seed), draw_energies(num_labels, height, width, seed)
    found = run(image, unary)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-5)
    order = np.random.default_rng(seed).permutation(num_labels)
    np.testing.assert_allclose(run(image, unary[order]), found[order], atol=1e-3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_constants_per_pixel_do_not_matter(seed: int) -> None:
    image, unary = draw_image(6, 5, seed), draw_energies(3, 6, 5, seed)
    shift = np.random.default_rng(seed).integers(-3, 4, (6, 5)).astype(np.float32)
    np.testing.assert_allclose(run(image, unary + shift), run(image, unary), atol=1e-3)


@pytest.mark.parametrize("num_labels", [2, 4, 5, 21, 255])
def test_equal_energies_stay_equal(num_labels: int) -> None:
    found = run(draw_image(5, 6), np.zeros((num_labels, 5, 6), np.float32))
    np.testing.assert_allclose(found, 1 / num_labels, rtol=1e-5)


@pytest.mark.parametrize("num_more", [1, 2, 6])
def test_labels_that_are_ruled_out_change_nothing(num_more: int) -> None:
    image, unary = draw_image(9, 11), draw_energies(3, 9, 11)
    ruled_out = np.full((num_more, 9, 11), np.inf, np.float32)
    found = run(image, np.concatenate([ruled_out, unary]))
    assert not found[:num_more].any()
    np.testing.assert_allclose(found[num_more:], run(image, unary), atol=1e-5)


def test_single_label_is_certain() -> None:
    found = run(draw_image(4, 6), draw_energies(1, 4, 6))
    assert found.dtype == np.float32
    assert (found == 1).all()
    assert found.shape == (1, 4, 6)


def test_single_label_is_everywhere() -> None:
    refined = refine_labels(draw_image(4, 6), np.zeros((4, 6), np.int64), num_labels=1)
    assert refined.dtype == np.uint8
    assert refined.tolist() == [[0] * 6] * 4


def test_label_255_can_win() -> None:
    labels = np.full((5, 7), 254, np.uint8)
    assert (refine_labels(draw_image(5, 7), labels, num_labels=255) == 254).all()


def test_energies_of_labels_are_logarithms() -> None:
    energies = label_energies(np.array([[0, 2]], np.int32), num_labels=3, certainty=0.8)
    expected = -np.log([[[0.8, 0.1]], [[0.1, 0.1]], [[0.1, 0.8]]])
    np.testing.assert_allclose(energies, expected, rtol=1e-6)
    assert energies.dtype == np.float32


def test_far_end_of_a_wide_image_is_treated_like_the_near_end() -> None:
    unary = np.zeros((2, 2, 4000), np.float32)
    unary[1, :, :6] = unary[1, :, -6:] = 1.5
    found = dense_crf(np.zeros((2, 4000, 3), np.uint8), unary, gaussian=(1, 3), bilateral=(67, 3, 4))
    # The lattice lies differently there, and neither end is exact.
    np.testing.assert_allclose(found[:, :, :6], found[:, :, :-7:-1], atol=0.02)
    assert (found[0, :, :6] > 0.9).all()


def test_inputs_of_any_layout_are_left_as_they_are() -> None:
    image, unary = draw_image(8, 6), draw_energies(3, 8, 6)
    expected = run(image, unary)
    turned_image, turned = image.transpose(1, 0, 2)[::-1].copy()[::-1].transpose(1, 0, 2), unary.astype(np.float64)
    turned = np.asfortranarray(turned)
    for array in (turned_image, turned):
        array.flags.writeable = False
    assert not turned_image.flags.c_contiguous
    assert np.array_equal(run(turned_image, turned), expected)
    before = image.copy(), unary.copy()
    run(image, unary)
    assert np.array_equal(image, before[0])
    assert np.array_equal(unary, before[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_dtype_are_refined_alike(dtype: type[np.integer]) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (9, 7)).astype(dtype)
    before = labels.copy()
    refined = refine_labels(draw_image(9, 7), labels, num_labels=3)
    assert np.array_equal(refined, refine_labels(draw_image(9, 7), before.astype(np.uint8), num_labels=3))
    assert np.array_equal(labels, before)


@pytest.mark.slow
def test_number_of_threads_does_not_change_a_bit() -> None:
    image, unary = draw_image(113, 151), draw_energies(5, 113, 151)
    alone = run(image, unary)
    for num_threads in (2, 3, 5):
        assert np.array_equal(run(image, unary, num_threads=num_threads), alone)


def test_one_crf_serves_several_threads_at_once() -> None:
    crf = DenseCRF(draw_image(97, 101), gaussian=GAUSSIAN, bilateral=BILATERAL, num_threads=2)
    energies = [draw_energies(3, 97, 101, seed) for seed in range(4)]
    expected = [crf.infer(unary, iterations=2) for unary in energies]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda unary: crf.infer(unary, iterations=2), energies))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_it_works_in_a_process_forked_after_use() -> None:
    image, unary = draw_image(97, 101), draw_energies(3, 97, 101)
    expected = run(image, unary, num_threads=2)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(np.array_equal(run(image, unary, num_threads=2), expected)))
    child.start()
    child.join(60)
    alive = child.is_alive()
    child.kill()
    assert not alive
    assert child.exitcode == 0
    assert answers.get()
