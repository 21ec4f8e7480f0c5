from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.models.test_mxnet_params import pack_array, pack_list
from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.classifier import build_classifier
from weakseg.models.resnet38 import build_resnet38
from weakseg.models.weights import load_backbone, load_official


@pytest.fixture
def resnet38_state() -> dict[str, Tensor]:
    """The parameters of a narrow ResNet-38, all different."""
    network = build_resnet38("critter38", generator=torch.Generator().manual_seed(5))
    state = network.state_dict()
    for index, (name, value) in enumerate(state.items()):
        if value.ndim == 1:
            state[name] = torch.full_like(value, 1.0 + index)
    return state


def to_mxnet_name(name: str) -> str:
    """Return what MXNet's ResNet-38 calls a parameter."""
    part, *rest = name.split(".")
    suffix = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
    if part == "conv1a":
        return "arg:conv1a_weight"
    kind = "aux" if rest[-1].startswith("running") else "arg"
    if part == "bn7":
        return f"{kind}:bn7_{suffix[rest[-1]]}"
    layer, branch = rest[0].split("_")
    unit = part[1:].replace("_", "b") if "_" in part else f"{part[1:]}a"
    if layer == "conv":
        return f"arg:res{unit}_{branch}_weight"
    return f"{kind}:bn{unit}_{branch}_{suffix[rest[-1]]}"


def test_names_of_mxnet_are_those_of_the_published_network() -> None:
    assert [
        to_mxnet_name(name)
        for name in ("conv1a.weight", "b2.conv_branch1.weight", "b4_5.bn_branch2b1.running_var", "bn7.bias")
    ] == ["arg:conv1a_weight", "arg:res2a_branch1_weight", "aux:bn4b5_branch2b1_moving_var", "arg:bn7_beta"]


def write_mxnet(path: Path, state: dict[str, Tensor], **extra: NDArray[np.floating]) -> Path:
    """Write a state dict as an MXNet file of 2016."""
    named = {to_mxnet_name(name): value.numpy() for name, value in state.items() if "num_batches" not in name}
    named |= {f"arg:{name}": value for name, value in extra.items()}
    path.write_bytes(pack_list([pack_array(value, "legacy") for value in named.values()], list(named)))
    return path


def test_mxnet_weights_fill_a_resnet38(tmp_path: Path, resnet38_state: dict[str, Tensor]) -> None:
    weight, bias = np.zeros((1000, 192), np.float32), np.zeros(1000, np.float32)
    path = write_mxnet(tmp_path / "a1.params", resnet38_state, linear1000_weight=weight, linear1000_bias=bias)
    backbone = build_resnet38("critter38")
    report = load_backbone(backbone, str(path), "critter38")
    for name, value in backbone.state_dict().items():
        assert "num_batches" in name or torch.equal(value, resnet38_state[name]), name
    assert report.ignored == ("linear1000_weight", "linear1000_bias")
    assert set(report.loaded) == {name for name in resnet38_state if "num_batches" not in name}


@pytest.mark.parametrize("name", ["fc1_weight", "res8a_branch1_weight", "res2a_branch1_gamma", "bn2a_branch2a_weight"])
def test_mxnet_weights_of_another_network_are_refused(
    tmp_path: Path, resnet38_state: dict[str, Tensor], name: str
) -> None:
    path = write_mxnet(tmp_path / "a1.params", resnet38_state, **{name: np.ones(2, np.float32)})
    with pytest.raises(ArtifactError, match=rf"a1\.params: holds 1 unexpected parameters: {name}"):
        load_backbone(build_resnet38("critter38"), str(path), "critter38")


def test_mxnet_weights_that_lack_a_unit_are_refused(tmp_path: Path, resnet38_state: dict[str, Tensor]) -> None:
    del resnet38_state["b4_1.conv_branch2a.weight"]
    path = write_mxnet(tmp_path / "a1.params", resnet38_state)
    with pytest.raises(ArtifactError, match=r"as critter38: lacks 1 of \d+ parameters: b4_1\.conv_branch2a\.weight"):
        load_backbone(build_resnet38("critter38"), str(path), "critter38")


def test_an_official_checkpoint_of_the_resnet38_family_lends_its_backbone(
    tmp_path: Path, resnet38_state: dict[str, Tensor]
) -> None:
    heads = {"fc8.weight": torch.zeros(20, 192, 1, 1), "f8_3.weight": torch.zeros(1), "f9.weight": torch.zeros(1)}
    torch.save(resnet38_state | heads, tmp_path / "psa.pth")
    backbone = build_resnet38("critter38")
    report = load_backbone(backbone, str(tmp_path / "psa.pth"), "critter38")
    assert all(torch.equal(value, resnet38_state[name]) for name, value in backbone.state_dict().items())
    assert report.ignored == tuple(heads)


def test_own_affinitynet_and_classifier_lend_their_backbones(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    affinitynet = build_affinitynet("critter38", freeze_trunk=True, fixed_norm=True, generator=generator)
    classifier = build_classifier("critter38", num_classes=3, freeze_trunk=True, fixed_norm=True, generator=generator)
    for network, heads in (
        (affinitynet, {"reduce_conv4", "reduce_conv5", "reduce_conv6", "mix"}),
        (classifier, {"classifier"}),
    ):
        safetensors.torch.save_file(network.state_dict(), tmp_path / "model.safetensors")
        backbone = build_resnet38("critter38")
        report = load_backbone(backbone, str(tmp_path / "model.safetensors"), "critter38")
        assert torch.equal(backbone.b7.conv_branch2b1.weight, network.backbone.b7.conv_branch2b1.weight)
        assert {name.split(".")[0] for name in report.ignored} == heads


@pytest.mark.slow
def test_imagenet_weights_of_resnet38_are_the_users_to_bring() -> None:
    with torch.device("meta"):
        backbone = build_resnet38("resnet38")
    with pytest.raises(ConfigError, match=r"set weights to the path of the authors' MXNet file \(\.params\)"):
        load_backbone(backbone, "imagenet", "resnet38")


def test_resnet38_kinds_name_what_is_amiss() -> None:
    with pytest.raises(ArtifactError, match=r"expected 'fc8\.weight' of shape \(C, 4096, 1, 1\), got none"):
        load_official({"conv1a.weight": torch.zeros(64, 3, 3, 3)}, "resnet38_cls")
    with pytest.raises(ArtifactError, match=r"holds 1 unexpected parameters: fc8\.weight"):
        load_official({"fc8.weight": torch.zeros(20, 4096, 1, 1)}, "resnet38_aff")
