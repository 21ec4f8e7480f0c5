import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.pooling import RELEASED_CLASSES, AverageOver, gap, gndrp

AVERAGES: tuple[AverageOver, ...] = ("all", "kept")


def draw_scores(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def pool_by_loops(scores: Tensor, tags: Tensor, *, threshold: float, average_over: AverageOver) -> Tensor:
    pooled = torch.zeros(scores.shape[:2])
    for n in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            values = scores[n, c].flatten().tolist()
            kept = [v for v in values if not tags[n, c] or v / max(values) < threshold]
            pooled[n, c] = sum(kept) / max(1, len(values) if average_over == "all" else len(kept))
    return pooled


def test_pooled_values_are_the_recorded_ones() -> None:
    golden = np.load(GOLDEN / "gndrp.npz")
    scores, tags = torch.from_numpy(golden["scores"]), torch.from_numpy(golden["labels"])
    np.testing.assert_allclose(gap(scores), golden["gap"], atol=1e-6)
    np.testing.assert_allclose(gndrp(scores, tags, threshold=float(golden["threshold"])), golden["pooled"], atol=1e-6)


def test_gap_is_the_mean_of_every_map() -> None:
    assert gap(torch.tensor([[[[1.0, 2.0, 3.0]], [[-4.0, 0.0, 1.0]]]])).tolist() == [[2.0, -1.0]]


@pytest.mark.parametrize(("average_over", "expected"), [("all", 0.5), ("kept", 1.0)])
def test_strong_positions_of_a_tagged_class_do_not_count(average_over: AverageOver, expected: float) -> None:
    # 4 / 10 is not below 0.4: of six positions three count, with -1, 1 and 3.
    scores = torch.tensor([[[[-1.0, 10.0, 1.0], [4.0, 3.0, 7.0]]]])
    assert gndrp(scores, torch.ones(1, 1), threshold=0.4, average_over=average_over).item() == pytest.approx(expected)


@pytest.mark.parametrize("average_over", AVERAGES)
def test_class_that_is_not_tagged_keeps_every_position(average_over: AverageOver) -> None:
    scores = torch.tensor([[[[-1.0, 10.0, 1.0], [4.0, 3.0, 7.0]]]])
    pooled = gndrp(scores, torch.zeros(1, 1), threshold=0.4, average_over=average_over)
    assert pooled.item() == pytest.approx(4.0)


@pytest.mark.parametrize(("average_over", "share"), [("all", 1 / 6), ("kept", 1 / 3)])
def test_gradient_reaches_counted_positions_and_nothing_else(average_over: AverageOver, share: float) -> None:
    scores = torch.tensor([[[[-1.0, 10.0, 1.0], [4.0, 3.0, 7.0]]] * 2], requires_grad=True)
    gndrp(scores, torch.tensor([[1, 0]]), threshold=0.4, average_over=average_over).sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad[0, 0], torch.tensor([[share, 0, share], [0, share, 0]]))
    torch.testing.assert_close(scores.grad[0, 1], torch.full((2, 3), 1 / 6))


@pytest.mark.parametrize("average_over", AVERAGES)
def test_gradient_is_that_of_finite_differences(average_over: AverageOver) -> None:
    scores = draw_scores(2, 3, 4, 5).double().requires_grad_()
    tags = torch.tensor([[1, 0, 1], [0, 1, 1]])
    assert torch.autograd.gradcheck(lambda s: gndrp(s, tags, threshold=0.4, average_over=average_over), scores)


@pytest.mark.parametrize("average_over", AVERAGES)
@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_result_is_that_of_plain_loops(num_classes: int, average_over: AverageOver) -> None:
    scores = draw_scores(3, num_classes, 5, 7)
    tags = (draw_scores(3, num_classes) > 0).to(torch.uint8)
    before = scores.clone(), tags.clone()
    pooled = gndrp(scores, tags, threshold=0.3, average_over=average_over)
    torch.testing.assert_close(pooled, pool_by_loops(scores, tags, threshold=0.3, average_over=average_over))
    assert torch.equal(scores, before[0])
    assert torch.equal(tags, before[1])


@pytest.mark.parametrize("average_over", AVERAGES)
def test_map_without_a_positive_score_has_logit_and_gradient_zero(average_over: AverageOver) -> None:
    scores = torch.tensor([[[[-3.0, -1.0], [-2.0, -0.5]]]], requires_grad=True)
    pooled = gndrp(scores, torch.ones(1, 1), threshold=0.4, average_over=average_over)
    pooled.sum().backward()
    assert pooled.item() == 0.0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("average_over", AVERAGES)
def test_map_of_zeros_has_logit_zero_and_a_finite_gradient(average_over: AverageOver) -> None:
    scores = torch.zeros(1, 1, 2, 3, requires_grad=True)
    pooled = gndrp(scores, torch.ones(1, 1), threshold=0.4, average_over=average_over)
    pooled.sum().backward()
    assert pooled.item() == 0.0
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, torch.full_like(scores, 1 / 6))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0), (2, 0, 4, 5)])
@pytest.mark.parametrize("average_over", AVERAGES)
def test_empty_maps_give_zeros(shape: tuple[int, ...], average_over: AverageOver) -> None:
    scores = torch.zeros(shape, requires_grad=True)
    for pooled in (gap(scores), gndrp(scores, torch.ones(shape[:2]), threshold=0.4, average_over=average_over)):
        assert pooled.shape == shape[:2]
        assert not pooled.any()  # NaN would count as true
        pooled.sum().backward()


@pytest.mark.parametrize("average_over", AVERAGES)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_show_in_the_logit(bad: float, average_over: AverageOver) -> None:
    scores = torch.tensor([[[[1.0, bad, 3.0]]]])
    assert not gndrp(scores, torch.ones(1, 1), threshold=0.4, average_over=average_over).isfinite().item()


def test_released_form_leaves_60_of_80_classes_to_gap() -> None:
    scores, tags = draw_scores(2, 80, 6, 9), torch.ones(2, 80)
    everywhere = gndrp(scores, tags, threshold=0.5)
    released = gndrp(scores, tags, threshold=0.5, first_classes=RELEASED_CLASSES)
    assert torch.equal(released[:, :20], everywhere[:, :20])
    assert torch.equal(released[:, 20:], gap(scores)[:, 20:])
    assert bool((released[:, 20:] != everywhere[:, 20:]).all())


def test_released_form_is_the_same_for_20_classes() -> None:
    scores, tags = draw_scores(2, 20, 6, 9), torch.ones(2, 20)
    assert torch.equal(gndrp(scores, tags, threshold=0.4, first_classes=20), gndrp(scores, tags, threshold=0.4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("average_over", AVERAGES)
def test_dtype_is_kept_whatever_the_tags_are(dtype: torch.dtype, average_over: AverageOver) -> None:
    scores = draw_scores(2, 3, 4, 5).to(dtype)
    results = [
        gndrp(scores, torch.ones(2, 3, dtype=kind), threshold=0.4, average_over=average_over)
        for kind in (torch.bool, torch.uint8, torch.int64, torch.float32)
    ]
    assert gap(scores).dtype == dtype
    assert all(result.dtype == dtype and torch.equal(result, results[0]) for result in results)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12), st.integers(-3, 3))
def test_order_of_positions_and_unit_of_scores_do_not_matter(values: list[int], exponent: int) -> None:
    shuffled = sorted(values, key=lambda value: (value * 7919) % 101)
    tags = torch.ones(1, 1)
    pooled = gndrp(torch.tensor(values).float()[None, None, None], tags, threshold=0.4)
    other = gndrp(2.0**exponent * torch.tensor(shuffled).float()[None, None, None], tags, threshold=0.4)
    torch.testing.assert_close(other, 2.0**exponent * pooled)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12), st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_lower_threshold_leaves_out_more(values: list[int], first: float, second: float) -> None:
    scores = torch.tensor(values).float()[None, None, None].requires_grad_()
    counted = []
    for threshold in sorted((first, second)):
        (gradient,) = torch.autograd.grad(gndrp(scores, torch.ones(1, 1), threshold=threshold).sum(), scores)
        counted.append(gradient > 0)
    assert not (counted[0] & ~counted[1]).any()


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 2, 3, 4, 5)])
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    for pool in (gap, lambda scores: gndrp(scores, torch.ones(3, 4), threshold=0.4)):
        with pytest.raises(ShapeError, match=r"expected float score maps \(N, C, h, w\), got torch.float32 \("):
            pool(torch.zeros(shape))


def test_integer_maps_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"got torch.int64"):
        gap(torch.ones(1, 1, 2, 2, dtype=torch.int64))


def test_tags_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected tags of shape \(2, 3\), one per map, got \(3,\)"):
        gndrp(torch.zeros(2, 3, 4, 5), torch.ones(3), threshold=0.4)


def test_unknown_average_is_refused() -> None:
    with pytest.raises(ConfigError, match="average_over: expected one of all, kept, got 'mean'"):
        gndrp(torch.zeros(2, 3, 4, 5), torch.ones(2, 3), threshold=0.4, average_over="mean")


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"threshold: expected a share of the maximum such as 0\.4, got nan"):
        gndrp(torch.zeros(2, 3, 4, 5), torch.ones(2, 3), threshold=float("nan"))
