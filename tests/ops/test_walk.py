import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.affinity import search_offsets
from weakseg.ops.walk import affinity_walk, random_walk, walk_maps

SIZES = [(1, 1), (1, 7), (6, 1), (2, 3), (5, 9), (13, 8)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def walk_densely(maps: Tensor, affinity: Tensor, *, radius: int, steps: int) -> Tensor:
    """Apply the whole matrix in float64, `steps` times."""
    height, width = maps.shape[1:]
    matrix = torch.eye(height * width, dtype=torch.float64)
    for (dy, dx), row in zip(search_offsets(radius).tolist(), affinity.double(), strict=True):
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                source, other = y * width + x, (y + dy) * width + x + dx
                matrix[source, other] = matrix[other, source] = row[y, x]
    matrix /= matrix.sum(dim=0)
    return (maps.flatten(1).double() @ torch.linalg.matrix_power(matrix, steps)).reshape(maps.shape)


def edge_affinity(edge: Tensor, *, radius: int, beta: float) -> Tensor:
    """Take the largest edge of every path inside the map, pixel by pixel."""
    height, width = edge.shape
    affinity = torch.zeros(len(search_offsets(radius)), height, width)
    for number, (dy, dx) in enumerate(search_offsets(radius).tolist()):
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                path = [
                    edge[y + i, x + j].item()
                    for i in range(dy + 1)
                    for j in range(min(0, dx), max(0, dx) + 1)
                    if (dy * j - dx * i) ** 2 < dy**2 + dx**2
                ]
                affinity[number, y, x] = (1 - max(path)) ** beta
    return affinity


def test_random_walk_is_the_recorded_one() -> None:
    golden = np.load(GOLDEN / "random_walk_irn.npz")
    maps, edge = torch.from_numpy(golden["cams"]), torch.from_numpy(golden["edge"])[0]
    walked = random_walk(maps, edge, radius=5, beta=10.0, doublings=8)
    assert walked.dtype == torch.float32
    np.testing.assert_allclose(walked, golden["propagated"], atol=5e-5)
    assert torch.equal(walked, random_walk(maps, edge))


def test_walk_along_recorded_affinities_is_the_recorded_one() -> None:
    golden = np.load(GOLDEN / "psa_affinity.npz")
    scores = torch.nn.functional.avg_pool2d(torch.from_numpy(golden["scores"]), 8)
    height, width = scores.shape[1:]
    pairs = golden["affinity"].reshape(height, width, height, width)
    affinity = torch.zeros(34, height, width)
    for number, (dy, dx) in enumerate(search_offsets(5).tolist()):
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                affinity[number, y, x] = float(pairs[y, x, y + dy, x + dx])
    walked = walk_maps(scores, affinity**8, radius=5, doublings=8)
    np.testing.assert_allclose(walked, golden["walked"], atol=5e-5)


def test_affinity_walk_joins_the_recorded_pairs() -> None:
    related = np.load(GOLDEN / "psa_affinity.npz")["affinity"] > 0
    # One step from a single pixel reaches exactly its pairs; equal features relate all pairs there are.
    maps = torch.eye(80).reshape(80, 8, 10)
    reached = affinity_walk(maps, torch.zeros(3, 8, 10), doublings=0) > 0
    np.testing.assert_array_equal(reached.flatten(1), related)


@pytest.mark.slow
@pytest.mark.parametrize("doublings", [0, 1, 3, 8])
@pytest.mark.parametrize("size_hw", SIZES)
def test_random_walk_is_that_of_the_dense_matrix(size_hw: tuple[int, int], doublings: int) -> None:
    maps, edge = draw(3, *size_hw), draw(*size_hw, seed=1) ** 2
    before = maps.clone(), edge.clone()
    walked = random_walk(maps, edge, radius=4, beta=3.0, doublings=doublings)
    affinity = edge_affinity(edge, radius=4, beta=3.0)
    expected = walk_densely(maps * (1 - edge), affinity, radius=4, steps=2**doublings)
    np.testing.assert_allclose(walked, expected, atol=3e-6)
    assert torch.equal(maps, before[0])
    assert torch.equal(edge, before[1])


@pytest.mark.parametrize("size_hw", SIZES)
def test_affinity_walk_is_that_of_the_dense_matrix(size_hw: tuple[int, int]) -> None:
    maps, features = draw(2, *size_hw), 2 * draw(5, *size_hw, seed=1)
    before = features.clone()
    affinity = torch.zeros(34, *size_hw)
    for number, (dy, dx) in enumerate(search_offsets(5).tolist()):
        for y in range(size_hw[0] - 4):
            for x in range(4, size_hw[1] - 4):
                difference = (features[:, y, x] - features[:, y + dy, x + dx]).abs().mean()
                affinity[number, y, x] = (-8 * difference).exp()
    walked = affinity_walk(maps, features)
    np.testing.assert_allclose(walked, walk_densely(maps, affinity, radius=5, steps=256), atol=3e-6)
    assert torch.equal(features, before)


def test_one_step_of_two_pixels_is_a_mean() -> None:
    walked = random_walk(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[0.0, 0.5]]), beta=2.0, doublings=0)
    # Affinity 0.25: (1 + 0.25 * 0) / 1.25 and (0 + 0.25 * 1) / 1.25.
    torch.testing.assert_close(walked, torch.tensor([[[0.8, 0.2]]]))


def test_map_is_multiplied_by_one_minus_edge_first() -> None:
    torch.testing.assert_close(random_walk(torch.ones(1, 1, 1), torch.tensor([[0.25]])), torch.full((1, 1, 1), 0.75))


def test_nothing_passes_a_closed_edge() -> None:
    maps, edge = torch.zeros(1, 7, 9), torch.zeros(7, 9)
    maps[:, :, :4] = 1
    edge[:, 4] = 1
    walked = random_walk(maps, edge)
    torch.testing.assert_close(walked, maps)


def test_pixels_across_the_border_of_a_row_are_no_pairs() -> None:
    maps = torch.zeros(1, 5, 3)
    maps[0, 1, 2] = 1
    edge = torch.ones(5, 3)
    edge[1, 2] = edge[2, 0] = 0  # neighbours in memory, two columns apart in the image
    walked = random_walk(maps, edge, radius=2)
    torch.testing.assert_close(walked, maps)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(0, 9), st.integers(0, 99))
def test_walked_maps_stay_within_their_range(height: int, width: int, radius: int, doublings: int, seed: int) -> None:
    maps = draw(2, height, width, seed=seed) - 0.3
    affinity = draw(len(search_offsets(radius)), height, width, seed=seed + 1)
    walked = walk_maps(maps, affinity, radius=radius, doublings=doublings)
    bounds = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    assert bool(((walked >= bounds[0]) & (walked <= bounds[1])).all())


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 7))
def test_one_more_doubling_is_two_walks(height: int, width: int, doublings: int) -> None:
    maps, affinity = draw(2, height, width), draw(34, height, width, seed=1) ** 3
    once = walk_maps(maps, affinity, radius=5, doublings=doublings)
    twice = walk_maps(once, affinity, radius=5, doublings=doublings)
    torch.testing.assert_close(walk_maps(maps, affinity, radius=5, doublings=doublings + 1), twice, atol=3e-6, rtol=0)


def test_maps_are_walked_independently_and_linearly() -> None:
    maps, edge = draw(80, 6, 7), draw(6, 7, seed=1)
    together = random_walk(maps, edge)
    torch.testing.assert_close(random_walk(maps[41:42], edge), together[41:42])
    torch.testing.assert_close(random_walk(maps.mean(dim=0, keepdim=True), edge), together.mean(dim=0, keepdim=True))


def test_mirrored_input_gives_the_mirrored_walk() -> None:
    maps, edge = draw(2, 9, 14), draw(9, 14, seed=1) ** 3
    walked = random_walk(maps, edge)
    for dims in ([1], [2], [1, 2]):
        mirrored = random_walk(maps.flip(dims), edge.flip([dim - 1 for dim in dims])).flip(dims)
        torch.testing.assert_close(mirrored, walked, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_long_walk_of_a_large_map_keeps_float32_exact() -> None:
    # Adding products and not differences is off by 2e-4 here.
    maps, edge = draw(1, 24, 31), draw(24, 31, seed=1) ** 3
    affinity = edge_affinity(edge, radius=5, beta=10.0)
    expected = walk_densely(maps * (1 - edge), affinity, radius=5, steps=256)
    np.testing.assert_allclose(random_walk(maps, edge), expected, atol=5e-6)


def test_long_walk_of_a_small_map_ends_at_its_mean_weighted_by_degree() -> None:
    maps, affinity = draw(1, 2, 3), draw(4, 2, 3, seed=1)
    walked = walk_maps(maps, affinity, radius=2, doublings=14)
    expected = walk_densely(maps, affinity, radius=2, steps=2**14)
    assert float(expected.max() - expected.min()) < 1e-9
    np.testing.assert_allclose(walked, expected, atol=1e-4)  # the rounding of 782 products


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 9)])
def test_no_maps_give_no_maps(size_hw: tuple[int, int]) -> None:
    maps = torch.zeros(0, *size_hw)
    for walked in (random_walk(maps, draw(*size_hw)), affinity_walk(maps, draw(4, *size_hw))):
        assert walked.shape == maps.shape
        assert walked.dtype == torch.float32


def test_radius_of_one_leaves_maps_in_place() -> None:
    maps, edge = draw(2, 3, 4), draw(3, 4, seed=1)
    torch.testing.assert_close(random_walk(maps, edge, radius=1), maps * (1 - edge))
    torch.testing.assert_close(affinity_walk(maps, draw(2, 3, 4), radius=1), maps)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_gives_float32(dtype: torch.dtype) -> None:
    maps, edge = draw(2, 5, 9).to(dtype), draw(5, 9, seed=1).to(dtype)
    walked = random_walk(maps, edge)
    assert walked.dtype == torch.float32
    torch.testing.assert_close(walked, random_walk(maps.float(), edge.float()))
    features = draw(3, 5, 9).to(dtype)
    torch.testing.assert_close(affinity_walk(maps, features), affinity_walk(maps.float(), features.float()))


def test_views_are_walked_like_copies_and_without_history() -> None:
    maps, edge = draw(2, 9, 14).transpose(1, 2).requires_grad_(), draw(9, 14, seed=1).T.requires_grad_()
    walked = random_walk(maps, edge)
    assert not walked.requires_grad
    assert torch.equal(walked, random_walk(maps.detach().contiguous(), edge.detach().contiguous()))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_maps_and_features_that_are_not_finite_are_refused(bad: float) -> None:
    maps, features = draw(1, 5, 9), draw(3, 5, 9)
    features[2, 1, 1] = bad
    with pytest.raises(ShapeError, match="features hold NaN or infinity"):
        affinity_walk(maps, features)
    maps[0, 1, 2] = bad
    with pytest.raises(ShapeError, match="maps hold NaN or infinity"):
        random_walk(maps, draw(5, 9))


@pytest.mark.parametrize("bad", [-0.1, 1.5, torch.nan])
def test_edges_and_affinities_outside_their_range_are_refused(bad: float) -> None:
    with pytest.raises(ShapeError, match=r"edges must lie in 0\.\.1"):
        random_walk(draw(1, 5, 9), torch.full((5, 9), bad))
    with pytest.raises(ShapeError, match=r"affinities must lie in 0\.\.1"):
        walk_maps(draw(1, 5, 9), torch.full((4, 5, 9), bad), radius=2, doublings=1)


def test_inputs_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a float edge map \(5, 9\), got torch.float32 \(1, 5, 9\)"):
        random_walk(draw(1, 5, 9), draw(1, 5, 9))
    with pytest.raises(ShapeError, match=r"expected float features \(D, 5, 9\), got torch.float32 \(3, 9, 5\)"):
        affinity_walk(draw(1, 5, 9), draw(3, 9, 5))
    with pytest.raises(ShapeError, match=r"expected float affinities \(4, 5, 9\), got torch.float32 \(34, 5, 9\)"):
        walk_maps(draw(1, 5, 9), draw(34, 5, 9), radius=2, doublings=1)
    for maps in (draw(5, 9), draw(2, 0, 9), draw(1, 5, 9).long()):
        with pytest.raises(ShapeError, match=r"expected float maps \(C, H, W\) of at least 1 x 1 px"):
            random_walk(maps, draw(5, 9))


@pytest.mark.parametrize(
    ("radius", "beta", "doublings", "message"),
    [
        (0, 1.0, 1, "radius: expected at least 1 px, got 0"),
        (5, 0.0, 1, "beta: expected above 0, got 0"),
        (5, torch.nan, 1, "beta: expected above 0, got nan"),
        (5, 1.0, -1, "doublings: expected 0 to 20, got -1"),
        (5, 1.0, 21, "doublings: expected 0 to 20, got 21"),
    ],
)
def test_options_outside_their_range_are_refused(radius: int, beta: float, doublings: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        random_walk(draw(1, 5, 9), draw(5, 9), radius=radius, beta=beta, doublings=doublings)
    with pytest.raises(ConfigError, match=message):
        affinity_walk(draw(1, 5, 9), draw(3, 5, 9), radius=radius, beta=beta, doublings=doublings)
