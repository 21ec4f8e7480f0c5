"""Networks of `transformers` as the segmenter of a run; nothing is downloaded."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny_networks import SEGFORMER, write_config
from weakseg.config.schema import SegmenterConfig
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models.hf_segmenter import HFSegmenter
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.pipeline.artifacts import NetworkFolder, load_tensors, save_tensors
from weakseg.pipeline.networks import WEIGHTS_FROM, save_network
from weakseg.pipeline.segmenters import describe_segmenter, load_segmenter, require_segmenter, start_segmenter
from weakseg.types import ClassSet

pytestmark = pytest.mark.slow  # transformers takes seconds to import

CLASSES = ClassSet(("cat", "dog", "fox"))
OTHER_CLASSES = ClassSet(("car", "bus"))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SegmenterConfig:
    """A SegFormer of random weights from a configuration alone."""
    path = write_config(tmp_path_factory.mktemp("segformer") / "config.json", SEGFORMER)
    return SegmenterConfig(name=f"hf:{path}", weights="none")


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "segmenter")


@pytest.fixture
def pretrained(config: SegmenterConfig, tmp_path: Path) -> SegmenterConfig:
    """A folder with a SegFormer and its weights, which know two labels."""
    segmenter, _ = start(config, NetworkFolder(tmp_path / "nowhere"), classes=ClassSet(("thing",)), seed=9)
    assert isinstance(segmenter, HFSegmenter)
    segmenter.network.save_pretrained(tmp_path / "network")
    return replace(config, name=f"hf:{tmp_path / 'network'}", weights="pretrained")


def start(
    config: SegmenterConfig, folder: NetworkFolder, *, classes: ClassSet = CLASSES, seed: int = 3
) -> tuple[SegmentationNetwork, str]:
    nowhere = NetworkFolder(folder.root / "no classifier")
    return start_segmenter(config, classes, folder, classifier=nowhere, seed=seed)


def save(segmenter: SegmentationNetwork, name: str, folder: NetworkFolder, classes: ClassSet = CLASSES) -> None:
    save_network(folder, segmenter, describe_segmenter(segmenter, name, classes, weights_from="random"), ())


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_random_weights_depend_on_the_seed_alone(config: SegmenterConfig, folder: NetworkFolder) -> None:
    torch.manual_seed(1)
    one, origin = start(config, folder)
    torch.manual_seed(2)
    two, _ = start(config, folder)
    assert (origin, one.num_labels) == ("random", 4)
    assert_equal(one, two)


def test_a_trained_network_comes_back_from_its_file_alone(
    config: SegmenterConfig, folder: NetworkFolder, tmp_path: Path
) -> None:
    mine = write_config(tmp_path / "mine" / "config.json", SEGFORMER)
    segmenter, _ = start(replace(config, name=f"hf:{mine}"), folder)
    save(segmenter, f"hf:{mine}", folder)
    mine.unlink()
    loaded, classes = load_segmenter(folder.model, CPU)
    assert classes == CLASSES
    assert_equal(loaded, segmenter)
    assert not any(module.training for module in loaded.modules())
    images = torch.randn(1, 3, 37, 50)
    with torch.no_grad():
        # Equal weights; the loaded ones lie channels last, which sums in another order.
        torch.testing.assert_close(loaded(images), segmenter.eval()(images))


def test_pretrained_weights_are_taken_and_what_is_fresh_is_told(
    pretrained: SegmenterConfig, folder: NetworkFolder, told: list[str]
) -> None:
    segmenter, origin = start(pretrained, folder)
    assert origin == pretrained.name.removeprefix("hf:")
    again, _ = start(pretrained, folder)
    assert_equal(again, segmenter)
    assert told[0] == (
        f"{origin}: 2 of 121 parameters start fresh: decode_head.classifier.weight, decode_head.classifier.bias"
    )
    random, _ = start(replace(pretrained, weights="none"), folder, classes=ClassSet(("thing",)), seed=9)
    assert_equal(segmenter.backbone, random.backbone)


def test_auto_falls_back_to_random_weights_with_a_warning(
    config: SegmenterConfig, folder: NetworkFolder, told: list[str]
) -> None:
    segmenter, origin = start(replace(config, weights="auto"), folder)
    random, _ = start(config, folder)
    assert origin == "random"
    assert_equal(segmenter, random)
    assert len(told) == 1
    assert told[0].startswith("starting from random weights, which costs much accuracy on few images: ")
    assert told[0].endswith(
        "there are no weights beside config.json (set segmenter.weights to pretrained, none or a path to decide "
        "yourself)"
    )


def test_auto_takes_the_weights_that_are_there(pretrained: SegmenterConfig, folder: NetworkFolder) -> None:
    segmenter, origin = start(replace(pretrained, weights="auto"), folder)
    asked, _ = start(pretrained, folder)
    assert origin == pretrained.name.removeprefix("hf:")
    assert_equal(segmenter, asked)


def test_weights_that_were_asked_for_must_be_there(config: SegmenterConfig, folder: NetworkFolder) -> None:
    with pytest.raises(ArtifactError, match=r"there are no weights beside config\.json"):
        start(replace(config, weights="pretrained"), folder)
    with pytest.raises(ArtifactError, match=r"expected a safetensors file at gone\.safetensors"):
        start(replace(config, weights="gone.safetensors"), folder)


def test_a_trained_segmenter_of_the_same_classes_is_taken_whole(
    config: SegmenterConfig, folder: NetworkFolder, tmp_path: Path
) -> None:
    trained, _ = start(config, folder, seed=8)
    old = NetworkFolder(tmp_path / "old")
    save(trained, config.name, old)
    segmenter, origin = start(replace(config, weights=str(old.model)), folder)
    assert origin == str(old.model)
    assert_equal(segmenter, trained)


def test_of_a_trained_segmenter_of_other_classes_the_backbone_is_taken(
    config: SegmenterConfig, folder: NetworkFolder, tmp_path: Path
) -> None:
    trained, _ = start(config, folder, classes=OTHER_CLASSES, seed=8)
    old = NetworkFolder(tmp_path / "old")
    save(trained, config.name, old, OTHER_CLASSES)
    segmenter, _ = start(replace(config, weights=str(old.model)), folder)
    fresh, _ = start(config, folder)
    assert_equal(segmenter.backbone, trained.backbone)
    assert_equal(segmenter.network.decode_head, fresh.network.decode_head)


def test_a_training_that_goes_on_remembers_where_its_weights_came_from(
    pretrained: SegmenterConfig, folder: NetworkFolder, told: list[str]
) -> None:
    """Its weights come from the checkpoint, so none are looked for."""
    save_tensors(folder.checkpoint, {}, {WEIGHTS_FROM: "elsewhere"})
    (Path(pretrained.name.removeprefix("hf:")) / "model.safetensors").unlink()
    _, origin = start(pretrained, folder)
    assert (origin, told) == ("elsewhere", [])


def test_a_file_that_does_not_fit_names_the_version_it_was_written_with(
    config: SegmenterConfig, folder: NetworkFolder
) -> None:
    segmenter, _ = start(config, folder)
    save(segmenter, config.name, folder)
    tensors, info = load_tensors(folder.model)
    renamed = {name.replace("segformer", "former"): tensor for name, tensor in tensors.items()}
    save_tensors(folder.model, renamed, info)
    with pytest.raises(ArtifactError, match=r"lacks \d+ of \d+ parameters: [^;]*$"):
        load_segmenter(folder.model, CPU)
    info["transformers"]["config"]["transformers_version"] = "4.9.1"
    save_tensors(folder.model, renamed, info)
    with pytest.raises(ArtifactError, match=r"lacks \d+ of .*; it is of transformers 4\.9\.1, whose names may not be"):
        load_segmenter(folder.model, CPU)
    with pytest.raises(ArtifactError, match="expected a safetensors file at"):
        load_segmenter(folder.root / "gone.safetensors", CPU)


def test_a_run_that_could_not_build_its_segmenter_is_stopped_at_once(
    config: SegmenterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SegmenterConfig(weights="none")
    require_segmenter(plain)
    require_segmenter(config)
    with pytest.raises(ArtifactError, match=r"segmenter\.name: there is no file or folder .*gone"):
        require_segmenter(replace(config, name=f"hf:{tmp_path / 'gone'}"))
    for weights in (str(tmp_path / "gone.pth"), str(tmp_path)):
        with pytest.raises(ArtifactError, match=r"segmenter\.weights: there is no file "):
            require_segmenter(replace(plain, weights=weights))
        require_segmenter(replace(plain, weights=weights), goes_on=True)  # the checkpoint has it all
    with pytest.raises(ConfigError, match="there are no ImageNet weights for 'critter'"):
        require_segmenter(replace(plain, name="critter", weights="imagenet"))
    alone = replace(config, weights="pretrained")
    with pytest.raises(ArtifactError, match=r"there are no weights beside config\.json"):
        require_segmenter(alone)
    require_segmenter(alone, goes_on=True)
    monkeypatch.setitem(sys.modules, "transformers", None)
    require_segmenter(plain)
    with pytest.raises(MissingExtra, match=r"pip install 'weakseg\[hf\]'"):
        require_segmenter(replace(config, name="hf:nvidia/mit-b0"))
