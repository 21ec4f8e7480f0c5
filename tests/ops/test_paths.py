import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.paths import SourceGrid, list_offsets, other_ends, path_minima, path_pixels, path_runs

RADII = (1, 2, 3, 4, 5, 8)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def minima_by_loops(values: Tensor, radius: int) -> Tensor:
    """Look at every pixel of every path from every source."""
    height, width = values.shape
    rows = []
    for dy, dx in list_offsets(radius):
        length_squared = dy**2 + dx**2
        for y in range(height - radius + 1):
            for x in range(radius - 1, width - radius + 1):
                on_path = [
                    values[y + i, x + j].item()
                    for i in range(dy + 1)
                    for j in range(min(0, dx), max(0, dx) + 1)
                    if (dy * j - dx * i) ** 2 < length_squared
                ]
                rows.append(min(on_path))
    return torch.tensor(rows, dtype=values.dtype)


@pytest.mark.parametrize("radius", [5, 10])
def test_offsets_are_the_recorded_ones(radius: int) -> None:
    golden = np.load(GOLDEN / "irn_paths.npz")
    np.testing.assert_array_equal(np.array(list_offsets(radius)), golden[f"search_dst_r{radius}"])


def test_offsets_of_small_radii() -> None:
    assert list_offsets(1) == ()
    assert list_offsets(2) == ((0, 1), (1, 0), (1, -1), (1, 1))


@given(st.integers(2, 14))
def test_every_close_pair_is_listed_once_in_one_direction(radius: int) -> None:
    offsets = list_offsets(radius)
    both = {*offsets, *((-dy, -dx) for dy, dx in offsets)}
    disc = {(y, x) for y in range(-radius, radius) for x in range(-radius, radius) if 0 < y**2 + x**2 < radius**2}
    assert both == disc
    assert len(both) == 2 * len(offsets)
    lengths = [len(path_pixels(offset)) for offset in offsets]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("radius", [0, -3])
def test_radius_below_one_is_refused(radius: int) -> None:
    with pytest.raises(ConfigError, match=f"radius: expected at least 1 px, got {radius}"):
        list_offsets(radius)


def test_path_holds_pixels_less_than_one_px_from_the_line() -> None:
    assert path_pixels((0, 3)) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert path_pixels((2, -2)) == [(0, -1), (0, 0), (1, -2), (1, -1), (1, 0), (2, -2), (2, -1)]
    assert path_pixels((1, 2)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize("radius", RADII)
def test_runs_cover_exactly_the_pixels_of_the_path(radius: int) -> None:
    for offset in list_offsets(radius):
        covered = []
        for run in path_runs(offset):
            step = (1, 0) if run.along == -2 else (0, 1)
            covered += [(run.dy + k * step[0], run.dx + k * step[1]) for k in range(run.length)]
        assert sorted(covered) == sorted(path_pixels(offset))
        assert max(run.length for run in path_runs(offset)) <= radius


@pytest.mark.parametrize("radius", RADII)
def test_minima_are_those_of_plain_loops(radius: int) -> None:
    values = draw(2, radius + 3, 2 * radius + 1)
    before = values.clone()
    minima = path_minima(values, radius=radius)
    assert minima.shape == (2, len(list_offsets(radius)), 4, 3)
    for own, image in zip(minima, values, strict=True):
        assert torch.equal(own.flatten(), minima_by_loops(image, radius))
    assert torch.equal(values, before)


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences() -> None:
    values = draw(2, 5, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: path_minima(v, radius=3), values)


def test_gradient_goes_to_the_least_pixel_of_each_path() -> None:
    values = torch.tensor([[[5.0, 1.0, 4.0], [3.0, 2.0, 6.0]]], requires_grad=True)
    # One source, (0, 1): the least values of its paths (0,1), (1,0), (1,-1), (1,1) are all its own.
    path_minima(values, radius=2).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[[0, 4, 0], [0, 0, 0]]]


def test_of_equal_pixels_one_gets_the_whole_gradient() -> None:
    values = torch.zeros(1, 7, 11, requires_grad=True)
    minima = path_minima(values, radius=5)
    minima.sum().backward()
    assert values.grad is not None
    assert values.grad.sum().item() == minima.numel()
    assert bool((values.grad == values.grad.round()).all())


def test_second_derivative_is_refused() -> None:
    values = draw(1, 3, 5).requires_grad_()
    (gradient,) = torch.autograd.grad((path_minima(values, radius=2) ** 2).sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_other_ends_are_the_shifted_sources() -> None:
    maps = torch.arange(12).reshape(1, 1, 3, 4)
    assert SourceGrid((3, 4), 2).view(maps).flatten().tolist() == [1, 2, 5, 6]
    ends = other_ends(maps, [(0, 1), (1, -1)], radius=2)
    assert ends.shape == (1, 1, 2, 2, 2)
    assert ends.flatten().tolist() == [2, 3, 6, 7, 4, 5, 8, 9]


def test_gradient_of_other_ends_is_that_of_finite_differences() -> None:
    maps = draw(2, 2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: other_ends(m, list_offsets(3), radius=3), maps)


@pytest.mark.parametrize("size_hw", [(4, 9), (5, 8), (1, 1)])
def test_map_without_a_source_is_refused(size_hw: tuple[int, int]) -> None:
    expected = rf"radius of 5 px need a map of at least 5 x 9 px, got {size_hw[0]} x {size_hw[1]}"
    with pytest.raises(ShapeError, match=expected):
        path_minima(torch.zeros(1, *size_hw), radius=5)
