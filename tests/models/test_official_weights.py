from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.golden_weights import GOLDEN, Layout, fill_state_dict, load_layout
from weakseg.errors import ArtifactError, ConfigError
from weakseg.localize.cam import merge_flip_pair, score_maps
from weakseg.models.classifier import Classifier
from weakseg.models.irnet import IRNet
from weakseg.models.resnet import build_backbone
from weakseg.models.weights import load_backbone, load_official

FORWARD_RTOL = 1e-4
NORMALISED_ATOL = 2e-5


@pytest.fixture(scope="module")
def layout() -> Layout:
    return load_layout("resnet50_cam")


@pytest.fixture(scope="module")
def official(layout: Layout) -> dict[str, NDArray[np.generic]]:
    """The official parameters under their canonical names."""
    return fill_state_dict(layout.shapes)


@pytest.fixture(scope="module")
def classifier(layout: Layout, official: dict[str, NDArray[np.generic]]) -> Classifier:
    """The recorded network, read from every name an official checkpoint holds."""
    aliases = {alias: official[name] for alias, name in layout.aliases.items()}
    network = load_official(official | aliases, "resnet50_cam")
    assert isinstance(network, Classifier)
    return network


@pytest.fixture
def numbered(layout: Layout) -> dict[str, Tensor]:
    """A checkpoint whose tensors hold their own number everywhere and take no memory."""
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(layout.shapes.items())}


@pytest.mark.slow
def test_forward_pass_is_the_recorded_one(classifier: Classifier) -> None:
    golden = np.load(GOLDEN / "cam_forward.npz")
    image = torch.from_numpy(golden["image"])
    pair = torch.stack((image, image.flip(-1)))
    with torch.no_grad():
        maps = merge_flip_pair(classifier.head(classifier.trunk(pair))).numpy()
        logits = classifier(pair).numpy()
    np.testing.assert_allclose(maps, golden["cam"], rtol=FORWARD_RTOL, atol=FORWARD_RTOL * golden["cam"].max())
    np.testing.assert_allclose(logits, golden["logits"], rtol=FORWARD_RTOL)


@pytest.mark.slow
def test_multi_scale_maps_are_the_recorded_ones(classifier: Classifier) -> None:
    golden = np.load(GOLDEN / "cam_multiscale.npz")
    maps = score_maps(classifier, golden["image_rgb"], golden["label"])
    assert maps.keys == tuple(golden["keys"])
    np.testing.assert_allclose(maps.strided(4).numpy(), golden["strided"], atol=NORMALISED_ATOL)
    np.testing.assert_allclose(maps.full().numpy(), golden["high_res"], atol=NORMALISED_ATOL)


@pytest.mark.slow
def test_official_network_is_ready_to_infer_and_to_adapt(classifier: Classifier) -> None:
    assert not classifier.training
    assert classifier.freeze_trunk
    assert classifier.num_classes == 20
    assert classifier.stride == 16
    assert not classifier.train().backbone.layer4[0].bn1.training
    classifier.eval()


@pytest.mark.slow
@pytest.mark.parametrize("names", ["canonical", "stages", "backbone"])
def test_any_one_set_of_names_is_enough(names: str, layout: Layout, numbered: dict[str, Tensor]) -> None:
    given = numbered
    if names != "canonical":
        prefixes = ("stage" if names == "stages" else "backbone.", "newly_added.")
        given = {alias: numbered[name] for alias, name in layout.aliases.items() if alias.startswith(prefixes)}
    loaded = load_official(given, "resnet50_cam").state_dict()
    assert len(loaded) == len(numbered)
    for name, value in numbered.items():
        assert torch.equal(loaded[name.replace("resnet50.", "backbone.")], value), name


@pytest.mark.slow
def test_number_of_classes_is_read_off_and_data_parallel_prefix_dropped(numbered: dict[str, Tensor]) -> None:
    numbered["classifier.weight"] = torch.zeros(1).expand(80, 2048, 1, 1)
    network = load_official({f"module.{name}": value for name, value in numbered.items()}, "resnet50_cam")
    assert isinstance(network, Classifier)
    assert network.num_classes == 80


@pytest.mark.slow
def test_files_load_like_mappings(tmp_path: Path, official: dict[str, NDArray[np.generic]]) -> None:
    tensors = {name: torch.from_numpy(value) for name, value in official.items()}
    torch.save(tensors, tmp_path / "a.pth")
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    for path in (str(tmp_path / "a.pth"), tmp_path / "a.safetensors"):
        network = load_official(path, "resnet50_cam")
        assert isinstance(network, Classifier)
        assert torch.equal(network.backbone.conv1.weight, tensors["resnet50.conv1.weight"])
        assert torch.equal(network.classifier.weight, tensors["classifier.weight"])


@pytest.mark.slow
def test_checkpoints_older_than_norm_counters_load(numbered: dict[str, Tensor]) -> None:
    load_official({name: value for name, value in numbered.items() if "num_batches" not in name}, "resnet50_cam")


def test_aliases_that_disagree_are_refused(numbered: dict[str, Tensor]) -> None:
    numbered["stage1.0.weight"] = torch.ones(64, 3, 7, 7)
    with pytest.raises(ArtifactError, match=r"'stage1\.0\.weight' differs from the other names of the same tensor"):
        load_official(numbered, "resnet50_cam")


@pytest.mark.slow
def test_missing_names_are_listed(numbered: dict[str, Tensor]) -> None:
    del numbered["resnet50.layer4.2.conv3.weight"]
    with pytest.raises(ArtifactError, match=r"lacks 1 of 319 parameters: backbone\.layer4\.2\.conv3\.weight"):
        load_official(numbered, "resnet50_cam")


def test_missing_classifier_is_named(numbered: dict[str, Tensor]) -> None:
    del numbered["classifier.weight"]
    with pytest.raises(ArtifactError, match=r"expected 'classifier\.weight' of shape \(C, 2048, 1, 1\)"):
        load_official(numbered, "resnet50_cam")


def test_unexpected_names_are_listed(numbered: dict[str, Tensor]) -> None:
    numbered["fc_edge1.0.weight"] = torch.zeros(32, 64, 1, 1)
    with pytest.raises(ArtifactError, match=r"holds 1 unexpected parameters: fc_edge1\.0\.weight"):
        load_official(numbered, "resnet50_cam")


@pytest.mark.slow
def test_shape_of_another_network_is_named(numbered: dict[str, Tensor]) -> None:
    numbered["resnet50.conv1.weight"] = torch.zeros(64, 3, 3, 3)
    with pytest.raises(ArtifactError, match=r"'backbone\.conv1\.weight' should have shape \(64, 3, 7, 7\)"):
        load_official(numbered, "resnet50_cam")


def test_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ConfigError, match=r"expected one of .*resnet50_cam, resnet50_irn, got 'resnet50_cma'"):
        load_official({}, "resnet50_cma")


def test_missing_official_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no checkpoint at .*absent\.pth"):
        load_official(tmp_path / "absent.pth", "resnet50_cam")


@pytest.fixture(scope="module")
def irn_layout() -> Layout:
    return load_layout("resnet50_irn")


@pytest.fixture(scope="module")
def irnet(irn_layout: Layout) -> IRNet:
    """The recorded network, read from every name an official checkpoint holds."""
    official = fill_state_dict(irn_layout.shapes)
    aliases = {alias: official[name] for alias, name in irn_layout.aliases.items()}
    network = load_official(official | aliases, "resnet50_irn")
    assert isinstance(network, IRNet)
    return network


@pytest.fixture
def irn_numbered(irn_layout: Layout) -> dict[str, Tensor]:
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(irn_layout.shapes.items())}


@pytest.mark.slow
def test_edge_and_displacement_are_the_recorded_ones(irnet: IRNet) -> None:
    golden = np.load(GOLDEN / "irn_forward.npz")
    edge, displacement = irnet.infer(torch.from_numpy(golden["image"]), crop_size=int(golden["crop_size"]))
    np.testing.assert_allclose(edge.numpy(), golden["edge"][0], rtol=FORWARD_RTOL)
    scale = np.abs(golden["displacement"]).max()
    np.testing.assert_allclose(displacement.numpy(), golden["displacement"], atol=FORWARD_RTOL * scale)


@pytest.mark.slow
def test_recorded_edges_need_the_recorded_padding(irnet: IRNet) -> None:
    golden = np.load(GOLDEN / "irn_forward.npz")
    edge, _ = irnet.infer(torch.from_numpy(golden["image"]))
    assert edge.shape == golden["edge"].shape[1:]
    assert np.abs(edge.numpy() - golden["edge"][0]).max() > 0.01


@pytest.mark.slow
def test_official_irnet_is_ready_to_infer(irnet: IRNet) -> None:
    assert not irnet.training
    assert irnet.mean_displacement.abs().min() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "prefixes",
    [
        ("resnet50.", "fc_", "mean_shift."),
        ("stage", "edge_layers.", "dp_layers."),
        ("backbone.", "edge_layers.", "fc_dp", "mean_shift."),
    ],
)
def test_any_one_set_of_irn_names_is_enough(
    prefixes: tuple[str, ...], irn_layout: Layout, irn_numbered: dict[str, Tensor]
) -> None:
    every_name = dict(irn_layout.aliases) | {name: name for name in irn_numbered}
    given = {alias: irn_numbered[name] for alias, name in every_name.items() if alias.startswith(prefixes)}
    loaded = load_official(given, "resnet50_irn").state_dict()
    assert len(loaded) == len(irn_numbered)
    for official, own in (
        ("resnet50.layer4.2.conv3.weight", "backbone.layer4.2.conv3.weight"),
        ("fc_edge1.0.weight", "edge.levels.0.convolution.weight"),
        ("fc_edge5.1.bias", "edge.levels.4.norm.bias"),
        ("fc_edge6.bias", "edge.predict.bias"),
        ("fc_dp3.1.weight", "displacement.levels.2.norm.weight"),
        ("fc_dp6.0.weight", "displacement.merge_late.convolution.weight"),
        ("fc_dp7.1.weight", "displacement.merge_all.norm.weight"),
        ("fc_dp7.3.weight", "displacement.predict.weight"),
        ("mean_shift.running_mean", "mean_displacement"),
    ):
        assert torch.equal(loaded[own], irn_numbered[official]), official


def test_irn_aliases_that_disagree_are_refused(irn_numbered: dict[str, Tensor]) -> None:
    irn_numbered["fc_dp7.4.running_mean"] = torch.ones(2)
    with pytest.raises(ArtifactError, match=r"'fc_dp7\.4\.running_mean' differs .* \(mean_displacement\)"):
        load_official(irn_numbered, "resnet50_irn")


@pytest.mark.slow
def test_missing_irn_names_are_listed(irn_numbered: dict[str, Tensor]) -> None:
    del irn_numbered["fc_edge3.1.bias"], irn_numbered["mean_shift.running_mean"]
    with pytest.raises(ArtifactError, match=r"lacks 2 of 358 .*: mean_displacement, edge\.levels\.2\.norm\.bias"):
        load_official(irn_numbered, "resnet50_irn")


@pytest.mark.parametrize(
    ("read", "kind", "message"),
    [
        ("irn", "resnet50_cam", r"holds 40 unexpected parameters: mean_shift\.running_mean, fc_edge1\.0\.weight"),
        ("cam", "resnet50_irn", r"holds 1 unexpected parameters: classifier\.weight"),
    ],
)
def test_a_checkpoint_of_the_other_kind_is_refused(
    read: str, kind: str, message: str, numbered: dict[str, Tensor], irn_numbered: dict[str, Tensor]
) -> None:
    with pytest.raises(ArtifactError, match=message):
        load_official({"irn": irn_numbered, "cam": numbered}[read], kind)


@pytest.mark.slow
def test_irn_files_are_read_without_running_their_code(tmp_path: Path, irn_numbered: dict[str, Tensor]) -> None:
    torch.save({"state_dict": irn_numbered, "author": Path("x")}, tmp_path / "irn.pth")
    with pytest.raises(ArtifactError, match=r"asks to run code .* --trust-pickle"):
        load_official(tmp_path / "irn.pth", "resnet50_irn")
    trusted = load_official(tmp_path / "irn.pth", "resnet50_irn", trust_pickle=True)
    assert torch.equal(trusted.state_dict()["mean_displacement"], irn_numbered["mean_shift.running_mean"])


@pytest.mark.slow
def test_a_released_network_is_no_start_for_a_backbone_and_the_message_says_what_takes_it(
    tmp_path: Path, numbered: dict[str, Tensor]
) -> None:
    torch.save(numbered, tmp_path / "res50_cam.pth")
    with pytest.raises(ArtifactError, match=r"released IRN or RIB code, expected a backbone .* classifier\.released"):
        load_backbone(build_backbone("resnet50"), str(tmp_path / "res50_cam.pth"), "resnet50")
