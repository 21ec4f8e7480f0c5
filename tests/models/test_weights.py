import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from weakseg.errors import ArtifactError, ConfigError
from weakseg.models import weights
from weakseg.models.classifier import build_classifier
from weakseg.models.deeplab import build_segmenter
from weakseg.models.irnet import build_irnet
from weakseg.models.resnet import build_backbone
from weakseg.models.weights import load_backbone


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
