import math

import pytest
import torch
from torch import Tensor

from weakseg.models import pixel_correlation
from weakseg.models.pixel_correlation import CorrelationWidths, PixelCorrelation
from weakseg.ops.equivariance import compete, normalise_maps

WIDTHS = CorrelationWidths(conv4=2, conv5=3, embedding=4)
CHANNELS = (5, 6)


def make_module() -> PixelCorrelation:
    return PixelCorrelation(*CHANNELS, widths=WIDTHS, generator=torch.Generator().manual_seed(0))


def draw_inputs(num_classes: int = 3, *, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((batch, num_classes, 3, 5), (batch, 3, 19, 38), (batch, CHANNELS[0], 3, 5), (batch, CHANNELS[1], 3, 5))
    scores, image, conv4, conv5 = (torch.randn(shape, generator=generator) for shape in shapes)
    return scores, image, conv4, conv5


def look_at_the_image_alone(module: PixelCorrelation) -> None:
    """Make the embedding the image's red and green values."""
    torch.nn.init.zeros_(module.embed.weight)
    for channel in (0, 1):
        module.embed.weight.data[channel, channel] = 1


def test_released_widths_have_the_released_shapes() -> None:
    module = PixelCorrelation(512, 1024)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert shapes == {
        "reduce_conv4.weight": (64, 512, 1, 1),
        "reduce_conv5.weight": (128, 1024, 1, 1),
        "embed.weight": (192, 195, 1, 1),
    }


def test_each_position_becomes_the_average_weighted_by_rectified_cosines() -> None:
    """Positions look at 0, 60 and 135 degrees: cosines 1/2, below 0 and cos 75."""
    module = make_module()
    look_at_the_image_alone(module)
    angles = torch.tensor([0.0, 60.0, 135.0]).deg2rad()
    image = torch.stack((2 * angles.cos(), 2 * angles.sin(), torch.zeros(3))).view(1, 3, 1, 3)
    scores = torch.tensor([[[[4.0, 1.0, -1.0]]]])
    features = [torch.zeros(1, channels, 1, 3) for channels in CHANNELS]
    refined = module(scores, image, *features)
    near = math.cos(math.radians(75))
    expected = [(1 + 0.25 * 0.5) / 1.5, (0.25 + 0.5) / (1.5 + near), 0.25 * near / (1 + near)]
    assert refined[0, 1, 0].tolist() == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(refined[:, 0], 1 - refined[:, 1], rtol=0, atol=1e-4)


def test_positions_that_all_look_alike_get_the_average() -> None:
    module = make_module()
    look_at_the_image_alone(module)
    scores, _, conv4, conv5 = draw_inputs()
    refined = module(scores, torch.ones(2, 3, 6, 10), conv4, conv5)
    average = compete(normalise_maps(scores)).mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(refined, average.expand_as(refined), rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_classes", [1, 3, 80])
def test_refined_maps_have_the_background_first_and_lie_in_0_to_1(num_classes: int) -> None:
    inputs = draw_inputs(num_classes)
    before = [value.clone() for value in inputs]
    refined = make_module()(*inputs)
    assert refined.shape == (2, num_classes + 1, 3, 5)
    assert refined.dtype == torch.float32
    assert 0 <= refined.min() < refined.max() <= 1
    torch.testing.assert_close(refined.sum(dim=1), torch.ones(2, 3, 5), rtol=0, atol=1e-3)
    assert all(torch.equal(one, other) for one, other in zip(inputs, before, strict=True))


def test_each_image_is_refined_on_its_own() -> None:
    inputs = draw_inputs()
    module = make_module()
    torch.testing.assert_close(module(*inputs)[1:], module(*(value[1:] for value in inputs)))


def test_positions_without_features_get_zero_and_stay_finite() -> None:
    inputs = draw_inputs()
    refined = make_module()(inputs[0], *(torch.zeros_like(value) for value in inputs[1:]))
    assert not refined.any()


def test_only_the_modules_own_layers_learn() -> None:
    module = make_module()
    inputs = [value.requires_grad_() for value in draw_inputs()]
    module(*inputs).square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in module.parameters())
    assert [value.grad for value in (inputs[0], inputs[2], inputs[3])] == [None, None, None]


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs()
    module = make_module()
    whole = module(*inputs)
    monkeypatch.setattr(pixel_correlation, "PAIRS_AT_ONCE", 60)  # two of 15 positions at a time
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), whole)
