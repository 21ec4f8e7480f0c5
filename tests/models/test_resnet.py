import math

import pytest
import torch
from torch import nn

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.resnet import (
    BACKBONE_NAMES,
    BasicBlock,
    Bottleneck,
    FixedBatchNorm2d,
    ResNet,
    Stem,
    build_backbone,
)


def tiny() -> ResNet:
    return build_backbone("critter", generator=torch.Generator().manual_seed(0))


def test_state_dict_has_torchvision_names_in_torchvision_order() -> None:
    with torch.device("meta"):
        names = list(build_backbone("resnet50").state_dict())
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert names[:6] == ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    first_block = [name.removeprefix("layer1.0.") for name in names if name.startswith("layer1.0.")]
    assert [name for name in first_block if name.endswith(".weight")] == [
        "conv1.weight",
        "bn1.weight",
        "conv2.weight",
        "bn2.weight",
        "conv3.weight",
        "bn3.weight",
        "downsample.0.weight",
        "downsample.1.weight",
    ]
    assert not any(name.startswith("layer1.1.downsample") for name in names)


# torchvision's published parameter counts less those of `fc` (1000 classes).
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnet101", 44_549_160 - 2_049_000),
    ],
)
def test_parameter_counts_are_those_of_the_published_networks(name: str, parameters: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dense", "stride", "channels"),
    [
        ("critter", False, 8, 128),
        ("critter", True, 8, 128),
        ("resnet18", False, 16, 512),
        ("resnet18", True, 8, 512),
        ("resnet50", False, 16, 2048),
        ("resnet50", True, 8, 2048),
        ("resnet101", True, 8, 2048),
    ],
)
def test_output_has_the_promised_stride_and_channels(name: str, dense: bool, stride: int, channels: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, dense=dense).eval()
        features = backbone(torch.empty(2, 3, 97, 131))
    assert (backbone.stride, backbone.out_channels) == (stride, channels)
    assert features.shape == (2, channels, math.ceil(97 / stride), math.ceil(131 / stride))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (16, 17), (33, 64)])
def test_features_cover_every_pixel_of_odd_sizes(height: int, width: int) -> None:
    features = tiny().eval()(torch.zeros(1, 3, height, width))
    assert features.shape[2:] == (math.ceil(height / 8), math.ceil(width / 8))


def test_stride_of_a_bottleneck_sits_in_its_3x3_convolution() -> None:
    block = Bottleneck(8, 4, stride=2, dilation=1, norm=nn.BatchNorm2d)
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


def test_stride_of_a_basic_block_sits_in_its_first_convolution() -> None:
    block = BasicBlock(8, 8, stride=2, dilation=1, norm=nn.BatchNorm2d)
    assert (block.conv1.stride, block.conv2.stride) == ((2, 2), (1, 1))
    assert block.downsample is not None


def test_block_without_a_change_of_size_has_no_shortcut_convolution() -> None:
    assert BasicBlock(8, 8, stride=1, dilation=1, norm=nn.BatchNorm2d).downsample is None


def test_dense_form_dilates_every_block_of_the_last_layers_and_keeps_the_parameters() -> None:
    with torch.device("meta"):
        scoring, dense = build_backbone("resnet18"), build_backbone("resnet18", dense=True)
    assert [block.conv2.dilation for block in dense.layer3] == [(2, 2), (2, 2)]
    assert [block.conv1.dilation for block in dense.layer4] == [(4, 4), (4, 4)]
    assert [block.conv1.dilation for block in dense.layer2] == [(1, 1), (1, 1)]
    assert {name: value.shape for name, value in dense.state_dict().items()} == {
        name: value.shape for name, value in scoring.state_dict().items()
    }


def test_critter_is_the_small_network_of_the_demo() -> None:
    backbone = tiny()
    assert backbone.conv1.weight.shape == (16, 3, 5, 5)
    assert [len(layer) for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)] == [1] * 4
    widths = [layer[0].conv2.out_channels for layer in (backbone.layer1, backbone.layer2, backbone.layer3)]
    assert widths == [32, 64, 64]
    assert isinstance(backbone.maxpool, nn.Identity)


def test_same_generator_seed_gives_the_same_weights_and_another_gives_others() -> None:
    def weights(seed: int) -> torch.Tensor:
        return build_backbone("critter", generator=torch.Generator().manual_seed(seed)).layer4[0].conv2.weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_convolutions_start_he_normal_over_their_fan_out() -> None:
    weight = tiny().layer4[0].conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.01)
    assert weight.mean().abs().item() < 1e-3


def test_trunk_then_tail_is_the_whole_network() -> None:
    backbone = tiny().eval()
    images = torch.randn(2, 3, 21, 30, generator=torch.Generator().manual_seed(1))
    assert torch.equal(backbone.tail(backbone.trunk(images)), backbone(images))
    by_layer = backbone.layer4(backbone.layer3(backbone.layer2(backbone.layer1(backbone.stem(images)))))
    assert torch.equal(by_layer, backbone(images))


def test_channels_last_gives_the_same_features() -> None:
    backbone = tiny().eval()
    images = torch.randn(2, 3, 33, 40, generator=torch.Generator().manual_seed(1))
    expected = backbone(images)
    backbone.to(memory_format=torch.channels_last)
    features = backbone(images.contiguous(memory_format=torch.channels_last))
    assert features.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_input_is_not_modified() -> None:
    images = torch.randn(1, 3, 20, 24)
    before = images.clone()
    tiny()(images)
    assert torch.equal(images, before)


def test_fixed_norm_uses_running_statistics_from_the_start_and_after_train() -> None:
    norm = FixedBatchNorm2d(2)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 9.0]))
    x = torch.tensor([[[[3.0]], [[5.0]]]])
    expected = torch.tensor([[[[1.0]], [[1.0]]]])
    for _ in range(2):
        torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-5)
        norm.train()
    assert norm.running_mean.tolist() == [1.0, 2.0]


def test_scale_and_shift_of_a_fixed_norm_learn() -> None:
    norm = FixedBatchNorm2d(1).train()
    norm(torch.tensor([[[[2.0]]]])).sum().backward()
    assert norm.weight.grad is not None
    assert norm.weight.grad.item() == pytest.approx(2.0, rel=1e-4)
    assert norm.bias.grad is not None
    assert norm.bias.grad.item() == 1.0


def test_fixed_norm_network_keeps_its_statistics_in_training_and_keeps_the_names() -> None:
    fixed = build_backbone("critter", fixed_norm=True).train()
    assert list(fixed.state_dict()) == list(tiny().state_dict())
    before = fixed.bn1.running_mean.clone()
    fixed(torch.randn(2, 3, 24, 24))
    assert torch.equal(fixed.bn1.running_mean, before)
    free = tiny().train()
    free(torch.randn(2, 3, 24, 24))
    assert not torch.equal(free.bn1.running_mean, before)


def test_wrong_number_of_layers_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected 4 strides, got \(1, 2, 2\)"):
        ResNet(BasicBlock, depths=(1, 1, 1, 1), strides=(1, 2, 2), stem=Stem(channels=4))


def test_unknown_name_lists_the_options() -> None:
    with pytest.raises(ConfigError, match="resnet60") as error:
        build_backbone("resnet60")
    assert all(name in str(error.value) for name in BACKBONE_NAMES)
