from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import make_classifier, make_segmenter
from weakseg.config.schema import ClassifierConfig, SegmenterConfig
from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.deeplab import Segmenter
from weakseg.pipeline.artifacts import NetworkFolder, load_tensors, save_tensors
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.pipeline.segmenters import describe_segmenter, load_segmenter, start_segmenter
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
CPU = torch.device("cpu")
DEEPLAB = SegmenterConfig(name="critter", weights="none", aspp_rates=(1, 2), fixed_norm=False)


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def save_segmenter(folder: NetworkFolder) -> Segmenter:
    segmenter = make_segmenter()
    save_network(folder, segmenter, describe_segmenter(segmenter, "critter", CLASSES, weights_from="random"), ())
    return segmenter


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "segmenter")


@pytest.fixture
def classifier(tmp_path: Path) -> NetworkFolder:
    """A trained classifier."""
    folder = NetworkFolder(tmp_path / "classifier")
    config = ClassifierConfig(name="critter")
    info = describe_network(config, CLASSES, kind="classifier", weights_from="random")
    save_network(folder, make_classifier(9), info, ())
    return folder


def test_a_deeplab_comes_back_with_its_dilations(folder: NetworkFolder) -> None:
    segmenter = save_segmenter(folder)
    loaded, classes = load_segmenter(folder.model, CPU)
    assert classes == CLASSES
    assert isinstance(loaded, Segmenter)
    assert_equal(loaded, segmenter)
    assert [branch.dilation for branch in loaded.aspp.branches] == [(1, 1), (2, 2)]
    assert not any(module.training for module in loaded.modules())


def test_a_deeplab_describes_itself(folder: NetworkFolder) -> None:
    save_segmenter(folder)
    assert load_tensors(folder.model)[1] == {
        "kind": "segmenter",
        "name": "critter",
        "classes": ["cat", "dog", "fox"],
        "aspp_rates": [1, 2],
        "multi_scale": [],
        "caffe_form": False,
        "weights_from": "random",
    }


@pytest.mark.parametrize("rates", [None, [1, "2"], "12"])
def test_a_deeplab_without_its_dilations_is_refused(rates: object, folder: NetworkFolder) -> None:
    save_segmenter(folder)
    tensors, info = load_tensors(folder.model)
    save_tensors(folder.model, tensors, {**info, "aspp_rates": rates})
    with pytest.raises(ArtifactError, match=rf"{folder.model}: expected the dilations of a segmenter, got"):
        load_segmenter(folder.model, CPU)


def test_a_network_of_another_kind_is_refused(classifier: NetworkFolder) -> None:
    with pytest.raises(ArtifactError, match="expected a segmenter that weakseg trained, got classifier"):
        load_segmenter(classifier.model, CPU)


def test_random_weights_depend_on_the_seed_alone(folder: NetworkFolder, classifier: NetworkFolder) -> None:
    torch.manual_seed(1)
    one, origin = start_segmenter(DEEPLAB, CLASSES, folder, classifier=classifier, seed=3)
    torch.manual_seed(2)
    two, _ = start_segmenter(DEEPLAB, CLASSES, folder, classifier=classifier, seed=3)
    assert (origin, one.num_labels) == ("random", 4)
    assert_equal(one, two)


def test_the_recipe_says_how_far_fresh_convolutions_spread(folder: NetworkFolder, classifier: NetworkFolder) -> None:
    config = replace(DEEPLAB, aspp_std=0.0)
    segmenter, _ = start_segmenter(config, CLASSES, folder, classifier=classifier, seed=3)
    assert isinstance(segmenter, Segmenter)
    assert all(not branch.weight.any() for branch in segmenter.aspp.branches)


def test_a_deeplab_may_start_from_the_classifiers_backbone(folder: NetworkFolder, classifier: NetworkFolder) -> None:
    config = replace(DEEPLAB, weights="classifier")
    segmenter, origin = start_segmenter(config, CLASSES, folder, classifier=classifier, seed=0)
    assert origin == "classifier"
    assert isinstance(segmenter, Segmenter)
    assert_equal(segmenter.backbone, make_classifier(9).backbone)


def test_a_classifier_of_another_backbone_is_named_as_such(folder: NetworkFolder, classifier: NetworkFolder) -> None:
    config = replace(DEEPLAB, name="resnet18", weights="classifier")
    with pytest.raises(ConfigError) as raised:
        start_segmenter(config, CLASSES, folder, classifier=classifier, seed=0)
    assert str(raised.value) == (
        "segmenter.weights: 'classifier' is for a network on the classifier's own backbone, but segmenter.name is "
        "resnet18 and the classifier is critter; make them equal or choose other weights"
    )
