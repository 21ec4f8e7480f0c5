from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.refine.pixel_adaptive import pixel_adaptive

SMALL = (1, 2, 5)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def refine_slowly(image: Tensor, maps: Tensor, *, dilations: Sequence[int], iterations: int) -> Tensor:
    """Do the same pixel by pixel, neighbour by neighbour, in float64."""
    colours, values = image.double().numpy(), maps.double().numpy().copy()
    height, width = values.shape[1:]
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    offsets = np.array([(dilation * dy, dilation * dx) for dilation in dilations for dy, dx in steps])
    distances = np.hypot(offsets[:, 0], offsets[:, 1])
    far = np.exp(-((distances / (distances.std(ddof=1) + 1e-8) / 0.3) ** 2))
    for _ in range(iterations):
        before = values.copy()
        for y in range(height):
            for x in range(width):
                rows = np.clip(y + offsets[:, 0], 0, height - 1)
                columns = np.clip(x + offsets[:, 1], 0, width - 1)
                around = colours[:, rows, columns]
                std = around.std(axis=1, ddof=1, keepdims=True)
                unlike = (np.abs(around - colours[:, y, x, None]) / (std + 1e-8) / 0.3) ** 2
                near = np.exp(-unlike.mean(axis=0))
                weights = near / near.sum() + 0.01 * far / far.sum()
                values[:, y, x] = (before[:, rows, columns] * weights).sum(axis=1)
    return torch.from_numpy(values)


@pytest.mark.parametrize(
    ("num_maps", "size_hw", "dilations", "iterations"),
    [(1, (7, 9), SMALL, 1), (3, (9, 6), SMALL, 4), (2, (1, 5), (1, 3), 2), (80, (4, 3), (1, 24), 2)],
)
def test_every_map_becomes_the_weighted_sum_of_its_neighbours(
    num_maps: int, size_hw: tuple[int, int], dilations: tuple[int, ...], iterations: int
) -> None:
    image, maps = draw(3, *size_hw), draw(num_maps, *size_hw, seed=1)
    expected = refine_slowly(image, maps, dilations=dilations, iterations=iterations)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        found = pixel_adaptive(image, maps.to(dtype), dilations=dilations, iterations=iterations)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_a_map_stays_on_its_side_of_an_edge() -> None:
    image, maps = torch.zeros(3, 12, 17), torch.zeros(1, 12, 17)
    image[:, :, 9:] = 1
    maps[:, 5:7, 2:5] = 1
    refined = pixel_adaptive(image, maps)[0]
    assert refined[:, :9].min() > 0.01
    assert refined[:, 9:].max() < 0.01 * refined[:, :9].max()


def test_values_grow_by_a_hundredth_each_time() -> None:
    refined = pixel_adaptive(draw(3, 5, 8), torch.ones(2, 5, 8), iterations=7)
    torch.testing.assert_close(refined, torch.full((2, 5, 8), 1.01**7))


def test_the_unit_of_the_image_does_not_count() -> None:
    image, maps = draw(3, 6, 7), draw(1, 6, 7, seed=1)
    torch.testing.assert_close(pixel_adaptive(255 * image, maps), pixel_adaptive(image, maps), atol=1e-6, rtol=1e-6)


@pytest.mark.slow
def test_it_is_differentiable_by_both() -> None:
    image, maps = draw(3, 3, 4).requires_grad_(), draw(2, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda image, maps: pixel_adaptive(image, maps, dilations=(1, 2), iterations=2), (image, maps)
    )


def test_gradients_are_finite_where_all_colours_are_equal() -> None:
    image, maps = torch.zeros(3, 4, 5, requires_grad=True), torch.ones(1, 4, 5, requires_grad=True)
    pixel_adaptive(image, maps, iterations=2).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad.sum(), torch.tensor(20 * 1.01**2))


@pytest.mark.parametrize(("num_maps", "iterations"), [(2, 3), (2, 0), (0, 3)])
def test_what_it_is_given_stays_as_it_is(num_maps: int, iterations: int) -> None:
    image, maps = draw(3, 5, 6), draw(num_maps, 5, 6, seed=1)
    before = image.clone(), maps.clone()
    refined = pixel_adaptive(image, maps, iterations=iterations)
    assert refined.shape == maps.shape
    assert refined is not maps
    assert torch.equal(image, before[0])
    assert torch.equal(maps, before[1])
    assert torch.equal(refined, maps) == (0 in (num_maps, iterations))


@pytest.mark.parametrize(
    ("image", "maps", "message"),
    [
        (np.zeros((3, 4, 5)), torch.zeros(1, 4, 5), "image: expected a torch tensor, got numpy"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), torch.zeros(1, 4, 5), r"image: expected a float tensor \(3, H, W\)"),
        (torch.zeros(3, 4, 5), torch.zeros(4, 5), r"maps: expected a float tensor \(K, H, W\), got torch.float32 \(4"),
        (torch.zeros(3, 4, 5), torch.zeros(1, 5, 4), r"maps: expected \(K, 4, 5\), the image's size, got \(1, 5, 4\)"),
        (torch.zeros(3, 0, 5), torch.zeros(1, 0, 5), "image: expected at least one channel and one pixel"),
    ],
)
def test_tensors_of_another_kind_are_refused(image: Tensor, maps: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        pixel_adaptive(image, maps)


@pytest.mark.parametrize(
    ("dilations", "iterations", "message"),
    [
        ((), 1, r"dilations: expected one distance or more, each of 1 px or more, got \(\)"),
        ((1, 0), 1, r"got \(1, 0\)"),
        ((1,), -1, "iterations: expected 0 or more, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(dilations: tuple[int, ...], iterations: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pixel_adaptive(torch.zeros(3, 4, 5), torch.zeros(1, 4, 5), dilations=dilations, iterations=iterations)
