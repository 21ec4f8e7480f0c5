import pytest
import torch
from torch import Tensor, nn

from weakseg.models.lite_layers import ConvNorm, StridedConv2d, filter_phases, mix_channels
from weakseg.models.resnet import FixedBatchNorm2d

SIZES_HW = [(1, 1), (1, 6), (5, 7), (8, 4)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def assert_same_with_gradients(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    direction = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    ours, theirs = (torch.autograd.grad((maps * direction).sum(), inputs) for maps in (found, expected))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("kernel_px", [3, 5])
@pytest.mark.parametrize("has_bias", [False, True])
def test_filter_phases_is_a_dilated_depthwise_convolution(
    size_hw: tuple[int, int], dilation: int, kernel_px: int, has_bias: bool
) -> None:
    x, weight = random(2, 3, *size_hw), random(3, 1, kernel_px, kernel_px, seed=1)
    bias = random(3, seed=2) if has_bias else None
    before = x.detach().clone()
    padding = dilation * (kernel_px // 2)
    expected = nn.functional.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=3)
    inputs = [x, weight, *([bias] if bias is not None else [])]
    assert_same_with_gradients(filter_phases(x, weight, bias, dilation=dilation), expected, inputs)
    assert torch.equal(x, before)


def test_filter_phases_reads_every_other_pixel() -> None:
    x = torch.tensor([[[[1.0, 10.0, 100.0, 1000.0, 10000.0]]]])
    weight = torch.tensor([[[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]]])
    assert filter_phases(x, weight, None, dilation=2).flatten().tolist() == [302, 3020, 30201, 2010, 20100]


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("has_bias", [False, True])
def test_mix_channels_is_a_1x1_convolution(size_hw: tuple[int, int], has_bias: bool) -> None:
    x, weight = random(2, 3, *size_hw), random(5, 3, 1, 1, seed=1)
    bias = random(5, seed=2) if has_bias else None
    inputs = [x, weight, *([bias] if bias is not None else [])]
    assert_same_with_gradients(mix_channels(x, weight, bias), nn.functional.conv2d(x, weight, bias), inputs)


@pytest.mark.parametrize(
    ("kernel_px", "stride", "dilation", "groups"),
    [(1, 1, 1, 1), (3, 1, 1, 4), (3, 2, 1, 4), (5, 1, 2, 4), (3, 2, 1, 1)],
)
@pytest.mark.parametrize("is_learning", [False, True])
def test_strided_convolution_runs_alike_whether_it_learns_or_not(
    kernel_px: int, stride: int, dilation: int, groups: int, is_learning: bool
) -> None:
    convolution = StridedConv2d(
        4, 4, kernel_px, stride=stride, dilation=dilation, groups=groups, place="first"
    ).double()
    x = random(2, 4, 7, 9)
    reach = dilation * (kernel_px // 2)
    padded = nn.functional.pad(x, (reach,) * 4)
    expected = nn.functional.conv2d(padded, convolution.weight, None, stride=stride, dilation=dilation, groups=groups)
    with torch.set_grad_enabled(is_learning):
        found = convolution(x)
    torch.testing.assert_close(found, expected)
    assert found.requires_grad is is_learning


@pytest.mark.parametrize(("kernel_px", "stride", "dilation"), [(1, 1, 1), (3, 1, 1), (3, 2, 1), (5, 1, 2)])
@pytest.mark.parametrize("rectify", [False, True])
def test_folded_norm_is_the_norm_of_the_convolution(kernel_px: int, stride: int, dilation: int, rectify: bool) -> None:
    groups = 1 if kernel_px == 1 else 4
    convolution = StridedConv2d(4, 4, kernel_px, stride=stride, dilation=dilation, groups=groups, place="second")
    layers = ConvNorm(4, 4, convolution=convolution, norm=FixedBatchNorm2d, rectify=rectify).double()
    norm = layers.norm
    norm.running_mean, norm.running_var = random(4, seed=3).detach(), random(4, seed=4).detach().square() + 0.5
    norm.weight.data, norm.bias.data = random(4, seed=5).detach(), random(4, seed=6).detach()
    x = random(2, 4, 7, 9)
    expected = norm(convolution(x))
    if rectify:
        expected = nn.functional.relu6(expected)
    assert_same_with_gradients(layers(x), expected, [x, convolution.weight, norm.weight, norm.bias])


def test_a_norm_that_learns_takes_the_statistics_of_the_batch() -> None:
    layers = ConvNorm(3, 3, norm=nn.BatchNorm2d, rectify=False)
    maps = layers(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    assert bool(layers.norm.running_mean.any())
