import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.images import scaled_size_hw
from weakseg.refine.irn import irn_mask, walked_maps

STANDING = 200.0
"""With this power, affinities of 1/2 are 1e-60: the walk leaves every value where it is."""


def stand(maps: Tensor, size_hw: tuple[int, int], *, seed_power: float = 1.0) -> Tensor:
    """Return maps that went through everything but a walk."""
    edge = torch.full(maps.shape[1:], 0.5)
    return walked_maps(maps, edge, image_size_hw=size_hw, beta=STANDING, seed_power=seed_power)


def test_evidence_spreads_up_to_the_edge_and_not_beyond() -> None:
    """A wall parts the image; each half holds a spot of its own class."""
    edge = torch.zeros(7, 11)
    edge[:, 5] = 1.0
    maps = torch.zeros(2, 7, 11)
    maps[0, 3, 1] = maps[1, 5, 9] = 1.0
    mask = irn_mask(maps, (2, 6), edge, image_size_hw=(27, 42), background=0.25)
    assert mask.shape == (27, 42)
    assert mask.dtype == np.uint8
    assert (mask[:, :19] == 3).all()
    assert (mask[:, 25:] == 7).all()


def test_what_is_all_edge_holds_no_evidence() -> None:
    maps, edge = torch.ones(1, 3, 4), torch.ones(3, 4)
    walked = walked_maps(maps, edge, image_size_hw=(12, 16))
    assert (walked == 0).all()
    assert (irn_mask(maps, (0,), edge, image_size_hw=(12, 16), background=0.0) == 0).all()


def test_an_image_without_tags_is_background() -> None:
    mask = irn_mask(torch.zeros(0, 3, 5), (), torch.rand(3, 5), image_size_hw=(9, 18), background=0.25)
    assert mask.shape == (9, 18)
    assert mask.dtype == np.uint8
    assert (mask == 0).all()
    assert walked_maps(torch.zeros(0, 3, 5), torch.rand(3, 5), image_size_hw=(9, 18)).shape == (0, 9, 18)


def test_cells_become_4_px_and_what_exceeds_the_image_is_cut_off() -> None:
    """The centres of the two cells lie at 1.5 and 5.5 px."""
    walked = stand(torch.tensor([[[0.0, 1.0]]]), (3, 7))
    assert walked.shape == (1, 3, 7)
    for row in walked[0]:
        assert row.tolist() == pytest.approx([0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0], abs=1e-6)


def test_maps_of_a_smaller_copy_are_stretched_to_the_image() -> None:
    """The copy of half the size, 3 x 8, has 1 x 2 cells; each is 8 px wide, centred at 3.5 and 11.5 px."""
    walked = stand(torch.tensor([[[0.0, 1.0]]]), (6, 16))
    expected = [min(1.0, max(0.0, (x - 3.5) / 8)) for x in range(16)]
    for row in walked[0]:
        assert row.tolist() == pytest.approx(expected, abs=1e-6)


def test_maps_are_divided_by_the_largest_of_them_all() -> None:
    maps = torch.tensor([0.4, 0.8]).reshape(2, 1, 1)
    assert stand(maps, (1, 1)).flatten().tolist() == pytest.approx([0.5, 1.0])


def test_seeds_are_raised_to_their_power_before_the_walk() -> None:
    maps = torch.tensor([0.5, 1.0]).reshape(2, 1, 1)
    assert stand(maps, (4, 4), seed_power=1.3)[:, 0, 0].tolist() == pytest.approx([0.5**1.3, 1.0])


@pytest.mark.parametrize(("background", "label"), [(0.49, 4), (0.5, 0), (0.51, 0)])
def test_the_background_wins_up_to_its_score(background: float, label: int) -> None:
    """From the centre of the second cell on the map is 1/2."""
    edge = torch.full((1, 3), 0.5)
    maps = torch.tensor([[[1.0, 0.5, 0.5]]])
    mask = irn_mask(maps, (3,), edge, image_size_hw=(4, 12), background=background, beta=STANDING)
    assert (mask[:, :5] == 4).all()
    assert (mask[:, 6:] == label).all()


@pytest.mark.parametrize("option", [{"radius": 3}, {"beta": 4.0}, {"doublings": 2}])
def test_options_reach_the_walk(option: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps, edge = torch.rand(1, 6, 9, generator=generator), torch.rand(6, 9, generator=generator)
    usual = walked_maps(maps, edge, image_size_hw=(24, 36), doublings=3)
    other = walked_maps(maps, edge, image_size_hw=(24, 36), **{"doublings": 3, **option})
    assert (other - usual).abs().max() > 0.01


def test_options_outside_their_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="radius"):
        walked_maps(torch.ones(1, 2, 3), torch.zeros(2, 3), image_size_hw=(8, 12), radius=0)


def test_inputs_are_not_modified_and_need_not_be_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, edge = torch.rand(3, 5, 7, generator=generator), torch.rand(5, 7, generator=generator)
    before = maps.clone(), edge.clone()
    walked = walked_maps(maps, edge, image_size_hw=(18, 27))
    assert torch.equal(maps, before[0])
    assert torch.equal(edge, before[1])
    assert walked.dtype == torch.float32
    double = walked_maps(maps.double(), edge.double(), image_size_hw=(18, 27))
    torch.testing.assert_close(double, walked)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.tensor([[[0.5, math.nan]]]), r"seed maps in 0\.\.1, got NaN; delete the image's seed"),
        (torch.tensor([[[0.5, 1.5]]]), r"got 0\.5\.\.1\.5"),
        (torch.tensor([[[-0.5, 1.0]]]), r"got -0\.5\.\.1"),
        (torch.tensor([[0.5, 1.0]]), r"\(K, h, w\) float, got torch\.float32 \(1, 2\)"),
        (torch.ones(1, 1, 2, dtype=torch.int64), r"got torch\.int64 \(1, 1, 2\)"),
    ],
)
def test_what_is_no_seed_is_refused(maps: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        irn_mask(maps, (0,), torch.zeros(1, 2), image_size_hw=(4, 8), background=0.25)


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan, math.inf])
def test_a_power_that_is_not_above_0_is_refused(power: float) -> None:
    # 0 to the power 0 is 1: the class would be everywhere.
    with pytest.raises(ConfigError, match=f"seed_power: expected a power above 0, got {power}"):
        irn_mask(torch.ones(1, 1, 2), (0,), torch.zeros(1, 2), image_size_hw=(4, 8), background=0.25, seed_power=power)


@pytest.mark.parametrize("edge", [torch.zeros(2, 1), torch.zeros(1, 1, 2)])
def test_an_edge_of_another_size_is_refused(edge: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"seed maps \(1, 2\) and edge .* differ in size .* ScoreMaps\.strided\(4\)"):
        irn_mask(torch.ones(1, 1, 2), (0,), edge, image_size_hw=(4, 8), background=0.25)


@pytest.mark.parametrize("edge", [torch.tensor([[0.5, math.nan]]), torch.tensor([[0.5, 1.5]])])
def test_an_edge_that_is_no_chance_is_refused(edge: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"edges must lie in 0\.\.1"):
        irn_mask(torch.ones(1, 1, 2), (0,), edge, image_size_hw=(4, 8), background=0.25)


@pytest.mark.parametrize("size_hw", [(56, 40), (40, 66), (36, 56), (28, 40), (39, 500)])
def test_maps_of_another_image_are_refused(size_hw: tuple[int, int]) -> None:
    """10 x 14 cells are those of 37..40 x 53..56 pixels, or of a larger image of these proportions."""
    height, width = size_hw
    with pytest.raises(ShapeError, match=rf"maps of \(10, 14\) cells do not fit an image of \({height}, {width}\)"):
        stand(torch.ones(1, 10, 14), size_hw)


def test_keys_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="1 distinct keys"):
        irn_mask(torch.ones(1, 1, 2), (0, 1), torch.zeros(1, 2), image_size_hw=(4, 8), background=0.25)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"at least 1 x 1 pixel, got \(0, 8\)"):
        stand(torch.ones(1, 1, 2), (0, 8))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 1500))
def test_the_grid_of_any_image_or_smaller_copy_fits(height: int, width: int, max_side_px: int) -> None:
    seen_hw = scaled_size_hw((height, width), min(1.0, max_side_px / max(height, width)))
    grid_hw = (math.ceil(seen_hw[0] / 4), math.ceil(seen_hw[1] / 4))
    assert walked_maps(torch.zeros(0, *grid_hw), torch.zeros(grid_hw), image_size_hw=(height, width)).shape[0] == 0


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**16))
def test_masks_hold_the_images_own_labels_only(
    count: int, height: int, width: int, background: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    grid_hw = (math.ceil(height / 4), math.ceil(width / 4))
    maps, edge = torch.rand(count, *grid_hw, generator=generator), torch.rand(grid_hw, generator=generator)
    walked = walked_maps(maps, edge, image_size_hw=(height, width))
    assert walked.shape == (count, height, width)
    assert bool(((walked >= 0) & (walked <= 1)).all())
    keys = (79, 0, 253)[:count]
    mask = irn_mask(maps, keys, edge, image_size_hw=(height, width), background=background)
    assert set(np.unique(mask)) <= {0, *(key + 1 for key in keys)}
    assert mask.shape == (height, width)
