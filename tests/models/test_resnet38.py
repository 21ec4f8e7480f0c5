import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.golden_weights import GOLDEN, load_layout
from weakseg.errors import ConfigError
from weakseg.localize.rib import adapt
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.resnet import FixedBatchNorm2d
from weakseg.models.resnet38 import (
    BottleneckUnit,
    PlainUnit,
    ResNet38,
    ResNet38Form,
    build_resnet38,
)
from weakseg.models.weights import load_official

FORWARD_RTOL = 1e-4
TINY = ResNet38Form(
    stem=4,
    depths=(1, 1, 2, 2),
    widths=(5, 6, 7),
    stage5=(6, 8),
    stage6=(5, 6, 9),
    stage7=(5, 6, 10),
    dropout=(0.0, 0.0, 0.5),
)


CONVOLUTIONS_3X3 = {
    "b4_5.conv_branch2b1": 1,
    "b5.conv_branch2a": 1,
    "b5.conv_branch2b1": 2,
    "b5_1.conv_branch2a": 2,
    "b5_2.conv_branch2b1": 2,
    "b6.conv_branch2b1": 4,
    "b7.conv_branch2b1": 4,
}
"""Some convolutions and their dilations."""


def make_critter38(seed: int = 0) -> ResNet38:
    return build_resnet38("critter38", generator=torch.Generator().manual_seed(seed)).eval()


@pytest.fixture(scope="module")
def wide() -> ResNet38:
    """The published network's structure, without memory for its parameters."""
    with torch.device("meta"):
        return build_resnet38("resnet38")


@pytest.mark.slow
def test_score_maps_and_logits_are_the_recorded_ones(resnet38_parameters: dict[str, NDArray[np.generic]]) -> None:
    names = load_layout("resnet38_cls").shapes
    classifier = load_official({name: resnet38_parameters[name] for name in names}, "resnet38_cls")
    assert isinstance(classifier, Classifier)
    golden = np.load(GOLDEN / "resnet38_cls.npz")
    image = torch.from_numpy(golden["image"])[None]
    with torch.no_grad():
        maps = classifier.head(classifier.trunk(image))
        logits = classifier(image)
    np.testing.assert_allclose(maps.relu().numpy(), golden["cam"], rtol=0, atol=FORWARD_RTOL * golden["cam"].max())
    np.testing.assert_allclose(logits.numpy(), golden["logits"], rtol=FORWARD_RTOL)
    assert (classifier.stride, classifier.num_classes, classifier.training) == (8, 20, False)
    assert classifier.freeze_trunk


def test_names_and_shapes_are_the_official_ones(wide: ResNet38) -> None:
    own = wide.state_dict()
    official = {name: tuple(shape) for name, shape in load_layout("resnet38_cls").shapes.items()}
    del official["fc8.weight"]
    assert {name: tuple(value.shape) for name, value in own.items()} == official


def test_narrow_network_has_the_same_kinds_of_parts_and_few_parameters(wide: ResNet38) -> None:
    narrow = make_critter38()
    assert set(narrow.state_dict()) < set(wide.state_dict())
    assert sum(parameter.numel() for parameter in narrow.parameters()) < 1_000_000
    assert sum(parameter.numel() for parameter in wide.parameters()) == 105_070_912


@pytest.mark.parametrize(
    ("size_hw", "cells"), [((19, 27), (3, 4)), ((1, 1), (1, 1)), ((8, 9), (1, 2)), ((64, 40), (8, 5))]
)
def test_output_covers_the_image_at_stride_8(size_hw: tuple[int, int], cells: tuple[int, int]) -> None:
    network = make_critter38()
    with torch.no_grad():
        output = network(torch.randn(2, 3, *size_hw))
    assert output.shape == (2, network.out_channels, *cells)
    assert network.stride == 8


def test_levels_are_rectified_features_of_three_depths_and_the_last_is_the_output() -> None:
    network = make_critter38()
    images = torch.randn(2, 3, 19, 27, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        levels = network.levels(network.trunk(images))
        assert torch.equal(network(images), levels.conv6)
    for features, channels in (
        (levels.conv4, network.channels.conv4),
        (levels.conv5, network.channels.conv5),
        (levels.conv6, network.channels.conv6),
    ):
        assert features.shape == (2, channels, 3, 4)
        assert features.min() == 0
        assert features.max() > 0
    assert network.channels.conv6 == network.out_channels


def test_channels_of_the_levels_are_those_that_affinitynet_and_seam_read(wide: ResNet38) -> None:
    channels = wide.channels
    assert (channels.conv4, channels.conv5, channels.conv6) == (512, 1024, 4096)


def test_trunk_modules_hold_the_trunk_and_nothing_else() -> None:
    network = make_critter38()
    network.trunk(torch.randn(1, 3, 16, 24)).square().sum().backward()
    learnt = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    trunk = {id(parameter) for module in network.trunk_modules() for parameter in module.parameters()}
    assert learnt == {name for name, parameter in network.named_parameters() if id(parameter) in trunk}
    assert {name.split(".")[0] for name in learnt} == {"conv1a", "b2"}


def test_a_plain_shortcut_carries_what_was_never_rectified() -> None:
    unit = PlainUnit(2, 3, 2, stride=1, dilations=(1, 1), norm=torch.nn.BatchNorm2d).eval()
    torch.nn.init.zeros_(unit.conv_branch2b1.weight)
    x = torch.tensor([[[[-1.0, 2.0]], [[0.5, -3.0]]]])
    assert torch.equal(unit(x), x)
    assert unit.conv_branch1 is None


def test_a_convolved_shortcut_reads_the_normalised_and_rectified_input() -> None:
    unit = PlainUnit(1, 1, 2, stride=2, dilations=(1, 1), norm=torch.nn.BatchNorm2d).eval()
    torch.nn.init.zeros_(unit.conv_branch2b1.weight)
    assert unit.conv_branch1 is not None
    with torch.no_grad():
        unit.conv_branch1.weight.copy_(torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1))
        unit.bn_branch2a.running_mean.fill_(1.0)
        output = unit(torch.tensor([[[[-1.0, 9.0, 4.0], [9.0, 9.0, 9.0], [2.0, 9.0, 0.0]]]]))
    # Every second pixel, less the mean of 1, rectified: 0, 3, 1, 0.
    expected = torch.tensor([[[[0.0, 3.0], [1.0, 0.0]], [[0.0, -6.0], [-2.0, 0.0]]]])
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=0.0)


def test_first_convolution_of_stage_5_is_the_only_one_there_without_dilation(wide: ResNet38) -> None:
    dilations = {name: wide.get_submodule(name).dilation[0] for name in CONVOLUTIONS_3X3}
    assert dilations == CONVOLUTIONS_3X3


def test_training_drops_whole_channels_of_the_output_and_none_of_the_levels() -> None:
    torch.manual_seed(0)
    network = ResNet38(TINY, fixed_norm=True, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.trunk(torch.randn(8, 3, 9, 17))
        kept = network.levels(features).conv6
        dropped = network.tail(features)
    is_dropped = (dropped == 0).all(dim=(2, 3)) & (kept > 0).any(dim=(2, 3))
    assert 0 < is_dropped.sum() < is_dropped.numel()
    torch.testing.assert_close(dropped, kept * 2 * ~is_dropped[:, :, None, None])
    assert torch.equal(network.eval().tail(features), kept)


def test_bottlenecks_drop_channels_of_the_branch_in_training_only() -> None:
    torch.manual_seed(0)
    unit = BottleneckUnit(4, (3, 5, 6), dilation=1, dropout=0.5, norm=FixedBatchNorm2d)
    x = torch.randn(2, 4, 5, 3)
    with torch.no_grad():
        assert not torch.equal(unit.train()(x), unit(x))
        assert torch.equal(unit.eval()(x), unit(x))


def test_fixed_norm_keeps_the_statistics() -> None:
    network = build_resnet38("critter38", fixed_norm=True).train()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, FixedBatchNorm2d) and not norm.training for norm in norms)
    network(torch.randn(2, 3, 16, 16))
    assert all(bool((norm.running_mean == 0).all()) for norm in norms)


def test_one_seed_gives_one_network() -> None:
    first, second, other = make_critter38(1), make_critter38(1), make_critter38(2)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.conv1a.weight, other.conv1a.weight)


def test_unknown_name_lists_the_options() -> None:
    with pytest.raises(ConfigError, match="backbone: expected one of critter38, resnet38, got 'resnet83'"):
        build_resnet38("resnet83")


def test_rib_adapts_the_narrow_classifier_and_restores_it() -> None:
    generator = torch.Generator().manual_seed(3)
    classifier = build_classifier(
        "critter38", num_classes=3, freeze_trunk=True, fixed_norm=True, generator=generator
    ).eval()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    partners = [(torch.randn(2, 3, 24, 24, generator=generator), torch.tensor([[1, 0, 0], [0, 0, 1]]))] * 3
    result = adapt(
        classifier,
        np.random.default_rng(0).integers(0, 256, (33, 41, 3), dtype=np.uint8),
        np.array([0, 1, 0]),
        partners,
        iterations=3,
        lr=1e-3,
        weight_decay=1e-4,
        threshold=0.4,
        logit_stop=600.0,
        area_threshold=0.3,
        area_ratio=1.1,
        scales=(1.0, 0.5),
    )
    assert result.iterations == 3
    assert result.losses[-1] < result.losses[0]
    assert [tuple(scale.shape) for scale in result.maps.scales] == [(1, 5, 6), (1, 2, 3)]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
