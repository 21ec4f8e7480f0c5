import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.errors import ConfigError
from weakseg.models.tiling import ALIGNMENT_PX, Tiling, cut_axis


def total_weights(length_px: int, tiling: Tiling, stride: int) -> torch.Tensor:
    total = torch.zeros(math.ceil(length_px / stride))
    for span in cut_axis(length_px, tiling=tiling, stride=stride):
        total[span.cells] += span.weights
    return total


tilings = st.integers(1, 8).flatmap(
    lambda units: st.builds(Tiling, st.just(32 * units), st.integers(0, units // 2).map(lambda shared: 32 * shared))
)


@pytest.mark.slow
@given(length_px=st.integers(1, 1500), tiling=tilings, stride=st.sampled_from([1, 4, 8, 16, 32]))
@settings(max_examples=200, deadline=None)
def test_tiles_cover_the_axis_overlap_enough_and_weigh_one_together(
    length_px: int, tiling: Tiling, stride: int
) -> None:
    spans = cut_axis(length_px, tiling=tiling, stride=stride)
    assert spans[0].start_px == 0
    assert spans[-1].pixels.stop == length_px
    for span in spans:
        assert span.start_px % ALIGNMENT_PX == 0
        assert 1 <= span.size_px <= tiling.tile_px
        assert span.cells == slice(span.start_px // stride, math.ceil((span.start_px + span.size_px) / stride))
        assert bool(((span.weights >= 0) & (span.weights <= 1)).all())
    for left, right in itertools.pairwise(spans):
        assert left.start_px < right.start_px
        assert left.pixels.stop - right.start_px >= tiling.overlap_px
    torch.testing.assert_close(total_weights(length_px, tiling, stride), torch.ones(math.ceil(length_px / stride)))


@given(length_px=st.integers(257, 1500), shared=st.integers(1, 4), stride=st.sampled_from([4, 8, 32]))
@settings(max_examples=100, deadline=None)
def test_a_cell_nearer_than_a_quarter_of_the_overlap_to_an_inner_edge_counts_for_nothing(
    length_px: int, shared: int, stride: int
) -> None:
    tiling = Tiling(256, 32 * shared)
    for span in cut_axis(length_px, tiling=tiling, stride=stride):
        centres = (torch.arange(len(span.weights)) + 0.5) * stride
        if span.start_px > 0:
            assert bool((span.weights[centres <= tiling.overlap_px / 4] == 0).all())
        if span.pixels.stop < length_px:
            assert bool((span.weights[span.size_px - centres <= tiling.overlap_px / 4] == 0).all())


def test_the_weights_of_two_tiles_by_hand() -> None:
    left, right = cut_axis(160, tiling=Tiling(96, 32), stride=8)
    assert (left.pixels, right.pixels) == (slice(0, 96), slice(64, 160))
    # The shared 32 px are 4 cells with centres 4, 12, 20, 28 px into the overlap: 8 px of nothing, then 16 px of ramp.
    assert left.weights.tolist() == [1.0] * 8 + [1.0, 0.75, 0.25, 0.0]
    assert right.weights.tolist() == [0.0, 0.25, 0.75, 1.0] + [1.0] * 8


def test_tiles_are_as_few_as_possible_and_evenly_spaced() -> None:
    spans = cut_axis(1000, tiling=Tiling(512, 128), stride=8)
    assert [(span.start_px, span.size_px) for span in spans] == [(0, 512), (256, 512), (512, 488)]


@pytest.mark.parametrize("length_px", [1, 31, 96])
def test_an_axis_no_longer_than_a_tile_is_seen_whole(length_px: int) -> None:
    (span,) = cut_axis(length_px, tiling=Tiling(96, 32), stride=8)
    assert (span.start_px, span.size_px, span.first_cell) == (0, length_px, 0)
    assert span.weights.tolist() == [1.0] * math.ceil(length_px / 8)


def test_without_an_overlap_tiles_meet() -> None:
    left, right = cut_axis(60, tiling=Tiling(32, 0), stride=4)
    assert (left.pixels, right.pixels) == (slice(0, 32), slice(32, 60))
    assert torch.cat([left.weights, right.weights]).tolist() == [1.0] * 15


@pytest.mark.parametrize(
    ("tile_px", "overlap_px", "message"),
    [
        (0, 0, "tile_px: expected a multiple of 32 above 0, got 0"),
        (1000, 0, "tile_px: expected a multiple of 32 above 0, got 1000"),
        (96, 64, r"overlap_px: expected a multiple of 32 from 0 to half of tile_px \(48\), got 64"),
        (96, 10, "overlap_px: expected a multiple of 32"),
        (96, -32, "overlap_px: expected a multiple of 32"),
    ],
)
def test_sizes_that_do_not_fit_the_networks_are_refused(tile_px: int, overlap_px: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tiling(tile_px, overlap_px)


def test_a_stride_that_tiles_do_not_begin_at_allows_no_tiles() -> None:
    with pytest.raises(ConfigError, match="multiples of 32 px, which this network's stride of 14 px does not divide"):
        cut_axis(100, tiling=Tiling(64, 32), stride=14)
    (span,) = cut_axis(60, tiling=Tiling(64, 32), stride=14)
    assert span.cells == slice(0, 5)
