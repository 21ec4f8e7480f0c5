"""Which kinds of released checkpoints can take the place of a training, and what contradicts one a recipe names."""

from __future__ import annotations

from weakseg.config.sections.classifier import ClassifierConfig
from weakseg.config.sections.refine import RefineConfig
from weakseg.errors import ConfigError
from weakseg.registry import REFINERS

CLASSIFIER_KINDS: dict[tuple[str, str], str] = {
    ("plain", "resnet50"): "resnet50_cam",
    ("plain", "resnet38"): "resnet38_cls",
    ("seam", "resnet38"): "resnet38_seam",
}
"""The kinds of checkpoints that `weakseg.models.weights.load_official` reads, by method and backbone."""


def classifier_kind(method: str, name: str) -> str:
    """Return the kind of checkpoint that was released for a classifier.

    Args:
        method: Its `classifier.method`.
        name: Its backbone.

    Raises:
        ConfigError: If there is none.
    """
    kind = CLASSIFIER_KINDS.get((method, name))
    if kind is None:
        raise ConfigError(
            "classifier.released: there are released checkpoints of resnet50 and resnet38 for classifier.method "
            f"'plain', and of resnet38 for 'seam'; got classifier.name {name} with '{method}'"
        )
    return kind


def refiner_kind(method: str, name: str) -> str:
    """Return the kind of checkpoint that was released for the network of a refinement.

    Args:
        method: The `refine.method`.
        name: The network's backbone.

    Raises:
        ConfigError: If there is none.
    """
    trains = REFINERS.load(method).trains
    kinds = {} if trains is None else trains.released
    kind = kinds.get(name)
    if kind is None:
        names = ", ".join(kinds) or "no network"
        raise ConfigError(
            f"refine.{method}.released: released checkpoints are of {names} alone, got refine.{method}.name {name}"
        )
    return kind


def uses_released_refiner(refine: RefineConfig) -> bool:
    """Say whether the recipe's refinement has a network that was released, so that it trains none."""
    return refine.network is not None and refine.network.released is not None


def check_released(classifier: ClassifierConfig, refine: RefineConfig) -> None:
    """Raise a `ConfigError` if there is no such checkpoint, or a setting contradicts it."""
    if refine.network is not None and refine.network.released is not None:
        refiner_kind(refine.method, refine.network.name)
    if classifier.released is None:
        return
    classifier_kind(classifier.method, classifier.name)
    if classifier.cda.masks is not None:
        raise ConfigError(
            "classifier.cda.masks: a released classifier is not trained, so nothing is pasted into its images; set "
            "classifier.cda.masks to null (a checkpoint that was trained with CDA needs none), or classifier.released"
        )
