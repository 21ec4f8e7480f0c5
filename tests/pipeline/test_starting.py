from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.pipeline.saved_networks import CLASSES, CLASSIFIER, HISTORY, IRNET, assert_equal, save_classifier
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import NetworkFolder, load_state
from weakseg.pipeline.networks import make_hooks
from weakseg.pipeline.starting import start_classifier, start_refiner, tell_of_no_stride
from weakseg.refine.irn import IRN
from weakseg.train.loop import TrainState


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "network")


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def test_random_weights_depend_on_the_seed_alone(folder: NetworkFolder) -> None:
    torch.manual_seed(1)
    first, origin = start_classifier(CLASSIFIER, CLASSES, folder, seed=3)
    torch.manual_seed(2)
    again, _ = start_classifier(CLASSIFIER, CLASSES, folder, seed=3)
    other, _ = start_classifier(CLASSIFIER, CLASSES, folder, seed=4)
    assert origin == "random"
    assert_equal(first, again)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    one, _ = start_refiner(IRN, IRNET, folder, classifier=folder, seed=3)
    two, _ = start_refiner(IRN, IRNET, folder, classifier=folder, seed=3)
    assert_equal(one, two)
    assert first.num_classes == 3


@pytest.mark.parametrize(("freeze_trunk", "fixed_norm"), [(True, False), (False, True)])
def test_freezing_and_fixing_follow_the_recipe(freeze_trunk: bool, fixed_norm: bool, folder: NetworkFolder) -> None:
    config = replace(CLASSIFIER, freeze_trunk=freeze_trunk, fixed_norm=fixed_norm)
    classifier, _ = start_classifier(config, CLASSES, folder, seed=0)
    assert classifier.backbone.conv1.weight.requires_grad != freeze_trunk
    assert classifier.backbone.layer4[0].bn1.training != fixed_norm


def test_auto_falls_back_to_random_weights_with_a_warning(
    folder: NetworkFolder, no_download: None, told: list[str]
) -> None:
    config = replace(CLASSIFIER, name="resnet18", weights="auto")
    classifier, origin = start_classifier(config, CLASSES, folder, seed=0)
    random, _ = start_classifier(replace(config, weights="none"), CLASSES, folder, seed=0)
    assert origin == "random"
    assert_equal(classifier, random)
    assert len(told) == 1
    assert told[0].startswith("starting from random weights, which costs much accuracy on few images: could not downl")
    assert "no route to host" in told[0]
    assert told[0].endswith("(set 'weights' to imagenet, none or a path to decide yourself)")


def test_auto_falls_back_where_there_are_no_weights_at_all(folder: NetworkFolder, told: list[str]) -> None:
    _, origin = start_classifier(replace(CLASSIFIER, weights="auto"), CLASSES, folder, seed=0)
    assert origin == "random"
    assert "there are no ImageNet weights for 'critter'" in told[0]


def test_weights_that_were_asked_for_must_be_had(folder: NetworkFolder, no_download: None) -> None:
    with pytest.raises(ArtifactError, match=r"could not download .*resnet18.*\(no route to host\)"):
        start_classifier(replace(CLASSIFIER, name="resnet18", weights="imagenet"), CLASSES, folder, seed=0)
    with pytest.raises(ConfigError, match="there are no ImageNet weights for 'critter'"):
        start_classifier(replace(CLASSIFIER, weights="imagenet"), CLASSES, folder, seed=0)
    with pytest.raises(ArtifactError, match=r"weights 'gone\.pth': expected 'imagenet', 'none' or a checkpoint"):
        start_classifier(replace(CLASSIFIER, weights="gone.pth"), CLASSES, folder, seed=0)


def test_weights_may_come_from_a_file(folder: NetworkFolder, tmp_path: Path) -> None:
    trained = save_classifier(NetworkFolder(tmp_path / "other"), seed=9)
    path = str(tmp_path / "other" / "model.safetensors")
    classifier, origin = start_classifier(replace(CLASSIFIER, weights=path), CLASSES, folder, seed=0)
    assert origin == path
    assert_equal(classifier.backbone, trained.backbone)
    assert not torch.equal(classifier.classifier.weight, trained.classifier.weight)


def test_an_irnet_may_start_from_the_classifiers_backbone(folder: NetworkFolder, tmp_path: Path) -> None:
    trained = NetworkFolder(tmp_path / "classifier")
    classifier = save_classifier(trained, seed=9)
    irnet, origin = start_refiner(IRN, replace(IRNET, weights="classifier"), folder, classifier=trained, seed=0)
    assert origin == "classifier"
    assert_equal(irnet.backbone, classifier.backbone)


@pytest.mark.slow
def test_a_classifier_of_another_backbone_is_named_as_such(folder: NetworkFolder, tmp_path: Path) -> None:
    trained = NetworkFolder(tmp_path / "classifier")
    save_classifier(trained)
    config = replace(IRNET, name="resnet50", weights="classifier")
    with pytest.raises(ConfigError) as raised:
        start_refiner(IRN, config, folder, classifier=trained, seed=0)
    assert str(raised.value) == (
        "refine.irn.weights: 'classifier' is for a network on the classifier's own backbone, but refine.irn.name is "
        "resnet50 and the classifier is critter; make them equal or choose other weights"
    )


def test_a_training_that_goes_on_remembers_where_its_weights_came_from(
    folder: NetworkFolder, no_download: None, told: list[str]
) -> None:
    """The first attempt had no network and began with random weights; the second must not claim otherwise."""
    hooks = make_hooks(folder, lambda done, total: None, weights_from="random")
    assert hooks.resume is None
    state = TrainState({"model.weight": torch.ones(1)}, {"steps": 7, "history": []})
    hooks.after_epoch(state, HISTORY[1])
    assert told == ["  epoch 2: loss 0.5000, map 0.750"]
    config = replace(CLASSIFIER, name="resnet18", weights="imagenet")
    _, origin = start_classifier(config, CLASSES, folder, seed=0)
    assert origin == "random"
    again = make_hooks(folder, lambda done, total: None, weights_from=origin).resume
    assert (again.plain["steps"], again.plain["history"]) == (7, [])
    assert torch.equal(again.tensors["model.weight"], torch.ones(1))
    assert load_state(folder.checkpoint).plain["weights_from"] == "random"


def test_a_classifier_is_trained_at_its_training_stride_and_scores_at_its_own(folder: NetworkFolder) -> None:
    lite = replace(CLASSIFIER, name="efficientnet_lite0", weights="none", training_stride_px=32)
    coarse, _ = start_classifier(lite, CLASSES, folder, seed=0)
    usual, _ = start_classifier(replace(lite, training_stride_px=None), CLASSES, folder, seed=0)
    assert (coarse.stride, usual.stride) == (32, 16)
    assert_equal(coarse, usual)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"name": "efficientnet_lite0", "training_stride_px": 32}, []),
        ({"name": "critter"}, []),
        ({"name": "critter", "training_stride_px": 32}, ["32 has no effect, since critter has one stride alone"]),
        ({"name": "efficientnet_lite0", "method": "seam", "training_stride_px": 32}, ["since 'seam' compares maps"]),
    ],
)
def test_it_is_said_where_the_stride_of_the_training_is_not_heeded(
    words: dict[str, str | int], expected: list[str], told: list[str]
) -> None:
    config = CLASSIFIER
    for name, value in words.items():
        config = replace(config, **{name: value})
    tell_of_no_stride(config)
    assert len(told) == len(expected)
    assert all(part in line for part, line in zip(expected, told, strict=True))
