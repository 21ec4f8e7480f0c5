"""Backbones of `transformers` under classifier, IRNet and DeepLab-v2's convolutions of a run; nothing is downloaded."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny_networks import DINOV2, RESNET, write_config
from weakseg.config.schema import ClassifierConfig, SegmenterConfig
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models.classifier import Classifier
from weakseg.models.deeplab import Segmenter
from weakseg.models.hf_backbone import HFBackbone
from weakseg.pipeline.artifacts import NetworkFolder, save_tensors
from weakseg.pipeline.hf_backbones import require_hf_backbone
from weakseg.pipeline.networks import WEIGHTS_FROM, describe_network, load_classifier, load_irnet, save_network
from weakseg.pipeline.segmenters import describe_segmenter, load_segmenter, require_segmenter, start_segmenter
from weakseg.pipeline.starting import start_classifier, start_refiner
from weakseg.refine.irn import IRN, IRNConfig
from weakseg.types import ClassSet

pytestmark = pytest.mark.slow  # transformers takes seconds to import

CLASSES = ClassSet(("cat", "dog", "fox"))
CPU = torch.device("cpu")
IMAGES = torch.randn(2, 3, 37, 50, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=["resnet", "dinov2"])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    values = {"resnet": RESNET, "dinov2": DINOV2}[request.param]
    return f"hf:{write_config(tmp_path_factory.mktemp(request.param) / 'config.json', values)}"


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "classifier")


def start(name: str, folder: NetworkFolder, *, weights: str = "none", seed: int = 3) -> tuple[Classifier, str]:
    return start_classifier(ClassifierConfig(name=name, weights=weights), CLASSES, folder, seed=seed)


def save(classifier: Classifier, name: str, folder: NetworkFolder) -> None:
    info = describe_network(
        ClassifierConfig(name=name), CLASSES, kind="classifier", weights_from="random", backbone=classifier.backbone
    )
    save_network(folder, classifier, info, ())


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_random_weights_depend_on_the_seed_alone(name: str, folder: NetworkFolder) -> None:
    torch.manual_seed(1)
    one, origin = start(name, folder)
    torch.manual_seed(2)
    two, _ = start(name, folder)
    assert (origin, one.num_classes, one.freeze_trunk) == ("random", 3, True)
    assert_equal(one, two)


def test_a_trained_classifier_comes_back_from_its_file_alone(name: str, folder: NetworkFolder, tmp_path: Path) -> None:
    mine = tmp_path / "config.json"
    mine.write_text(Path(name.removeprefix("hf:")).read_text())
    classifier, _ = start(f"hf:{mine}", folder)
    save(classifier, f"hf:{mine}", folder)
    mine.unlink()
    loaded, classes = load_classifier(folder.model, CPU)
    assert classes == CLASSES
    assert_equal(loaded, classifier)
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        torch.testing.assert_close(loaded(IMAGES), classifier.eval()(IMAGES))  # its layout in memory is another


def test_irnet_and_segmenter_start_from_the_classifiers_backbone_without_its_source(
    name: str, folder: NetworkFolder, tmp_path: Path
) -> None:
    mine = tmp_path / "config.json"
    mine.write_text(Path(name.removeprefix("hf:")).read_text())
    classifier, _ = start(f"hf:{mine}", folder, seed=8)
    save(classifier, f"hf:{mine}", folder)
    mine.unlink()

    config = IRNConfig(name=f"hf:{mine}", weights="classifier")
    refiner = NetworkFolder(tmp_path / "refiner")
    irnet, origin = start_refiner(IRN, config, refiner, classifier=folder, seed=0)
    assert origin == "classifier"
    assert_equal(irnet.backbone, classifier.backbone)
    edge, displacement = irnet.eval().infer(IMAGES[0])
    assert edge.shape == (10, 13)
    assert displacement.shape == (2, 10, 13)
    info = describe_network(config, CLASSES, kind="refiner", weights_from=origin, backbone=irnet.backbone)
    save_network(refiner, irnet, info, ())
    assert_equal(load_irnet(refiner.model, CPU)[0], irnet)

    wanted = SegmenterConfig(name=f"hf:{mine}", weights="classifier", aspp_rates=(1, 2))
    trained = NetworkFolder(tmp_path / "segmenter")
    segmenter, origin = start_segmenter(wanted, CLASSES, trained, classifier=folder, seed=0)
    assert isinstance(segmenter, Segmenter)
    assert (origin, segmenter.stride) == ("classifier", classifier.stride)
    assert_equal(segmenter.backbone, classifier.backbone)
    save_network(trained, segmenter, describe_segmenter(segmenter, wanted.name, CLASSES, weights_from=origin), ())
    loaded, _ = load_segmenter(trained.model, CPU)
    assert_equal(loaded, segmenter)


def test_own_weights_need_a_classifier_on_the_same_backbone(name: str, folder: NetworkFolder, tmp_path: Path) -> None:
    save(start(name, folder)[0], name, folder)
    config = IRNConfig(name="hf:another", weights="classifier")
    with pytest.raises(ConfigError, match=r"refine\.irn\.weights: 'classifier' is for .* refine\.irn\.name is hf:anot"):
        start_refiner(IRN, config, NetworkFolder(tmp_path / "refiner"), classifier=folder, seed=0)


def test_a_segmenter_on_a_backbone_takes_weights_of_its_own_kind(
    name: str, folder: NetworkFolder, tmp_path: Path
) -> None:
    config = SegmenterConfig(name=name, weights="none", aspp_rates=(1, 2))
    one, origin = start_segmenter(config, CLASSES, folder, classifier=folder, seed=0)
    assert origin == "random"
    save_network(folder, one, describe_segmenter(one, name, CLASSES, weights_from=origin), ())
    again = replace(config, weights=str(folder.model))
    two, origin = start_segmenter(again, CLASSES, NetworkFolder(tmp_path / "other"), classifier=folder, seed=1)
    assert origin == str(folder.model)
    assert_equal(two, one)


def test_weights_of_a_classifier_on_the_same_backbone_are_taken(
    name: str, folder: NetworkFolder, tmp_path: Path
) -> None:
    first, _ = start(name, folder, seed=8)
    save(first, name, folder)
    second, origin = start(name, NetworkFolder(tmp_path / "other"), weights=str(folder.model))
    assert origin == str(folder.model)
    assert_equal(second.backbone, first.backbone)
    assert not torch.equal(second.classifier.weight, first.classifier.weight)


def test_pretrained_weights_are_taken_and_auto_does_without(
    name: str, folder: NetworkFolder, tmp_path: Path, told: list[str]
) -> None:
    first, _ = start(name, folder, seed=9)
    assert isinstance(first.backbone, HFBackbone)
    first.backbone.network.save_pretrained(tmp_path / "network")
    for weights in ("pretrained", "auto"):
        loaded, origin = start(f"hf:{tmp_path / 'network'}", folder, weights=weights)
        assert origin == str(tmp_path / "network")
        assert_equal(loaded.backbone, first.backbone)
    assert told == []
    bare, origin = start(name, folder, weights="auto")
    assert origin == "random"
    assert_equal(bare, start(name, folder)[0])
    assert told[0].startswith("starting from random weights, which costs much accuracy on few images: ")
    with pytest.raises(ArtifactError, match=r"there are no weights beside config\.json"):
        start(name, folder, weights="pretrained")


def test_a_training_that_goes_on_keeps_where_its_weights_came_from(name: str, folder: NetworkFolder) -> None:
    save_tensors(folder.checkpoint, {}, {WEIGHTS_FROM: "elsewhere"})
    assert start(name, folder, weights="pretrained")[1] == "elsewhere"


def test_what_a_run_would_miss_later_is_looked_for_first(name: str, tmp_path: Path) -> None:
    found = name.removeprefix("hf:")
    require_hf_backbone("classifier", found, "none", goes_on=False)
    require_hf_backbone("classifier", "gone/entirely", "classifier", goes_on=False)
    with pytest.raises(ArtifactError, match=r"^classifier\.name: there is no file or folder gone"):
        require_hf_backbone("classifier", "./gone", "none", goes_on=False)
    with pytest.raises(ArtifactError, match=r"^refine\.irn\.weights: there is no file gone\.safetensors"):
        require_hf_backbone("refine.irn", found, "gone.safetensors", goes_on=False)
    with pytest.raises(ArtifactError, match="there are no weights beside"):
        require_hf_backbone("classifier", found, "pretrained", goes_on=False)
    require_hf_backbone("classifier", found, "pretrained", goes_on=True)
    require_segmenter(SegmenterConfig(name=name, weights="none"))


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for section in ("classifier", "refine.irn"):
        with pytest.raises(MissingExtra, match=rf"^{section}\.name: 'hf:\.\.\.' needs transformers.*'weakseg\[hf\]'"):
            require_hf_backbone(section, "a/b", "classifier", goes_on=False)


def test_without_a_network_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = importlib.import_module("huggingface_hub")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ArtifactError) as caught:
        require_hf_backbone("classifier", "microsoft/resnet-18", "pretrained", goes_on=False)
    assert str(caught.value) == (
        "classifier.name: could not get 'microsoft/resnet-18' from the Hugging Face hub (no route to host); without a "
        "network, download it elsewhere and pass the folder: hf:/path/to/folder"
    )


def test_a_network_without_feature_maps_is_told_the_choices(folder: NetworkFolder, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.json", {"model_type": "bert"})
    with pytest.raises(ConfigError, match=r"expected a network with feature maps, got model_type 'bert'; .*resnet"):
        start(f"hf:{path}", folder)
