import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden_weights import GOLDEN
from tests.tiny import NARROW_GROUPS
from weakseg.errors import ConfigError, ShapeError
from weakseg.models.efficientnet_lite import (
    LITE_NAMES,
    EfficientNetLite,
    build_efficientnet_lite,
    imagenet_network,
)
from weakseg.models.lite_layers import ConvNorm, InvertedBottleneck, StridedConv2d
from weakseg.models.resnet import FixedBatchNorm2d
from weakseg.ops.images import normalise

GOLDEN_RTOL = 1e-4
"""Of the largest recorded value; 3e-6 were measured."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LITE_NAMES)
def test_published_networks_answer_as_recorded(name: str) -> None:
    network = imagenet_network(name)
    golden = np.load(GOLDEN / "efficientnet_lite.npz")
    recorded = f"lite{name[-1]}_image"
    for image in range(2):
        x = normalise(golden[f"image{image}_rgb"])[None]
        with torch.no_grad():
            features, logits = network.features(x)[0], network(x)[0]
        for found, entry in (
            (logits, "logits"),
            (features[:32], "features_first32"),
            (features.mean(dim=(1, 2)), "features_mean"),
        ):
            expected = golden[f"{recorded}{image}_{entry}"]
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=GOLDEN_RTOL * np.abs(expected).max())


def test_published_networks_refuse_what_is_no_batch_of_images_and_unknown_names() -> None:
    network = imagenet_network("efficientnet_lite0")
    assert not network.training
    with pytest.raises(ShapeError, match="expected normalised images"):
        network(torch.zeros(1, 1, 8, 8))
    for build in (imagenet_network, build_efficientnet_lite):
        with pytest.raises(ConfigError, match="efficientnet_lite5") as error:
            build("efficientnet_lite5")
        assert all(known in str(error.value) for known in LITE_NAMES)


# Google's counts in millions are 4.7, 5.4 and 6.1, with the 1 281 000 of ImageNet's classifier.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "repeats", "widths"),
    [
        ("efficientnet_lite0", 4_652_008, (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 112, 320)),
        ("efficientnet_lite1", 5_416_680, (1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 112, 320)),
        ("efficientnet_lite2", 6_092_072, (1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 120, 352)),
    ],
)
def test_named_networks_have_the_published_depths_and_widths(
    name: str, parameters: int, repeats: tuple[int, ...], widths: tuple[int, ...]
) -> None:
    scoring, dense = build_efficientnet_lite(name), build_efficientnet_lite(name, stride=8, has_head=False)
    assert sum(parameter.numel() for parameter in scoring.parameters()) == parameters - 1_281_000
    assert scoring.repeats == dense.repeats == repeats
    assert tuple(form.channels for form in scoring.stage_forms()) == widths
    assert tuple(form.stride for form in scoring.stage_forms()) == (2, 4, 8, 16, 16)
    assert tuple(form.stride for form in dense.stage_forms()) == (2, 4, 8, 8, 8)
    assert (scoring.stride, scoring.out_channels) == (16, 1280)
    assert (dense.stride, dense.out_channels) == (8, widths[-1])
    assert (scoring.channels.conv4, scoring.channels.conv5, scoring.channels.conv6) == (*widths[-2:], 1280)
    assert (dense.channels.conv4, dense.channels.conv5, dense.channels.conv6) == (*widths[-2:], widths[-1])


def test_dense_form_drops_the_head_and_keeps_everything_else() -> None:
    scoring = build_efficientnet_lite("efficientnet_lite0").state_dict()
    dense = build_efficientnet_lite("efficientnet_lite0", stride=8, has_head=False)
    kept = {name: value.shape for name, value in scoring.items() if not name.startswith(dense.spare_parts)}
    assert dense.spare_parts == ("head.",)
    assert {name: value.shape for name, value in dense.state_dict().items()} == kept
    assert len(kept) == len(scoring) - 6


def test_blocks_behind_a_stride_that_was_taken_away_are_dilated() -> None:
    def dilations(network: EfficientNetLite) -> list[list[int]]:
        return [[block.depthwise.conv.dilation[0] for block in group] for group in network.groups]

    assert dilations(EfficientNetLite(NARROW_GROUPS, stride=32)) == [[1], [1, 1], [1], [1], [1], [1, 1], [1]]
    assert dilations(EfficientNetLite(NARROW_GROUPS, stride=16)) == [[1], [1, 1], [1], [1], [1], [1, 2], [2]]
    assert dilations(EfficientNetLite(NARROW_GROUPS, stride=8)) == [[1], [1, 1], [1], [1], [2], [2, 4], [4]]


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (37, 66)])
def test_output_covers_every_size(stride: int, size_hw: tuple[int, int]) -> None:
    backbone = EfficientNetLite(NARROW_GROUPS, stride=stride)
    image = torch.ones(2, 3, *size_hw)
    features = backbone.trunk(image)
    cells_hw = tuple(math.ceil(side / stride) for side in size_hw)
    assert features.shape == (2, 8, *(math.ceil(side / 8) for side in size_hw))
    assert backbone.tail(features).shape == (2, 1280, *cells_hw)
    if stride < 32:
        levels = backbone.levels(features)
        assert levels.conv4.shape == levels.conv5.shape == (2, 8, *cells_hw)
        assert levels.conv6.shape == (2, 1280, *cells_hw)
    assert bool((image == 1).all())


def test_levels_and_stages_are_the_outputs_of_the_groups() -> None:
    network = EfficientNetLite(NARROW_GROUPS, stride=16, generator=torch.Generator().manual_seed(0)).eval()
    x = torch.randn(1, 3, 35, 50, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        levels, stages = network.levels(network.trunk(x)), network.run_stages(x)
        assert torch.equal(levels.conv4, stages[3])
        assert torch.equal(levels.conv5, stages[4])
        assert torch.equal(levels.conv6, network(x))
    for stage, form in zip(stages, network.stage_forms(), strict=True):
        assert stage.shape == (1, form.channels, math.ceil(35 / form.stride), math.ceil(50 / form.stride))
    assert bool((levels.conv5 < 0).any()), "what a bottleneck gives is not rectified"
    assert levels.conv6.min() >= 0
    assert levels.conv6.max() <= 6


def read_centres(network: EfficientNetLite) -> None:
    """Let every kernel read its centre alone, so that a cell reads one pixel of the image."""
    for module in network.modules():
        if isinstance(module, StridedConv2d):
            middle = module.kernel_size[0] // 2
            weight = torch.zeros_like(module.weight)
            weight[:, :, middle, middle] = 0.1
            module.weight.data = weight


def find_read_pixels(network: EfficientNetLite, size_hw: tuple[int, int], cell: tuple[int, int]) -> list[list[int]]:
    """Return the places (row, column) of the image that a cell of the output depends on."""
    image = torch.ones(1, 3, *size_hw, requires_grad=True)
    network(image)[0, 0, cell[0], cell[1]].backward()
    assert image.grad is not None
    return image.grad[0].abs().sum(0).nonzero().tolist()


@pytest.mark.parametrize("size_hw", [(48, 64), (33, 31)])
@pytest.mark.parametrize(("stride", "middle"), [(8, 3), (16, 7), (32, 15)])
def test_cells_are_centred_on_their_blocks_whatever_the_size(
    stride: int, middle: int, size_hw: tuple[int, int]
) -> None:
    network = EfficientNetLite(NARROW_GROUPS, stride=stride, fixed_norm=True)
    read_centres(network)
    row, column = (size_hw[0] - middle - 1) // stride, (size_hw[1] - middle - 1) // stride
    for cell in ((0, 0), (row, 0), (row, column)):
        expected = [[stride * cell[0] + middle, stride * cell[1] + middle]]
        assert find_read_pixels(network, size_hw, cell) == expected


def test_as_released_the_place_of_a_cell_depends_on_the_size() -> None:
    network = EfficientNetLite(NARROW_GROUPS, stride=32, centred=False, fixed_norm=True)
    read_centres(network)
    assert find_read_pixels(network, (64, 64), (0, 0)) == [[31, 31]]
    assert find_read_pixels(network, (65, 64), (0, 0)) == [[0, 31]]
    assert find_read_pixels(network, (65, 64), (1, 1)) == [[32, 63]]


@pytest.mark.parametrize("kernel_px", [3, 5])
@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_both_places_of_a_strided_convolution_give_ceil_of_half(kernel_px: int, length: int) -> None:
    ramp = torch.arange(1.0, length + 1)
    second = nn.functional.pad(ramp, (0, length % 2))[1::2]  # an odd side's last output is centred on the padding
    for place, expected in (("first", ramp[::2]), ("second", second)):
        convolution = StridedConv2d(1, 1, kernel_px, stride=2, place=place)
        convolution.weight.data = torch.zeros(1, 1, kernel_px, kernel_px)
        convolution.weight.data[..., kernel_px // 2, kernel_px // 2] = 1.0
        assert torch.equal(convolution(ramp.expand(1, 1, 2, length)), expected.expand(1, 1, 1, len(expected)))


def test_input_is_brought_to_the_released_scale() -> None:
    network = EfficientNetLite(NARROW_GROUPS)
    rgb = np.array([[[0, 127, 255]]], np.uint8)
    scaled = normalise(rgb)[None] * network.input_scale + network.input_shift
    torch.testing.assert_close(scaled.flatten(), torch.tensor([-127 / 128, 0.0, 1.0]), rtol=0, atol=1e-6)
    assert not any(name.startswith("input") for name in network.state_dict())


def test_same_generator_seed_gives_the_same_weights_and_another_gives_others() -> None:
    def weights(seed: int) -> Tensor:
        return (
            EfficientNetLite(NARROW_GROUPS, generator=torch.Generator().manual_seed(seed))
            .groups[5][1]
            .project.conv.weight
        )

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_shortcut_only_where_sizes_agree() -> None:
    def block(in_channels: int, out_channels: int, stride: int) -> InvertedBottleneck:
        return InvertedBottleneck(
            in_channels,
            out_channels,
            kernel_px=3,
            expansion=1,
            stride=stride,
            dilation=1,
            place="first",
            norm=FixedBatchNorm2d,
        )

    assert block(4, 4, 1).has_shortcut
    assert not block(4, 4, 2).has_shortcut
    assert not block(4, 8, 1).has_shortcut
    same = block(4, 4, 1)
    same.project.norm.weight.data.zero_()
    x = torch.randn(1, 4, 3, 5)
    assert torch.equal(same(x), x)


def test_free_norms_learn_their_statistics_and_fixed_ones_do_not() -> None:
    x = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    for fixed_norm in (False, True):
        network = EfficientNetLite(NARROW_GROUPS, fixed_norm=fixed_norm).train()
        norm = network.groups[6][0].project
        assert isinstance(norm, ConvNorm)
        before = norm.norm.running_mean.clone()
        network(x)
        assert torch.equal(norm.norm.running_mean, before) is fixed_norm


def test_channels_last_gives_the_same_features_and_gradients() -> None:
    network = EfficientNetLite(NARROW_GROUPS, fixed_norm=True, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 33, 40, generator=torch.Generator().manual_seed(1))
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=memory_format)
        features = network(x.contiguous(memory_format=memory_format))
        network.zero_grad()
        features.square().mean().backward()
        found.append((features.detach(), network.stem.conv.weight.grad.clone()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
