import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.equivariance import (
    adaptive_min_pooling_loss,
    compete,
    cross_equivariance_loss,
    equivariance_loss,
    normalise_maps,
)

SIZE_HW = (5, 7)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_maps_are_rectified_and_divided_by_their_own_maximum() -> None:
    maps = torch.tensor([[[[-3.0, 1.0, 4.0]], [[0.0, 0.5, -1.0]]]])
    before = maps.clone()
    normalised = normalise_maps(maps)
    expected = torch.tensor([[[[0.0, 0.25, 1.0]], [[0.0, 1.0, 0.0]]]])
    torch.testing.assert_close(normalised, expected, rtol=0, atol=5e-5)
    assert normalised[0, 0, 0, 2].item() == pytest.approx((4 - 1e-5) / (4 + 1e-5), abs=1e-7)
    assert torch.equal(maps, before)


@pytest.mark.parametrize("value", [-2.0, 0.0, 1e-6])
def test_a_map_without_evidence_becomes_zero_with_a_finite_gradient(value: float) -> None:
    maps = torch.full((1, 1, 2, 3), value, requires_grad=True)
    normalised = normalise_maps(maps)
    normalised.sum().backward()
    assert not normalised.any()
    assert maps.grad is not None
    assert not maps.grad.any()


@pytest.mark.slow
@given(st.integers(1, 80), st.integers(0, 1000), st.floats(0.5, 1e4))
def test_normalised_maps_lie_in_0_to_1_and_forget_the_scale(num_classes: int, seed: int, factor: float) -> None:
    maps = draw(2, num_classes, *SIZE_HW, seed=seed)
    normalised = normalise_maps(maps)
    assert 0 <= normalised.min()
    assert normalised.max() < 1
    torch.testing.assert_close(normalise_maps(factor * maps), normalised, rtol=1e-3, atol=1e-3)


def test_the_background_is_what_the_strongest_class_leaves_and_weaker_classes_go() -> None:
    maps = torch.tensor([[[[0.2, 0.7, 0.5]], [[0.1, 0.9, 0.5]]]])
    expected = torch.tensor([[[[0.8, 0.1, 0.5]], [[0.2, 0.0, 0.5]], [[0.0, 0.9, 0.5]]]])
    torch.testing.assert_close(compete(maps), expected)


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_background_and_strongest_class_add_up_to_one(num_classes: int) -> None:
    maps = torch.rand(2, num_classes, *SIZE_HW, generator=torch.Generator().manual_seed(0))
    before = maps.clone()
    labels = compete(maps)
    assert labels.shape == (2, num_classes + 1, *SIZE_HW)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(2, *SIZE_HW))
    assert torch.equal(maps, before)


def test_without_any_evidence_everything_is_background() -> None:
    assert compete(torch.zeros(1, 2, 1, 1)).flatten().tolist() == [1.0, 0.0, 0.0]


def test_equivariance_loss_is_the_mean_absolute_difference_over_all_classes() -> None:
    one = torch.tensor([[[[0.5, 1.0]], [[0.0, 0.0]]]], requires_grad=True)
    other = torch.tensor([[[[0.1, 1.0]], [[0.0, 0.2]]]], requires_grad=True)
    loss = equivariance_loss(one, other)
    loss.backward()
    assert loss.item() == pytest.approx(0.6 / 4)
    assert one.grad is not None
    assert other.grad is not None
    assert one.grad.flatten().tolist() == pytest.approx([0.25, 0.0, 0.0, -0.25])
    assert torch.equal(other.grad, -one.grad)


@given(st.integers(1, 80), st.integers(0, 1000))
def test_equivariance_loss_is_zero_for_equal_maps_and_symmetric(num_classes: int, seed: int) -> None:
    one, other = draw(2, num_classes, *SIZE_HW, seed=seed), draw(2, num_classes, *SIZE_HW, seed=seed + 1)
    assert equivariance_loss(one, one).item() == 0.0
    assert equivariance_loss(one, other).item() > 0
    assert torch.equal(equivariance_loss(one, other), equivariance_loss(other, one))


def test_cross_loss_is_the_mean_of_the_worst_fifth_of_each_image() -> None:
    """Of five values per image one counts: 0.9 in the first image, 0.3 in the second."""
    refined = torch.tensor([[0.9, 0.5, 0.1, 0.0, 0.2], [0.3, 0.2, 0.1, 0.0, 0.0]]).reshape(2, 1, 1, 5).requires_grad_()
    target = torch.zeros(2, 1, 1, 5, requires_grad=True)
    loss = cross_equivariance_loss(refined, target, hardest_share=0.2)
    loss.backward()
    assert loss.item() == pytest.approx(0.6)
    assert refined.grad is not None
    assert refined.grad.flatten().tolist() == [0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0]
    assert target.grad is None, "the plain maps do not follow the refined ones"


def test_cross_loss_ranks_values_over_labels_and_positions_together() -> None:
    refined = torch.tensor([[[[0.0, 0.4]], [[0.8, 0.1]]]])
    target = torch.tensor([[[[1.0, 0.4]], [[0.2, 0.1]]]])
    assert cross_equivariance_loss(refined, target, hardest_share=0.5).item() == pytest.approx((1.0 + 0.6) / 2)
    assert cross_equivariance_loss(refined, target, hardest_share=1.0).item() == pytest.approx(1.6 / 4)


def test_at_least_one_value_counts() -> None:
    refined = torch.tensor([[[[0.0, 0.4]]]])
    assert cross_equivariance_loss(refined, torch.zeros(1, 1, 1, 2), hardest_share=0.01).item() == pytest.approx(0.4)


def test_min_pooling_averages_the_strongest_class_where_it_is_weakest() -> None:
    """The strongest class is 0.9, 0.1, 0.3, 0.6 (a class each at the ends): of four positions two count."""
    maps = torch.tensor([[[[0.9, 0.1, 0.2, 0.0]], [[0.0, 0.0, 0.3, 0.6]]]], requires_grad=True)
    loss = adaptive_min_pooling_loss(maps, lowest_share=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == [0, 0.5, 0, 0, 0, 0, 0.5, 0]


def test_min_pooling_leaves_negative_values_alone() -> None:
    maps = torch.tensor([[[[-5.0, 0.2]]]], requires_grad=True)
    loss = adaptive_min_pooling_loss(maps, lowest_share=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.1)
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == [0.0, 0.5]


def test_min_pooling_of_images_without_tags_is_zero() -> None:
    maps = draw(2, 3, *SIZE_HW).requires_grad_()
    loss = adaptive_min_pooling_loss(maps * torch.zeros(2, 3, 1, 1), lowest_share=0.25)
    loss.backward()
    assert loss.item() == 0.0
    assert maps.grad is not None
    assert not maps.grad.any()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    maps = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ConfigError, match="hardest_share: expected a share above 0 and at most 1"):
        cross_equivariance_loss(maps, maps, hardest_share=share)
    with pytest.raises(ConfigError, match="lowest_share: expected a share above 0 and at most 1"):
        adaptive_min_pooling_loss(maps, lowest_share=share)


@pytest.mark.parametrize("wrong", [torch.zeros(1, 2, 3), torch.zeros(1, 2, 3, 4, dtype=torch.int64)])
def test_what_is_no_set_of_maps_is_refused(wrong: Tensor) -> None:
    for call in (normalise_maps, compete, lambda maps: adaptive_min_pooling_loss(maps, lowest_share=0.5)):
        with pytest.raises(ShapeError, match=r"expected float maps \(N, L, h, w\)"):
            call(wrong)


def test_maps_without_position_or_class_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least one position"):
        normalise_maps(torch.zeros(1, 2, 0, 3))
    with pytest.raises(ShapeError, match="at least one class"):
        compete(torch.zeros(1, 0, 2, 3))
    with pytest.raises(ShapeError, match="at least one element"):
        adaptive_min_pooling_loss(torch.zeros(0, 2, 2, 3), lowest_share=0.5)


def test_maps_that_do_not_lie_on_one_grid_are_refused() -> None:
    one, other = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4, 3)
    with pytest.raises(ShapeError, match=r"\(1, 2, 3, 4\) and \(1, 2, 4, 3\)"):
        equivariance_loss(one, other)
    with pytest.raises(ShapeError, match="of one shape"):
        cross_equivariance_loss(one, other, hardest_share=0.2)
