import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.compiled import Team
from weakseg.ops.lattice import LANES, Lattice
from weakseg.ops.lattice_build import axis_scales

Array = NDArray[np.float32]


def draw_points(num_features: int, num_points: int, *, spread: float = 3.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0, spread, (num_features, num_points)).astype(np.float32)


def draw_values(num_points: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).random((num_points, LANES), dtype=np.float32)


def filter_values(features: Array, values: Array, *, num_threads: int = 1) -> Array:
    result = np.zeros_like(values)
    with Team(num_threads) as team:
        lattice = Lattice(features, team)
        lattice.add_filtered(values, 1.0, result, buffers=lattice.make_buffers(), team=team)
    return result


def find_simplex(point: Array) -> list[tuple[tuple[int, ...], float]]:
    """Return the vertices around a point, with all d+1 coordinates, and their weights, as Adams et al. define them."""
    d = len(point)
    step = np.float32(d + 1)
    scaled = point * axis_scales(d)
    above, coordinates = np.float32(0), [np.float32(0)] * (d + 1)
    for i in range(d, 0, -1):
        coordinates[i] = above - np.float32(i) * scaled[i - 1]
        above += scaled[i - 1]
    coordinates[0] = above
    nearest = [int(np.floor(x / step + np.float32(0.5))) * (d + 1) for x in coordinates]
    residuals = [x - np.float32(n) for x, n in zip(coordinates, nearest, strict=True)]
    while sum(nearest):
        up = sum(nearest) < 0
        i = (int(np.argmax(residuals))) if up else d - int(np.argmin(residuals[::-1]))
        nearest[i] += (d + 1) if up else -(d + 1)
        residuals[i] += -step if up else step
    order = sorted(range(d + 1), key=lambda i: -residuals[i])
    vertices = []
    for remainder in range(d + 1):
        vertex = [n + remainder for n in nearest]
        for i in order[d + 1 - remainder :]:
            vertex[i] -= d + 1
        high, low = residuals[order[(d - remainder)]], residuals[order[(d + 1 - remainder) % (d + 1)]]
        vertices.append((tuple(vertex), float(high - low) / (d + 1) + (remainder == 0)))
    return vertices


def filter_literally(features: Array, values: Array) -> NDArray[np.float64]:
    """Splat, blur and slice with dictionaries of whole coordinates, in which nothing can overflow."""
    d = len(features)
    simplices = [find_simplex(point) for point in features.T]
    known: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for simplex, value in zip(simplices, values.astype(np.float64), strict=True):
        for vertex, weight in simplex:
            known[vertex] = known.get(vertex, np.zeros(LANES)) + weight * value
    zero = np.zeros(LANES)
    for direction in range(d + 1):
        step = [1 - (d + 1) * (i == direction) for i in range(d + 1)]
        known = {
            vertex: value
            + 0.5 * known.get(tuple(a + b for a, b in zip(vertex, step, strict=True)), zero)
            + 0.5 * known.get(tuple(a - b for a, b in zip(vertex, step, strict=True)), zero)
            for vertex, value in known.items()
        }
    return np.array([sum(weight * known[vertex] for vertex, weight in simplex) for simplex in simplices])


def test_single_point_in_one_dimension_by_hand() -> None:
    # The point is a vertex; its simplex has one more, of weight 0. Both directions of the lattice run along the line:
    # (1, 0) -> (1, 0.5) -> (1.25, 1).
    values = np.array([[1.0, 2.0, 0.0, -4.0]], np.float32)
    assert filter_values(np.zeros((1, 1), np.float32), values).tolist() == [[1.25, 2.5, 0.0, -5.0]]


@pytest.mark.parametrize("num_features", [1, 2, 3, 5])
@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
def test_it_is_the_filter_of_plain_dictionaries(num_features: int, spread: float) -> None:
    features, values = draw_points(num_features, 157, spread=spread), draw_values(157)
    before = features.copy(), values.copy()
    np.testing.assert_allclose(
        filter_values(features, values), filter_literally(features, values), rtol=2e-5, atol=1e-5
    )
    assert np.array_equal(features, before[0])
    assert np.array_equal(values, before[1])


@pytest.mark.slow
def test_points_on_faces_touch_the_same_vertices() -> None:
    # Whole positions and equal colours, as images have them: many points lie on faces, and ties decide.
    grid = np.array(list(itertools.product(range(9), range(7)))).T.astype(np.float32)
    for features in (grid, np.concatenate([grid / 3, np.zeros((3, 63), np.float32)])):
        values = draw_values(63)
        np.testing.assert_allclose(filter_values(features, values), filter_literally(features, values), rtol=2e-5)


def test_positions_of_a_large_image_do_not_run_into_each_other() -> None:
    # 4000 x 4000 px under the narrowest kernels in use: every corner of the box of features and its surroundings.
    extent = np.array([4000, 4000, 255, 255, 255], np.float32)
    corners = np.array(list(itertools.product((0, 1), repeat=5)), np.float32) * extent
    cloud = np.random.default_rng(2).uniform(0, 1, (8, 5)).astype(np.float32) * 3
    for num_features in (2, 5):
        points = (corners[:, None] + cloud).reshape(-1, 5)[:, :num_features].T.copy()
        values = draw_values(points.shape[1])
        np.testing.assert_allclose(
            filter_values(points, values), filter_literally(points, values), rtol=1e-4, atol=1e-4
        )


def test_features_that_range_too_widely_are_refused() -> None:
    features = np.array([[0, 1e9], [0, 1e9], [0, 1e9]], np.float32)
    with Team(1) as team, pytest.raises(ConfigError, match=r"range over \[1000000000\.0, .* make it wider"):
        Lattice(features, team)


@pytest.mark.slow
@pytest.mark.parametrize(("num_features", "tolerance"), [(1, 0.02), (2, 0.025), (5, 0.03)])
def test_normalised_filter_is_near_the_gaussian(num_features: int, tolerance: float) -> None:
    features = draw_points(num_features, 3000, spread=4.0)
    values = np.cos(features.sum(axis=0))[:, None] * np.ones(LANES, np.float32)
    distances = ((features[:, :, None] - features[:, None]) ** 2).sum(axis=0)
    kernel = np.exp(-distances / 2)
    exact = kernel @ values / kernel.sum(axis=1, keepdims=True)
    found = filter_values(features, values) / filter_values(features, np.ones_like(values))
    assert np.abs(found - exact).mean() < tolerance


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5]))
@settings(max_examples=20, deadline=None)
def test_order_of_the_points_does_not_matter(seed: int, num_features: int) -> None:
    features, values = draw_points(num_features, 61, seed=seed), draw_values(61, seed=seed)
    order = np.random.default_rng(seed).permutation(61)
    shuffled = filter_values(np.ascontiguousarray(features[:, order]), values[order])
    np.testing.assert_allclose(shuffled, filter_values(features, values)[order], rtol=1e-4)


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_it_is_linear(seed: int, factor: float) -> None:
    features, values, more = draw_points(2, 41, seed=seed), draw_values(41, seed=seed), draw_values(41, seed=seed + 1)
    mixed = filter_values(features, (values + factor * more).astype(np.float32))
    np.testing.assert_allclose(
        mixed, filter_values(features, values) + factor * filter_values(features, more), rtol=1e-3, atol=1e-4
    )


def test_every_lane_is_filtered_alike() -> None:
    features, values = draw_points(5, 99), np.repeat(draw_values(99)[:, :1], LANES, axis=1)
    found = filter_values(features, values)
    assert np.array_equal(found, np.repeat(found[:, :1], LANES, axis=1))


def test_equal_points_get_equal_values() -> None:
    features = np.repeat(draw_points(5, 13), 4, axis=1)
    found = filter_values(features, draw_values(52)).reshape(13, 4, LANES)
    assert np.array_equal(found, np.repeat(found[:, :1], 4, axis=1))


def test_number_of_threads_does_not_change_a_bit() -> None:
    features, values = draw_points(5, 20_001, spread=6.0), draw_values(20_001)
    alone = filter_values(features, values)
    for num_threads in (2, 3, 4):
        assert np.array_equal(filter_values(features, values, num_threads=num_threads), alone)


def test_factors_apply_before_and_after() -> None:
    features, values, factors = draw_points(3, 77), draw_values(77), draw_values(77)[:, 0].copy()
    expected = factors[:, None] * filter_values(features, factors[:, None] * values)
    result = np.zeros_like(values)
    with Team(1) as team:
        lattice = Lattice(features, team)
        lattice.scale_points(factors, team)
        lattice.add_filtered(values, 1.0, result, buffers=lattice.make_buffers(), team=team)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_result_is_added_with_its_weight_and_buffers_can_be_used_again() -> None:
    features, values = draw_points(2, 50), draw_values(50)
    once = filter_values(features, values)
    result = np.ones_like(values)
    with Team(1) as team:
        lattice = Lattice(features, team)
        buffers = lattice.make_buffers()
        lattice.add_filtered(values, 2.0, result, buffers=buffers, team=team)
        lattice.add_filtered(values, 0.5, result, buffers=buffers, team=team)
    np.testing.assert_allclose(result, 1 + 2.5 * once, rtol=1e-5)


@pytest.mark.parametrize("num_points", [1, 2, 5])
def test_few_points_make_the_table_grow(num_points: int) -> None:
    features, values = draw_points(5, num_points, spread=50.0), draw_values(num_points)
    with Team(1) as team:
        assert Lattice(features, team).num_vertices >= 6
    np.testing.assert_allclose(filter_values(features, values), filter_literally(features, values), rtol=1e-5)
