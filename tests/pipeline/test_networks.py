import json
import math
from pathlib import Path

import pytest
import torch

from tests.pipeline.saved_networks import CLASSES, HISTORY, IRNET, assert_equal, save_classifier
from weakseg.config.schema import AugmentConfig, OptimConfig
from weakseg.data.transforms import Augmentation
from weakseg.errors import ArtifactError
from weakseg.models.irnet import build_irnet
from weakseg.pipeline.artifacts import NetworkFolder, load_tensors, save_tensors
from weakseg.pipeline.networks import (
    describe_network,
    load_classifier,
    load_history,
    load_irnet,
    make_hooks,
    make_plan,
    save_network,
)
from weakseg.train.loop import TrainState
from weakseg.train.plan import make_augmentation

CPU = torch.device("cpu")


def save_irnet(folder: NetworkFolder) -> None:
    info = describe_network(IRNET, CLASSES, kind="refiner", weights_from="random")
    save_network(folder, build_irnet("critter"), info, HISTORY)


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    return NetworkFolder(tmp_path / "network")


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
        max_gradient_norm=3.0,
    )
    plan = make_plan(optim, epochs=7, batch_size=5, workers=3)
    assert (plan.epochs, plan.batch_size, plan.workers) == (7, 5, 3)
    shared = ("schedule", "learning_rate", "head_multiplier", "momentum", "weight_decay", "power", "warmup_share")
    shared = (*shared, "max_gradient_norm")
    assert [getattr(plan, name) for name in shared] == [getattr(optim, name) for name in shared]


def test_a_history_is_plain_json(folder: NetworkFolder) -> None:
    save_classifier(folder)
    assert json.loads(folder.history.read_text())[0] == {
        "epoch": 1,
        "loss": 0.9,
        "learning_rate": 0.1,
        "metrics": {"map": None},
    }
