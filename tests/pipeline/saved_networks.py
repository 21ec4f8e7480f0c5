"""Small networks as the stages save them."""

import math

import torch

from tests.tiny import make_classifier
from weakseg.config.schema import ClassifierConfig
from weakseg.models.classifier import Classifier
from weakseg.pipeline.artifacts import NetworkFolder
from weakseg.pipeline.networks import describe_network, save_network
from weakseg.refine.irn import IRNConfig
from weakseg.train.loop import EpochRecord
from weakseg.types import ClassSet

CLASSES = ClassSet(("cat", "dog", "fox"))
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
