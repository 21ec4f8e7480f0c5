import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import make_classifier
from weakseg.config.schema import AugmentConfig, ClassifierConfig, IRNConfig, OptimConfig
from weakseg.data.transforms import Augmentation
from weakseg.errors import ArtifactError, ConfigError
from weakseg.models.classifier import Classifier
from weakseg.models.irnet import build_irnet
from weakseg.pipeline.artifacts import NetworkFolder, load_state, load_tensors, save_tensors
from weakseg.pipeline.networks import (
    describe_network,
    load_classifier,
    load_history,
    load_irnet,
    make_augmentation,
    make_hooks,
    make_plan,
    save_network,
    start_classifier,
    start_irnet,
)
from weakseg.train.loop import EpochRecord, TrainState
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
CPU = torch.device("cpu")
CLASSIFIER = ClassifierConfig(name="critter", weights="none", freeze_trunk=False, fixed_norm=False)
IRNET = IRNConfig(name="critter", weights="none")
HISTORY = (EpochRecord(1, 0.9, 0.1, {"map": math.nan}), EpochRecord(2, 0.5, 0.05, {"map": 0.75}))


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def save_classifier(folder: NetworkFolder, seed: int = 0) -> Classifier:
    classifier = make_classifier(seed)
    info = describe_network(CLASSIFIER, CLASSES, kind="classifier", weights_from="random")
    save_network(folder, classifier, info, HISTORY)
    return classifier


def save_irnet(folder: NetworkFolder) -> None:
    info = describe_network(IRNET, CLASSES, kind="refiner", weights_from="random")
    save_network(folder, build_irnet("critter"), info, HISTORY)


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "network")


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def test_a_classifier_comes_back_ready_for_inference(folder: NetworkFolder) -> None:
    classifier = save_classifier(folder)
    loaded, classes = load_classifier(folder.model, CPU)
    assert classes == CLASSES
    assert_equal(loaded, classifier)
    assert not any(module.training for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.backbone.layer2.parameters())


def test_a_saved_network_describes_itself_and_ends_its_checkpoint(folder: NetworkFolder) -> None:
    save_tensors(folder.checkpoint, {}, {})
    save_irnet(folder)
    assert sorted(path.name for path in folder.root.iterdir()) == ["history.json", "model.safetensors"]
    assert load_tensors(folder.model)[1] == {
        "kind": "refiner",
        "name": "critter",
        "classes": ["cat", "dog", "fox"],
        "weights_from": "random",
    }


def test_other_ranks_save_nothing(folder: NetworkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.pipeline.networks.rank", lambda: 1)
    save_classifier(folder)
    make_hooks(folder, lambda done, total: None, weights_from="random").after_epoch(TrainState({}, {}), HISTORY[0])
    assert not folder.root.exists()


def test_the_history_comes_back_with_what_was_undefined(folder: NetworkFolder) -> None:
    save_classifier(folder)
    first, second = load_history(folder)
    assert second == HISTORY[1]
    assert math.isnan(first.metrics["map"])


@pytest.mark.parametrize("content", ["", "[]", "{}", "[3]", '[{"epoch": 1}]', '[{"epoch": 1, "metrics": []}]'])
def test_a_damaged_history_is_named(content: str, folder: NetworkFolder) -> None:
    with pytest.raises(ArtifactError, match=rf"there is no {folder.history}; run the stage that trains this network"):
        load_history(folder)
    folder.root.mkdir()
    folder.history.write_text(content)
    with pytest.raises(ArtifactError, match=rf"{folder.history} is damaged \(.*\); delete it and run the stage that"):
        load_history(folder)


def test_a_network_of_the_other_kind_is_refused(folder: NetworkFolder, tmp_path: Path) -> None:
    save_classifier(folder)
    with pytest.raises(ArtifactError, match="expected a refiner that weakseg trained, got classifier"):
        load_irnet(folder.model, CPU)
    other = NetworkFolder(tmp_path / "other")
    save_irnet(other)
    with pytest.raises(ArtifactError, match="expected a classifier that weakseg trained, got refiner"):
        load_classifier(other.model, CPU)


def test_foreign_missing_and_truncated_weights_are_refused(folder: NetworkFolder) -> None:
    with pytest.raises(ArtifactError, match=f"expected a safetensors file at {folder.model}"):
        load_classifier(folder.model, CPU)
    save_tensors(folder.model, {"weight": torch.zeros(1)}, {})
    with pytest.raises(ArtifactError, match="expected a classifier that weakseg trained, got other weights"):
        load_classifier(folder.model, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["cat", "dog"]}, r"'classifier.weight' should have shape \(2, 128, 1, 1\), got \(3, 128, 1, 1\)"),
        ({"classes": "cat"}, "expected a classifier that weakseg trained, got classifier"),
        ({"name": None}, "expected a classifier that weakseg trained, got classifier"),
        ({"name": "resnet18"}, "model.safetensors: lacks [0-9]+ of [0-9]+ parameters"),
    ],
)
def test_a_description_that_does_not_fit_the_weights_is_refused(
    change: dict[str, object], message: str, folder: NetworkFolder
) -> None:
    save_classifier(folder)
    tensors, info = load_tensors(folder.model)
    save_tensors(folder.model, tensors, {**info, **change})
    with pytest.raises(ArtifactError, match=message):
        load_classifier(folder.model, CPU)


def test_random_weights_depend_on_the_seed_alone(folder: NetworkFolder) -> None:
    torch.manual_seed(1)
    first, origin = start_classifier(CLASSIFIER, CLASSES, folder, seed=3)
    torch.manual_seed(2)
    again, _ = start_classifier(CLASSIFIER, CLASSES, folder, seed=3)
    other, _ = start_classifier(CLASSIFIER, CLASSES, folder, seed=4)
    assert origin == "random"
    assert_equal(first, again)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    one, _ = start_irnet(IRNET, folder, classifier=folder, seed=3)
    two, _ = start_irnet(IRNET, folder, classifier=folder, seed=3)
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
    irnet, origin = start_irnet(replace(IRNET, weights="classifier"), folder, classifier=trained, seed=0)
    assert origin == "classifier"
    assert_equal(irnet.backbone, classifier.backbone)


def test_a_classifier_of_another_backbone_is_named_as_such(folder: NetworkFolder, tmp_path: Path) -> None:
    trained = NetworkFolder(tmp_path / "classifier")
    save_classifier(trained)
    config = replace(IRNET, name="resnet50", weights="classifier")
    with pytest.raises(ConfigError) as raised:
        start_irnet(config, folder, classifier=trained, seed=0)
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


def test_sections_become_the_layers_own_settings() -> None:
    augment = AugmentConfig(long_side_px=(30, 40), crop_px=32, flip=False, colour=0.5)
    assert make_augmentation(augment) == Augmentation(long_side_px=(30, 40), crop_px=32, flip=False, colour=0.5)
    optim = OptimConfig(
        schedule="one_cycle",
        learning_rate=0.3,
        head_multiplier=2.0,
        momentum=0.8,
        weight_decay=5e-4,
        power=0.7,
        warmup_share=0.4,
    )
    plan = make_plan(optim, epochs=7, batch_size=5, workers=3)
    assert (plan.epochs, plan.batch_size, plan.workers) == (7, 5, 3)
    shared = ("schedule", "learning_rate", "head_multiplier", "momentum", "weight_decay", "power", "warmup_share")
    assert [getattr(plan, name) for name in shared] == [getattr(optim, name) for name in shared]


def test_a_history_is_plain_json(folder: NetworkFolder) -> None:
    save_classifier(folder)
    assert json.loads(folder.history.read_text())[0] == {
        "epoch": 1,
        "loss": 0.9,
        "learning_rate": 0.1,
        "metrics": {"map": None},
    }
