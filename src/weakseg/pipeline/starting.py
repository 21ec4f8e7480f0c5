"""Building the networks of a run with the weights that their training begins with.

What is special to segmenters is in `weakseg.pipeline.segmenters`.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch
from torch import nn

from weakseg.config.backbones import training_strides
from weakseg.config.network_names import hf_name
from weakseg.config.schema import ClassifierConfig, SegmenterConfig
from weakseg.config.sections.training import TrainingSettings
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.models.backbone import Backbone
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.seam import build_seam
from weakseg.models.weights import load_backbone
from weakseg.pipeline.artifacts import NetworkFolder, load_info
from weakseg.pipeline.hf_backbones import OWN, start_hf_backbone
from weakseg.pipeline.networks import WEIGHTS_FROM
from weakseg.pipeline.runtime import make_generator
from weakseg.refine.method import Refiner
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")


def start_classifier(
    config: ClassifierConfig, classes: ClassSet, folder: NetworkFolder, *, seed: int
) -> tuple[Classifier, str]:
    """Build a classifier with its initial weights, or with any if the folder has a checkpoint to go on from.

    Args:
        config: What to build and where its weights come from.
        classes: The classes.
        folder: Where the classifier is trained.
        seed: Seed of random weights.

    Returns:
        The classifier on the CPU, and where the weights of the training come from, for the metrics.

    Raises:
        ConfigError: If there are no ImageNet weights for the backbone.
        ArtifactError: If weights are missing, damaged or another network's.
    """
    generator = make_generator(seed)
    if hf_name(config.name) is not None:
        backbone, origin = start_hf("classifier", config, folder, fixed_norm=config.fixed_norm, generator=generator)
        classifier = Classifier(
            backbone, num_classes=len(classes), freeze_trunk=config.freeze_trunk, generator=generator
        )
        return classifier, origin
    stride_px = config.training_stride_px
    coarse = partial(build_classifier, stride_px=stride_px if training_strides(config) else None)
    build = build_seam if config.method == "seam" else coarse
    classifier = build(
        config.name,
        num_classes=len(classes),
        freeze_trunk=config.freeze_trunk,
        fixed_norm=config.fixed_norm,
        generator=generator,
    )
    return classifier, _load_start(classifier, config.name, config.weights, folder)


def tell_of_no_stride(config: ClassifierConfig) -> None:
    """Say that the stride of the training is not heeded, where the classifier has the one alone that it scores at."""
    if config.training_stride_px is not None and not training_strides(config):
        what = (
            "'seam' compares maps at the stride that scores"
            if config.method == "seam"
            else f"{config.name} has one stride alone"
        )
        logger.warning(
            "classifier.training_stride_px: %d has no effect, since %s; null says the same",
            config.training_stride_px,
            what,
        )


def start_hf(
    section: str,
    config: ClassifierConfig | SegmenterConfig | TrainingSettings,
    folder: NetworkFolder,
    *,
    fixed_norm: bool,
    generator: torch.Generator,
    classifier: NetworkFolder | None = None,
) -> tuple[HFBackbone, str]:
    """Build a backbone of `transformers` with its initial weights; see `start_hf_backbone` and `start_backbone`."""
    if classifier is not None and config.weights == OWN:
        _require_own(section, config.name, classifier)
    resumes = folder.checkpoint.is_file()
    backbone, origin = start_hf_backbone(
        section,
        config.name,
        config.weights,
        own=(classifier or folder).model,
        resumes=resumes,
        fixed_norm=fixed_norm,
        generator=generator,
    )
    return backbone, str(load_info(folder.checkpoint).get(WEIGHTS_FROM)) if resumes else origin


def start_refiner(
    refiner: Refiner[Any], config: TrainingSettings, folder: NetworkFolder, *, classifier: NetworkFolder, seed: int
) -> tuple[nn.Module, str]:
    """Build a refiner's network with its initial weights; see `start_classifier` and `start_backbone`."""
    network, section, generator = refiner.trains, f"refine.{refiner.name}", make_generator(seed)
    assert network is not None, f"{refiner.name} trains no network"
    if hf_name(config.name) is not None:
        backbone, origin = start_hf(
            section, config, folder, fixed_norm=True, generator=generator, classifier=classifier
        )
        return network.build(config.name, settings=config, backbone=backbone, generator=generator), origin
    model = network.build(config.name, settings=config, backbone=None, generator=generator)
    return model, start_backbone(model, config.name, config.weights, folder, classifier, section=section)


def start_backbone(
    model: nn.Module,
    name: str,
    source: str,
    folder: NetworkFolder,
    classifier: NetworkFolder,
    *,
    section: str,
) -> str:
    """Load the initial weights of a network on a backbone, and say where they came from.

    Args:
        model: The network; its backbone is filled in place.
        name: Its backbone.
        source: As the recipe says it; with `classifier` the backbone of the run's own classifier, which must be of the
            same kind.
        folder: Where the network is trained; a checkpoint there makes initial weights needless.
        classifier: The run's classifier.
        section: Section of the recipe, for messages.

    Raises:
        ConfigError: If the classifier has another backbone, or there are no ImageNet weights for this one.
        ArtifactError: If weights are missing, damaged or another network's.
    """
    if source != OWN:
        return _load_start(model, name, source, folder)
    _require_own(section, name, classifier)
    _load_start(model, name, str(classifier.model), folder)
    return OWN


def _require_own(section: str, name: str, classifier: NetworkFolder) -> None:
    """Raise a `ConfigError` unless the run's classifier stands on this backbone."""
    trained = load_info(classifier.model).get("name")
    if trained != name:
        raise ConfigError(
            f"{section}.weights: 'classifier' is for a network on the classifier's own backbone, but {section}.name "
            f"is {name} and the classifier is {trained}; make them equal or choose other weights"
        )


def _load_start(model: nn.Module, name: str, source: str, folder: NetworkFolder) -> str:
    """Load initial weights and say where they came from; `auto` falls back to random ones and warns."""
    if folder.checkpoint.is_file():
        return str(load_info(folder.checkpoint).get(WEIGHTS_FROM))
    if source == "none":
        return "random"
    backbone = model.backbone
    assert isinstance(backbone, Backbone), "networks of weakseg stand on a backbone"
    if source != "auto":
        load_backbone(backbone, source, name)
        return source
    try:
        load_backbone(backbone, "imagenet", name)
    except (ArtifactError, ConfigError, MissingExtra) as error:
        logger.warning(
            "starting from random weights, which costs much accuracy on few images: %s (set 'weights' to imagenet, "
            "none or a path to decide yourself)",
            error,
        )
        return "random"
    return "imagenet"
