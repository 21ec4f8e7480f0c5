"""What a study of methods needs besides its settings, looked for before an earlier study is removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.config.chosen import refiner_facts
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import open_splits
from weakseg.pipeline.refiner_files import require_folder
from weakseg.pipeline.requirements import require_weights
from weakseg.pipeline.saliency import require_saliency_folder


def require_backbone(config: RunConfig, refinements: Sequence[str]) -> None:
    """Raise a `ConfigError` if AffinityNet is to stand on a classifier of another kind than its own."""
    psa, name = config.refine.psa, config.classifier.name
    if "psa" in refinements and psa.weights == "classifier" and psa.name != name:
        raise ConfigError(
            f"refine.psa.name: expected the classifiers' own, {name}, since refine.psa.weights is 'classifier', got "
            f"{psa.name}; leave psa out of --masks, or change one of the two"
        )


def require_sources(config: RunConfig, refinements: Sequence[str]) -> None:
    """Look for data and weights before hours of training, and before an earlier study is removed.

    Raises:
        ConfigError: If there are no ImageNet weights for a backbone, or the recipe lacks a root or a split.
        ArtifactError: If weights are not there.
        DataError: If the data, the saliency maps, or files that a refiner reads are not there.
    """
    if config.data.name != "critters":  # those are drawn
        open_splits(config.data, RunFolder(Path()))
    require_saliency_folder(config.refine.saliency)
    for refinement in refinements:
        facts = refiner_facts(replace(config.refine, method=refinement))
        if facts is not None and facts.reads is not None:
            require_folder(facts, facts.reads, config.refine)
    require_weights("classifier", config.classifier.weights, config.classifier.name)
    for name, network in (("irn", config.refine.irn), ("psa", config.refine.psa)):
        if name in refinements:
            require_weights(f"refine.{name}", network.weights, network.name)
