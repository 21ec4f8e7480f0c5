import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.golden_weights import GOLDEN, load_layout
from weakseg.errors import ConfigError
from weakseg.models.affinitynet import AffinityNet, build_affinitynet
from weakseg.models.weights import load_official
from weakseg.ops.affinity import feature_affinity
from weakseg.ops.paths import SourceGrid, list_offsets
from weakseg.ops.walk import affinity_walk
from weakseg.refine.psa import AffinityWalk, psa_mask

RADIUS = 5
FORWARD_RTOL = 1e-4
AFFINITY_ATOL = WALK_ATOL = 1e-4
LABEL_AGREEMENT = 0.9995


def make_affinitynet(*, freeze_trunk: bool = True, fixed_norm: bool = True) -> AffinityNet:
    generator = torch.Generator().manual_seed(0)
    return build_affinitynet("critter38", freeze_trunk=freeze_trunk, fixed_norm=fixed_norm, generator=generator)


def densify(affinity: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """Turn affinities of pairs (P, sources) into the symmetric matrix of all pixels, 1 on its diagonal."""
    grid = SourceGrid(size_hw, RADIUS)
    matrix = torch.eye(size_hw[0] * size_hw[1])
    for (dy, dx), values in zip(list_offsets(RADIUS), affinity, strict=True):
        for number, value in enumerate(values):
            y, x = divmod(number, grid.width)
            x += RADIUS - 1
            one, other = y * size_hw[1] + x, (y + dy) * size_hw[1] + x + dx
            matrix[one, other] = matrix[other, one] = value
    return matrix


@pytest.fixture(scope="module")
def official(resnet38_parameters: dict[str, NDArray[np.generic]]) -> AffinityNet:
    names = load_layout("resnet38_aff").shapes
    network = load_official({name: resnet38_parameters[name] for name in names}, "resnet38_aff")
    assert isinstance(network, AffinityNet)
    return network


@pytest.mark.slow
def test_inner_features_are_the_recorded_ones(official: AffinityNet) -> None:
    golden = np.load(GOLDEN / "psa_affinity.npz")
    with torch.no_grad():
        levels = official.backbone.levels(official.trunk(torch.from_numpy(golden["image"])[None]))
    for features, name in ((levels.conv4, "conv4"), (levels.conv6, "conv6")):
        means = features.mean(dim=(2, 3)).numpy()
        np.testing.assert_allclose(means, golden[name], rtol=0, atol=FORWARD_RTOL * golden[name].max())


@pytest.mark.slow
def test_affinities_walk_and_labels_are_the_recorded_ones(official: AffinityNet) -> None:
    golden = np.load(GOLDEN / "psa_affinity.npz")
    with torch.no_grad():
        features = official(torch.from_numpy(golden["image"])[None])
    assert features.shape == (1, 448, 8, 10)
    affinity = densify(feature_affinity(features, radius=RADIUS)[0], (8, 10))
    np.testing.assert_allclose(affinity.numpy(), golden["affinity"], rtol=0, atol=AFFINITY_ATOL)
    scores = torch.from_numpy(golden["scores"])
    walked = affinity_walk(torch.nn.functional.avg_pool2d(scores, 8), features[0])
    np.testing.assert_allclose(walked.numpy(), golden["walked"], rtol=0, atol=WALK_ATOL)
    keys = [label - 1 for label in np.unique(golden["labels"]) if label]
    labels = psa_mask(scores[1:], keys, features[0], walk=AffinityWalk(alpha=float(golden["alpha"])))
    assert (labels == golden["labels"]).mean() >= LABEL_AGREEMENT


@pytest.mark.slow
def test_official_network_is_ready_to_infer(official: AffinityNet) -> None:
    assert not official.training
    assert official.freeze_trunk
    assert (official.stride, official.out_channels) == (8, 448)


def test_names_and_shapes_of_the_head_are_the_official_ones() -> None:
    with torch.device("meta"):
        own = build_affinitynet("resnet38", freeze_trunk=True, fixed_norm=True).state_dict()
    official = load_layout("resnet38_aff").shapes
    for name, official_name in (
        ("reduce_conv4", "f8_3"),
        ("reduce_conv5", "f8_4"),
        ("reduce_conv6", "f8_5"),
        ("mix", "f9"),
    ):
        assert list(own[f"{name}.weight"].shape) == official[f"{official_name}.weight"]
    assert len(own) == len(official)


@pytest.mark.parametrize(("size_hw", "cells"), [((19, 27), (3, 4)), ((1, 1), (1, 1)), ((40, 8), (5, 1))])
def test_features_cover_the_image_at_stride_8_and_do_not_fall_below_minus_1(
    size_hw: tuple[int, int], cells: tuple[int, int]
) -> None:
    network = make_affinitynet().eval()
    images = torch.randn(2, 3, *size_hw, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    with torch.no_grad():
        features = network(images)
        torch.testing.assert_close(network(images[1:]), features[1:], rtol=1e-4, atol=1e-5)
    assert features.shape == (2, network.out_channels, *cells)
    assert features.dtype == torch.float32
    assert -1 <= features.min() < 0
    assert torch.equal(images, before)


def test_everything_above_the_frozen_trunk_learns() -> None:
    network = make_affinitynet().train()
    network(torch.randn(2, 3, 24, 40)).square().sum().backward()
    groups = [*network.backbone_parameters(), *network.head_parameters()]
    assert len({id(parameter) for parameter in groups}) == len(groups)
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in groups)
    others = {id(parameter) for parameter in network.parameters()} - {id(parameter) for parameter in groups}
    trunk = {id(parameter) for module in network.backbone.trunk_modules() for parameter in module.parameters()}
    assert others == trunk
    assert all(parameter.grad is None for parameter in network.parameters() if id(parameter) in trunk)


def test_without_a_frozen_trunk_all_parameters_learn() -> None:
    network = make_affinitynet(freeze_trunk=False, fixed_norm=False).train()
    groups = [*network.backbone_parameters(), *network.head_parameters()]
    assert {id(parameter) for parameter in groups} == {id(parameter) for parameter in network.parameters()}
    assert network.trunk(torch.randn(1, 3, 16, 16)).requires_grad


def test_state_dict_holds_its_parts_only() -> None:
    names = {name.split(".")[0] for name in make_affinitynet().state_dict()}
    assert names == {"backbone", "reduce_conv4", "reduce_conv5", "reduce_conv6", "mix"}


def test_unknown_name_lists_the_options() -> None:
    with pytest.raises(
        ConfigError, match=r"backbone: expected one of critter38, efficientnet_lite0, .*, resnet38, got 'resnet50'"
    ):
        build_affinitynet("resnet50", freeze_trunk=True, fixed_norm=True)
