import math

import pytest
import torch

import weakseg.ops.similarity as similarity
from weakseg.errors import ShapeError
from weakseg.ops.similarity import average_over_similar


def test_each_position_takes_the_average_weighted_by_the_softmax_of_cosines() -> None:
    maps = torch.tensor([[[1.0, 0.0, 0.0]]])
    features = torch.tensor([[[1.0, 2.0, 0.0]], [[0.0, 0.0, 5.0]]])  # the first two point the same way
    found = average_over_similar(maps, features, temperature=0.5)
    alike, other = math.exp(2), 1.0
    want = [alike / (2 * alike + other)] * 2 + [other / (2 * other + alike)]
    assert found.flatten().tolist() == pytest.approx(want, abs=1e-6)


def test_features_finer_than_the_maps_are_averaged_down() -> None:
    maps = torch.tensor([[[1.0, 0.0]]])
    fine = torch.tensor([[[1.0, 3.0, 0.0, 0.0]], [[0.0, 0.0, 2.0, 4.0]]])
    coarse = torch.tensor([[[2.0, 0.0]], [[0.0, 3.0]]])
    found = average_over_similar(maps, fine, temperature=0.3)
    assert torch.equal(found, average_over_similar(maps, coarse, temperature=0.3))


@pytest.mark.parametrize("features", [torch.zeros(4, 3, 5), torch.ones(4, 3, 5)], ids=["no features", "all alike"])
def test_without_any_difference_every_position_gets_the_mean(features: torch.Tensor) -> None:
    maps = torch.arange(30.0).view(2, 3, 5)
    found = average_over_similar(maps, features, temperature=0.1)
    assert torch.allclose(found, maps.mean(dim=(1, 2), keepdim=True).expand_as(maps))


def test_a_low_temperature_leaves_maps_as_they_are() -> None:
    generator = torch.Generator().manual_seed(1)
    maps, features = torch.rand(3, 4, 6, generator=generator), torch.randn(8, 4, 6, generator=generator)
    assert torch.allclose(average_over_similar(maps, features, temperature=1e-3), maps, atol=1e-6)


def test_values_stay_between_the_extremes_and_inputs_as_they_were() -> None:
    generator = torch.Generator().manual_seed(2)
    maps, features = torch.rand(80, 5, 7, generator=generator), torch.randn(6, 11, 15, generator=generator)
    copies = maps.clone(), features.clone()
    found = average_over_similar(maps, features, temperature=0.1)
    assert found.shape == maps.shape
    assert found.dtype == maps.dtype
    slack = 1e-6  # of rounding
    assert (found.amax((1, 2)) <= maps.amax((1, 2)) + slack).all()
    assert (found.amin((1, 2)) >= maps.amin((1, 2)) - slack).all()
    assert torch.equal(maps, copies[0])
    assert torch.equal(features, copies[1])


def test_rows_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    maps, features = torch.rand(1, 4, 5, generator=generator), torch.randn(6, 4, 5, generator=generator)
    whole = average_over_similar(maps, features, temperature=0.2)
    monkeypatch.setattr(similarity, "PAIRS_AT_ONCE", 60)  # three rows of 20
    assert torch.allclose(average_over_similar(maps, features, temperature=0.2), whole, atol=1e-6)


def test_it_has_a_gradient_in_both() -> None:
    generator = torch.Generator().manual_seed(4)
    maps = torch.rand(2, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    features = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, f: average_over_similar(m, f, temperature=0.5), (maps, features))


def test_no_tags_give_no_maps() -> None:
    assert average_over_similar(torch.zeros(0, 3, 4), torch.ones(5, 3, 4), temperature=0.1).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("maps", "features", "temperature", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(5, 3, 4), 0.1, "expected maps"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 5, 3, 4), 0.1, "expected maps"),
        (torch.zeros(1, 3, 4), torch.zeros(5, 3, 3), 0.1, "coarser than maps"),
        (torch.zeros(1, 3, 4, dtype=torch.int32), torch.zeros(5, 3, 4), 0.1, "expected float maps and features"),
        (torch.zeros(1, 3, 4), torch.zeros(5, 3, 4), 0.0, "temperature above 0, got 0"),
        (torch.zeros(1, 3, 4), torch.zeros(5, 3, 4), math.nan, "temperature above 0, got nan"),
    ],
)
def test_what_does_not_fit_is_refused(
    maps: torch.Tensor, features: torch.Tensor, temperature: float, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        average_over_similar(maps, features, temperature=temperature)
