import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops import affinity as affinity_module
from weakseg.ops.affinity import (
    IRNLosses,
    affinity_displacement_losses,
    feature_affinity,
    path_affinity,
    search_offsets,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def draw_labels(*shape: int, num_labels: int, seed: int = 0) -> Tensor:
    labels = torch.randint(0, num_labels + 1, shape, generator=torch.Generator().manual_seed(seed))
    return labels.masked_fill(labels == num_labels, 255)


def terms_of(losses: IRNLosses) -> tuple[Tensor, ...]:
    return losses.positive, losses.negative, losses.displacement_foreground, losses.displacement_background


def values_of(losses: IRNLosses) -> list[float]:
    return [term.item() for term in terms_of(losses)]


def losses_by_loops(edge: Tensor, displacement: Tensor, labels: Tensor, *, radius: int) -> list[float]:
    """Sum over pairs one by one; affinities come from `path_affinity`, which has tests of its own."""
    costs: dict[str, list[float]] = {"bg": [], "fg": [], "negative": [], "apart_bg": [], "apart_fg": []}
    height, width = edge.shape[1:]
    for n, affinities in enumerate(path_affinity(edge, radius=radius)):
        for (dy, dx), row in zip(search_offsets(radius).tolist(), affinities, strict=True):
            sources = [(y, x) for y in range(height - radius + 1) for x in range(radius - 1, width - radius + 1)]
            for (y, x), value in zip(sources, row.tolist(), strict=True):
                own, other = int(labels[n, y, x]), int(labels[n, y + dy, x + dx])
                if 255 in (own, other):
                    continue
                if own != other:
                    costs["negative"].append(-math.log(1 - value + 1e-5))
                    continue
                apart = (displacement[n, :, y, x] - displacement[n, :, y + dy, x + dx]).tolist()
                if own == 0:
                    costs["bg"].append(-math.log(value + 1e-5))
                    costs["apart_bg"].append((abs(apart[0]) + abs(apart[1])) / 2)
                else:
                    costs["fg"].append(-math.log(value + 1e-5))
                    costs["apart_fg"].append((abs(apart[0] - dy) + abs(apart[1] - dx)) / 2)
    mean = {key: sum(terms) / max(1, len(terms)) for key, terms in costs.items()}
    return [(mean["bg"] + mean["fg"]) / 2, mean["negative"], mean["apart_fg"], mean["apart_bg"]]


@pytest.mark.parametrize("radius", [5, 10])
def test_offsets_are_the_recorded_ones(radius: int) -> None:
    offsets = search_offsets(radius)
    assert offsets.dtype == torch.int64
    np.testing.assert_array_equal(offsets, np.load(GOLDEN / "irn_paths.npz")[f"search_dst_r{radius}"])


def test_radius_of_one_has_no_offsets() -> None:
    assert search_offsets(1).shape == (0, 2)
    assert path_affinity(draw(2, 3, 4), radius=1).shape == (2, 0, 12)
    assert feature_affinity(draw(2, 7, 3, 4), radius=1).shape == (2, 0, 12)


def test_losses_and_affinities_are_the_recorded_ones() -> None:
    golden = np.load(GOLDEN / "irn_losses.npz")
    edge, displacement = torch.from_numpy(golden["edge"])[0], torch.from_numpy(golden["displacement"])
    labels = torch.from_numpy(golden["label"])[None]
    means = path_affinity(edge, radius=10).mean(dim=(0, 2))
    np.testing.assert_allclose(means, golden["affinity_mean_per_offset"], atol=1e-6)
    losses = affinity_displacement_losses(edge, displacement, labels, radius=10, num_labels=21)
    expected = [float(golden[key]) for key in ("pos", "neg", "disp_fg", "disp_bg")]
    np.testing.assert_allclose(values_of(losses), expected, rtol=1e-6)
    assert losses.total().item() == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_affinity_is_one_minus_the_largest_edge_of_the_path() -> None:
    edge = torch.tensor([[[0.0, 0.1, 0.7], [0.2, 0.3, 0.4]]])
    # Source (0, 1); offsets (0,1), (1,0), (1,-1), (1,1); the last two paths are squares of four.
    torch.testing.assert_close(path_affinity(edge, radius=2), torch.tensor([[[0.3], [0.7], [0.7], [0.3]]]))


def test_affinity_is_exactly_one_minus_an_edge() -> None:
    edge = draw(1, 6, 9)
    assert set(path_affinity(edge, radius=5).flatten().tolist()) <= set((1 - edge).flatten().tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_affinities_keep_the_dtype(dtype: torch.dtype) -> None:
    assert path_affinity(draw(1, 5, 9).to(dtype), radius=5).dtype == dtype
    assert feature_affinity(draw(1, 3, 5, 9).to(dtype), radius=5).dtype == dtype


@pytest.mark.slow
def test_gradients_of_affinities_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda e: path_affinity(e, radius=3), draw(2, 4, 7).double().requires_grad_())
    features = draw(1, 2, 4, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: feature_affinity(f, radius=3), features)


def test_feature_affinity_falls_with_the_mean_difference() -> None:
    features = torch.tensor([[[[0.0, 1.0, 3.0]] * 2, [[0.0, 0.0, 2.0]] * 2]])
    # Source (0, 1); its mean differences from the right, lower, lower left and lower right neighbour.
    expected = torch.tensor([2.0, 0.0, 0.5, 2.0]).neg().exp()
    torch.testing.assert_close(feature_affinity(features, radius=2), expected[None, :, None])


@pytest.mark.parametrize("num_labels", [2, 4, 81])
def test_losses_are_those_of_plain_loops(num_labels: int) -> None:
    edge, displacement = draw(2, 7, 12), 4 * draw(2, 2, 7, 12, seed=1) - 2
    labels = draw_labels(2, 7, 12, num_labels=num_labels)
    before = edge.clone(), displacement.clone(), labels.clone()
    losses = affinity_displacement_losses(edge, displacement, labels, radius=4, num_labels=num_labels)
    np.testing.assert_allclose(
        values_of(losses), losses_by_loops(edge, displacement, labels, radius=4), rtol=1e-5, atol=1e-7
    )
    for argument, copy in zip((edge, displacement, labels), before, strict=True):
        assert torch.equal(argument, copy)


def test_means_are_over_the_pairs_of_the_whole_batch() -> None:
    edge, displacement = torch.tensor([0.5, 0.9]).reshape(2, 1, 1).expand(2, 2, 3), torch.zeros(2, 2, 2, 3)
    labels = torch.zeros(2, 2, 3, dtype=torch.int64)
    labels[1, 1] = 255  # leaves the second image one pair of its four
    losses = affinity_displacement_losses(edge, displacement, labels, radius=2, num_labels=2)
    expected = -(4 * math.log(0.5) + math.log(0.1)) / 5 / 2
    assert losses.positive.item() == pytest.approx(expected, rel=1e-4)


def test_portions_of_offsets_give_the_same_losses_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = draw_labels(2, 7, 12, num_labels=3)
    results = []
    for pairs_at_once in (1, 100, 1 << 20):
        monkeypatch.setattr(affinity_module, "PAIRS_AT_ONCE", pairs_at_once)
        edge, displacement = draw(2, 7, 12).requires_grad_(), draw(2, 2, 7, 12).requires_grad_()
        losses = affinity_displacement_losses(edge, displacement, labels, radius=4, num_labels=3)
        results.append([*terms_of(losses), *torch.autograd.grad(losses.total(), (edge, displacement))])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_displacements_that_point_to_one_place_cost_nothing() -> None:
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(11.0), indexing="ij")
    displacement = torch.stack([2.5 - y, 4 - x])[None]
    labels = torch.ones(1, 7, 11, dtype=torch.uint8)
    losses = affinity_displacement_losses(torch.zeros(1, 7, 11), displacement, labels, radius=5, num_labels=2)
    assert losses.displacement_foreground.item() == pytest.approx(0, abs=1e-6)
    labels.zero_()
    losses = affinity_displacement_losses(torch.zeros(1, 7, 11), displacement, labels, radius=5, num_labels=2)
    assert losses.displacement_foreground.item() == 0
    mean_offset = search_offsets(5).double().abs().mean().item()
    assert losses.displacement_background.item() == pytest.approx(mean_offset, rel=1e-5)


@pytest.mark.parametrize(
    ("label", "present"), [(0, {"positive", "displacement_background"}), (2, {"positive", "displacement_foreground"})]
)
def test_one_label_everywhere_leaves_the_other_losses_at_zero(label: int, present: set[str]) -> None:
    labels = torch.full((1, 5, 9), label)
    losses = affinity_displacement_losses(draw(1, 5, 9), draw(1, 2, 5, 9), labels, radius=5, num_labels=3)
    names = ("positive", "negative", "displacement_foreground", "displacement_background")
    assert {name for name in names if getattr(losses, name).item() > 0} == present


def test_ignored_pixels_count_for_nothing() -> None:
    edge, displacement = draw(1, 5, 9).requires_grad_(), draw(1, 2, 5, 9).requires_grad_()
    losses = affinity_displacement_losses(edge, displacement, torch.full((1, 5, 9), 255), radius=5, num_labels=21)
    losses.total().backward()
    assert values_of(losses) == [0, 0, 0, 0]
    for parameter in (edge, displacement):
        assert parameter.grad is not None
        assert not parameter.grad.any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_edges_at_their_ends_give_finite_losses_and_gradients(value: float) -> None:
    edge, displacement = torch.full((1, 9, 14), value, requires_grad=True), torch.zeros(1, 2, 9, 14)
    labels = draw_labels(1, 9, 14, num_labels=3)
    losses = affinity_displacement_losses(edge, displacement, labels, radius=5, num_labels=3)
    losses.total().backward()
    assert edge.grad is not None
    assert edge.grad.isfinite().all()
    largest = -math.log(1e-5)
    assert losses.positive.item() == pytest.approx(largest * value, abs=1e-4)
    assert losses.negative.item() == pytest.approx(largest * (1 - value), abs=1e-4)


@pytest.mark.slow
def test_gradients_of_losses_are_those_of_finite_differences() -> None:
    edge, displacement = draw(1, 4, 7).double().requires_grad_(), 3 * draw(1, 2, 4, 7, seed=3).double()
    labels = draw_labels(1, 4, 7, num_labels=3)

    def compute(edge: Tensor, displacement: Tensor) -> tuple[Tensor, ...]:
        return terms_of(affinity_displacement_losses(edge, displacement, labels, radius=3, num_labels=3))

    assert torch.autograd.gradcheck(compute, (edge, displacement.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_computed_in_float32(dtype: torch.dtype) -> None:
    edge, displacement = draw(1, 9, 14).to(dtype).requires_grad_(), draw(1, 2, 9, 14).to(dtype).requires_grad_()
    labels = draw_labels(1, 9, 14, num_labels=3)
    losses = affinity_displacement_losses(edge, displacement, labels, radius=5, num_labels=3)
    expected = affinity_displacement_losses(edge.float(), displacement.float(), labels, radius=5, num_labels=3)
    assert values_of(losses) == values_of(expected)
    losses.total().backward()
    assert edge.grad is not None
    assert edge.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_dtype_of_labels_does_not_matter(dtype: torch.dtype) -> None:
    edge, displacement = draw(1, 9, 14), draw(1, 2, 9, 14)
    labels = draw_labels(1, 9, 14, num_labels=3)
    expected = affinity_displacement_losses(edge, displacement, labels, radius=5, num_labels=3)
    losses = affinity_displacement_losses(edge, displacement, labels.to(dtype), radius=5, num_labels=3)
    assert values_of(losses) == values_of(expected)


@pytest.mark.parametrize(("label", "dtype"), [(3, torch.uint8), (-1, torch.int64), (256, torch.int64)])
def test_labels_outside_the_range_are_refused(label: int, dtype: torch.dtype) -> None:
    labels = torch.zeros(1, 5, 9, dtype=dtype)
    labels[0, 2, 3] = label
    with pytest.raises(ShapeError, match=rf"labels must be 0\.\.2 or 255 \(ignored\), got \[{label}\]"):
        affinity_displacement_losses(draw(1, 5, 9), draw(1, 2, 5, 9), labels, radius=5, num_labels=3)


@pytest.mark.parametrize(
    ("edge", "displacement", "labels"),
    [((5, 9), (1, 2, 5, 9), (1, 5, 9)), ((1, 5, 9), (1, 3, 5, 9), (1, 5, 9)), ((1, 5, 9), (1, 2, 5, 9), (1, 9, 5))],
)
def test_inputs_that_do_not_fit_are_refused(
    edge: tuple[int, ...], displacement: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError, match=r"expected edge \(N, H, W\), displacement \(N, 2, H, W\) and labels"):
        affinity_displacement_losses(
            torch.zeros(edge), torch.zeros(displacement), torch.zeros(labels).long(), radius=5, num_labels=3
        )


def test_other_dtypes_are_refused() -> None:
    edge, displacement, labels = draw(1, 5, 9), draw(1, 2, 5, 9), torch.zeros(1, 5, 9)
    for dtype in (torch.float32, torch.int8):  # in int8, 255 would be -1
        with pytest.raises(ShapeError, match=f"expected integer labels of a type that holds 255, got {dtype}"):
            affinity_displacement_losses(edge, displacement, labels.to(dtype), radius=5, num_labels=3)
    with pytest.raises(ShapeError, match=r"expected float displacements, got torch.int64"):
        affinity_displacement_losses(edge, displacement.long(), labels.long(), radius=5, num_labels=3)
    for compute in (path_affinity, feature_affinity):
        with pytest.raises(ShapeError, match=r"expected float \w+ \(N, .*H, W\), got torch.int64"):
            compute(edge.long(), radius=5)


@pytest.mark.parametrize("radius", [1, 0])
def test_losses_without_pairs_are_refused(radius: int) -> None:
    labels = torch.zeros(1, 5, 9).long()
    with pytest.raises(ConfigError, match=f"radius: expected at least 2 px, so that there are pairs, got {radius}"):
        affinity_displacement_losses(draw(1, 5, 9), draw(1, 2, 5, 9), labels, radius=radius, num_labels=3)


@pytest.mark.parametrize("num_labels", [0, 256])
def test_number_of_labels_outside_the_range_is_refused(num_labels: int) -> None:
    labels = torch.zeros(1, 5, 9).long()
    with pytest.raises(ConfigError, match=f"num_labels: expected 1 to 255, background included, got {num_labels}"):
        affinity_displacement_losses(draw(1, 5, 9), draw(1, 2, 5, 9), labels, radius=5, num_labels=num_labels)


def test_maps_smaller_than_the_radius_are_refused() -> None:
    with pytest.raises(ShapeError, match="of at least 5 x 9 px, got 9 x 5; use larger images or a smaller radius"):
        path_affinity(draw(1, 9, 5), radius=5)
    with pytest.raises(ShapeError, match="of at least 5 x 9 px, got 4 x 9"):
        feature_affinity(draw(1, 3, 4, 9), radius=5)
