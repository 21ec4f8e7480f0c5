"""Which released checkpoint, already trained, a recipe names in the place of a training, and what contradicts it."""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.config.sections.classifier import ClassifierConfig
from weakseg.config.sections.refine import RefineConfig
from weakseg.errors import ConfigError

KINDS: dict[tuple[str, str, str], str] = {
    ("classifier", "plain", "resnet50"): "resnet50_cam",
    ("classifier", "plain", "resnet38"): "resnet38_cls",
    ("classifier", "seam", "resnet38"): "resnet38_seam",
    ("refine", "irn", "resnet50"): "resnet50_irn",
    ("refine", "psa", "resnet38"): "resnet38_aff",
}
"""The kinds of checkpoints that `weakseg.models.weights.load_official` reads, by section, method and backbone."""


@dataclass(frozen=True)
class ReleasedNetwork:
    """A released checkpoint that a recipe names.

    Args:
        setting: The setting that names it.
        file: Its path.
        kind: What it must be, one of `KINDS`.
        asked_by: The settings that ask for this kind, in words.
    """

    setting: str
    file: str
    kind: str
    asked_by: str


def released_classifier(config: ClassifierConfig) -> ReleasedNetwork | None:
    """Return the checkpoint that takes the place of the classifier's training, or None.

    Raises:
        ConfigError: If no checkpoint was released for the method and the backbone.
    """
    if config.released is None:
        return None
    kind = KINDS.get(("classifier", config.method, config.name))
    if kind is None:
        raise ConfigError(
            "classifier.released: there are released checkpoints of resnet50 and resnet38 for classifier.method "
            f"'plain', and of resnet38 for 'seam'; got classifier.name {config.name} with '{config.method}'"
        )
    asked_by = f"classifier.method '{config.method}' on {config.name}"
    return ReleasedNetwork("classifier.released", config.released, kind, asked_by)


def released_refiner(config: RefineConfig) -> ReleasedNetwork | None:
    """Return the checkpoint that takes the place of the refinement's training, or None; `none` and `crf` train nothing.

    Raises:
        ConfigError: If no checkpoint was released for the backbone.
    """
    if config.method not in ("irn", "psa"):
        return None
    network = config.irn if config.method == "irn" else config.psa
    if network.released is None:
        return None
    section = f"refine.{config.method}"
    kind = KINDS.get(("refine", config.method, network.name))
    if kind is None:
        names = ", ".join(name for _, method, name in KINDS if method == config.method)
        raise ConfigError(
            f"{section}.released: there are released checkpoints of {names} alone, got {section}.name {network.name}"
        )
    return ReleasedNetwork(f"{section}.released", network.released, kind, f"{section}.name {network.name}")


def check_released(classifier: ClassifierConfig, refine: RefineConfig) -> None:
    """Raise a `ConfigError` if there is no such checkpoint, or a setting contradicts it."""
    released_refiner(refine)
    if released_classifier(classifier) is not None and classifier.cda.masks is not None:
        raise ConfigError(
            "classifier.cda.masks: a released classifier is not trained, so nothing is pasted into its images; set "
            "classifier.cda.masks to null (a checkpoint that was trained with CDA needs none), or classifier.released"
        )
