import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.golden_weights import GOLDEN, Layout, fill_state_dict, load_layout
from tests.models.test_mxnet_params import pack_array, pack_list
from weakseg.errors import ArtifactError, ConfigError
from weakseg.localize.cam import merge_flip_pair, score_maps
from weakseg.models import weights
from weakseg.models.affinitynet import build_affinitynet
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.deeplab import build_segmenter
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.models.resnet import build_backbone
from weakseg.models.resnet38 import build_resnet38
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


def test_own_irnet_lends_its_backbone(tmp_path: Path) -> None:
    irnet = build_irnet("critter", generator=torch.Generator().manual_seed(1))
    safetensors.torch.save_file(irnet.state_dict(), tmp_path / "model.safetensors")
    backbone = build_backbone("critter")
    report = load_backbone(backbone, str(tmp_path / "model.safetensors"), "critter")
    assert torch.equal(backbone.layer4[0].conv1.weight, irnet.backbone.layer4[0].conv1.weight)
    assert {name.split(".")[0] for name in report.ignored} == {"edge", "displacement", "mean_displacement"}


@pytest.fixture
def torchvision_file(tmp_path: Path) -> Path:
    """A file in torchvision's layout for `resnet18`, named after its hash as on the server."""
    state = build_backbone("resnet18", generator=torch.Generator().manual_seed(7)).state_dict()
    torch.save(state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "new.pth")
    digest = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()
    return (tmp_path / "new.pth").rename(tmp_path / f"resnet18-{digest[:8]}.pth")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let a local file stand in for the server's `resnet18`."""

    def point_to(path: Path) -> None:
        monkeypatch.setitem(weights.IMAGENET_URLS, "resnet18", path.as_uri())

    return point_to


@pytest.mark.slow
def test_imagenet_weights_are_downloaded_once_and_reported(
    tmp_path: Path, torchvision_file: Path, serve: Callable[[Path], None]
) -> None:
    serve(torchvision_file)
    backbone = build_backbone("resnet18", generator=torch.Generator().manual_seed(8))
    report = load_backbone(backbone, "imagenet", "resnet18", cache_dir=tmp_path / "cache")
    expected = torch.load(torchvision_file, weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in backbone.state_dict().items())
    assert report.origin == str(tmp_path / "cache" / torchvision_file.name)
    assert report.loaded == tuple(backbone.state_dict())
    assert report.ignored == ("fc.weight", "fc.bias")
    torchvision_file.unlink()
    again = load_backbone(build_backbone("resnet18"), "imagenet", "resnet18", cache_dir=tmp_path / "cache")
    assert again == report


@pytest.mark.slow
def test_download_with_another_hash_is_refused_and_not_kept(
    tmp_path: Path, torchvision_file: Path, serve: Callable[[Path], None]
) -> None:
    serve(torchvision_file.rename(tmp_path / "resnet18-00000000.pth"))
    with pytest.raises(ArtifactError, match=r"could not download .*invalid hash value"):
        load_backbone(build_backbone("resnet18"), "imagenet", "resnet18", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
def test_damaged_download_in_the_cache_is_named(
    tmp_path: Path, torchvision_file: Path, serve: Callable[[Path], None]
) -> None:
    serve(torchvision_file)
    cached = tmp_path / "cache" / torchvision_file.name
    cached.parent.mkdir()
    cached.write_bytes(b"half a file")
    with pytest.raises(ArtifactError, match=r"damaged, its SHA-256 begins \w{8} instead of \w{8}; delete it"):
        load_backbone(build_backbone("resnet18"), "imagenet", "resnet18", cache_dir=cached.parent)


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path, serve: Callable[[Path], None]) -> None:
    serve(tmp_path / "resnet18-12345678.pth")
    with pytest.raises(ArtifactError, match="fetch it elsewhere") as error:
        load_backbone(build_backbone("resnet18"), "imagenet", "resnet18", cache_dir=tmp_path / "cache")
    assert (tmp_path / "resnet18-12345678.pth").as_uri() in str(error.value)


def test_published_file_names_carry_their_hash() -> None:
    assert {name: url.rsplit("-", 1)[-1] for name, url in weights.IMAGENET_URLS.items()} == {
        "resnet18": "f37072fd.pth",
        "resnet50": "0676ba61.pth",
        "resnet101": "63fe2227.pth",
    }


def test_backbone_without_imagenet_weights_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="no ImageNet weights for 'critter'; set weights to 'none' or a path"):
        load_backbone(build_backbone("critter"), "imagenet", "critter")


def test_none_leaves_the_backbone_as_it_is() -> None:
    backbone = build_backbone("critter", generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    report = load_backbone(backbone, "none", "critter")
    assert (report.origin, report.loaded, report.ignored) == ("none", (), ())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_own_classifier_starts_a_segmenter(tmp_path: Path) -> None:
    classifier = build_classifier("critter", num_classes=3, freeze_trunk=False, fixed_norm=False)
    safetensors.torch.save_file(classifier.state_dict(), tmp_path / "model.safetensors")
    segmenter = build_segmenter("critter", num_labels=4, aspp_rates=(1,), fixed_norm=True)
    report = load_backbone(segmenter.backbone, str(tmp_path / "model.safetensors"), "critter")
    assert torch.equal(segmenter.backbone.layer4[0].conv1.weight, classifier.backbone.layer4[0].conv1.weight)
    assert report.ignored == ("classifier.weight",)
    assert len(report.loaded) == len(segmenter.backbone.state_dict())


@pytest.mark.slow
def test_weights_of_another_backbone_are_refused(torchvision_file: Path) -> None:
    with pytest.raises(ArtifactError, match=r"as critter: lacks \d+ of \d+ parameters"):
        load_backbone(build_backbone("critter"), str(torchvision_file), "critter")


def test_source_that_is_neither_word_nor_file_is_refused() -> None:
    with pytest.raises(ArtifactError, match="weights 'imagenett': expected 'imagenet', 'none' or a checkpoint file"):
        load_backbone(build_backbone("critter"), "imagenett", "critter")


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


@pytest.mark.slow
def test_a_released_network_is_no_start_for_a_backbone_and_the_message_says_what_takes_it(
    tmp_path: Path, numbered: dict[str, Tensor]
) -> None:
    torch.save(numbered, tmp_path / "res50_cam.pth")
    with pytest.raises(ArtifactError, match=r"released IRN or RIB code, expected a backbone .* classifier\.released"):
        load_backbone(build_backbone("resnet50"), str(tmp_path / "res50_cam.pth"), "resnet50")
