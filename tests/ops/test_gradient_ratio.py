from __future__ import annotations

import pytest
import torch

from weakseg.errors import ShapeError
from weakseg.ops.gradient_ratio import high_gradient_ratio, normalise_gradients

MAPS = torch.tensor([[[0.0, 0.3, 0.31], [1.0, 0.2, 0.5]], [[0.1, 0.2, 0.3], [0.9, 1.0, 0.0]]])


def test_magnitudes_are_divided_by_the_highest_of_their_image() -> None:
    gradients = torch.tensor([[[1.0, -4.0, 2.0]], [[0.0, 0.5, -0.25]]])
    before = gradients.clone()
    found = normalise_gradients(gradients)
    assert found.tolist() == [[[0.25, 1.0, 0.5]], [[0.0, 1.0, 0.5]]]
    assert torch.equal(gradients, before)


def test_an_image_without_any_gradient_has_a_map_of_zeros() -> None:
    assert normalise_gradients(torch.zeros(1, 2, 3)).tolist() == [[[0.0] * 3] * 2]


def test_the_ratio_is_the_share_of_the_region_above_the_threshold() -> None:
    regions = torch.tensor([[[1, 1, 1], [1, 0, 0]], [[0, 0, 0], [1, 1, 1]]]).bool()
    assert high_gradient_ratio(MAPS, regions).tolist() == pytest.approx([2 / 4, 2 / 3])


def test_pixels_at_the_threshold_do_not_count() -> None:
    regions = torch.ones(2, 2, 3, dtype=torch.bool)
    assert high_gradient_ratio(MAPS, regions, threshold=0.5).tolist() == pytest.approx([1 / 6, 2 / 6])
    assert high_gradient_ratio(MAPS, regions, threshold=0.49).tolist() == pytest.approx([2 / 6, 2 / 6])


def test_a_region_without_pixels_has_no_ratio() -> None:
    regions = torch.zeros(2, 2, 3, dtype=torch.bool)
    regions[1, 1, 0] = True
    found = high_gradient_ratio(MAPS, regions)
    assert found.dtype == torch.float32
    assert torch.isnan(found[0])
    assert found[1] == 1


@pytest.mark.parametrize("gradients", [torch.zeros(2, 3), torch.zeros(1, 2, 3, dtype=torch.int64)])
def test_maps_of_another_kind_are_refused(gradients: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"expected float gradient maps \(N, H, W\), got"):
        normalise_gradients(gradients)


@pytest.mark.parametrize("regions", [torch.ones(2, 2, 2).bool(), torch.ones(2, 2, 3)])
def test_regions_of_another_shape_or_kind_are_refused(regions: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match=r"expected bool regions of shape \(2, 2, 3\), got"):
        high_gradient_ratio(MAPS, regions)
