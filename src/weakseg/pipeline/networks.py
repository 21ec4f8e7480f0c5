"""Building, training with checkpoints, saving and loading the networks of a run.

What is special to segmenters is in `weakseg.pipeline.segmenters`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import torch

from weakseg.config.schema import (
    AugmentConfig,
    ClassifierConfig,
    IRNConfig,
    OptimConfig,
    PSAConfig,
    SegmenterConfig,
)
from weakseg.config.segmenters import hf_name
from weakseg.data.transforms import Augmentation
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.files import JsonValue, write_json
from weakseg.models.affinitynet import AffinityNet, build_affinitynet
from weakseg.models.backbone import Backbone
from weakseg.models.checkpoints import fit_state
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.deeplab import Segmenter
from weakseg.models.hf_backbone import HFBackbone
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_config import explain_version
from weakseg.models.irnet import IRNet, build_irnet
from weakseg.models.seam import build_seam
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.models.weights import load_backbone
from weakseg.pipeline.artifacts import NetworkFolder, load_info, load_state, load_tensors, save_state, save_tensors
from weakseg.pipeline.hf_backbones import OWN, start_hf_backbone
from weakseg.pipeline.runtime import local_processes, make_generator, place_network
from weakseg.train.distributed import rank
from weakseg.train.loop import EpochRecord, Tick, TrainState
from weakseg.train.plan import TrainingHooks, TrainingPlan
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")

Network = TypeVar("Network", AffinityNet, Classifier, IRNet, SegmentationNetwork)

WEIGHTS_FROM = "weights_from"
"""Entry of a network file's information: where the weights came from that its training began with."""

BYTES_PER_MB = 2**20

RELEASED = "released"
"""Entry of the same: what a network was made of that no run has trained; see `weakseg.pipeline.released`."""


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
    build = build_seam if config.method == "seam" else build_classifier
    classifier = build(
        config.name,
        num_classes=len(classes),
        freeze_trunk=config.freeze_trunk,
        fixed_norm=config.fixed_norm,
        generator=generator,
    )
    return classifier, _load_start(classifier, config.name, config.weights, folder)


def start_hf(
    section: str,
    config: ClassifierConfig | IRNConfig | SegmenterConfig,
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


def start_irnet(config: IRNConfig, folder: NetworkFolder, *, classifier: NetworkFolder, seed: int) -> tuple[IRNet, str]:
    """Build an IRNet with its initial weights; see `start_classifier` and `start_backbone`."""
    generator = make_generator(seed)
    if hf_name(config.name) is not None:
        backbone, origin = start_hf(
            "refine.irn", config, folder, fixed_norm=True, generator=generator, classifier=classifier
        )
        return IRNet(backbone, generator=generator), origin
    irnet = build_irnet(config.name, generator=generator)
    return irnet, start_backbone(irnet, config.name, config.weights, folder, classifier, section="refine.irn")


def start_affinitynet(
    config: PSAConfig, folder: NetworkFolder, *, classifier: NetworkFolder, seed: int
) -> tuple[AffinityNet, str]:
    """Build an AffinityNet with its initial weights; see `start_classifier` and `start_backbone`."""
    network = build_affinitynet(
        config.name,
        freeze_trunk=config.freeze_trunk,
        fixed_norm=config.fixed_norm,
        generator=make_generator(seed),
    )
    return network, start_backbone(network, config.name, config.weights, folder, classifier, section="refine.psa")


def start_backbone(
    model: AffinityNet | IRNet | Segmenter,
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


def _load_start(
    model: AffinityNet | Classifier | IRNet | Segmenter, name: str, source: str, folder: NetworkFolder
) -> str:
    """Load initial weights and say where they came from; `auto` falls back to random ones and warns."""
    if folder.checkpoint.is_file():
        return str(load_info(folder.checkpoint).get(WEIGHTS_FROM))
    if source == "none":
        return "random"
    if source != "auto":
        load_backbone(model.backbone, source, name)
        return source
    try:
        load_backbone(model.backbone, "imagenet", name)
    except (ArtifactError, ConfigError, MissingExtra) as error:
        logger.warning(
            "starting from random weights, which costs much accuracy on few images: %s (set 'weights' to imagenet, "
            "none or a path to decide yourself)",
            error,
        )
        return "random"
    return "imagenet"


def make_augmentation(config: AugmentConfig) -> Augmentation:
    """Turn the section of a recipe into the transforms' own settings."""
    return Augmentation(
        long_side_px=config.long_side_px, crop_px=config.crop_px, flip=config.flip, colour=config.colour
    )


def make_plan(
    optim: OptimConfig,
    *,
    epochs: int,
    batch_size: int,
    workers: int,
    accumulate: int = 1,
    cache_mb: int = 0,
    validate: Literal["every", "last"] = "every",
) -> TrainingPlan:
    """Turn sections of a recipe into the training's own settings; processes of one machine share the cache's size."""
    return TrainingPlan(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optim.optimizer,
        schedule=optim.schedule,
        learning_rate=optim.learning_rate,
        head_multiplier=optim.head_multiplier,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        power=optim.power,
        warmup_share=optim.warmup_share,
        workers=workers,
        accumulate=accumulate,
        cache_bytes=cache_mb * BYTES_PER_MB // local_processes(),
        validates_last_only=validate == "last",
    )


def make_hooks(folder: NetworkFolder, tick: Tick, *, weights_from: str) -> TrainingHooks:
    """Go on from the folder's checkpoint, and write one after each epoch that knows where the weights came from."""

    def after_epoch(state: TrainState, record: EpochRecord) -> None:
        if rank() == 0:
            save_state(folder.checkpoint, replace(state, plain={**state.plain, WEIGHTS_FROM: weights_from}))
        numbers = "".join(f", {name} {value:.3f}" for name, value in record.metrics.items())
        logger.info("  epoch %d: loss %.4f%s", record.epoch, record.loss, numbers)

    return TrainingHooks(resume=load_state(folder.checkpoint), after_epoch=after_epoch, tick=tick)


def save_network(
    folder: NetworkFolder,
    model: AffinityNet | Classifier | IRNet | SegmentationNetwork,
    info: dict[str, JsonValue],
    history: tuple[EpochRecord, ...],
) -> None:
    """Write the final weights and the history, and delete the checkpoint; the weights come last but one."""
    if rank() == 0:
        write_json(folder.history, [record.to_json() for record in history])
        save_tensors(folder.model, {name: value.cpu() for name, value in model.state_dict().items()}, info)
        folder.checkpoint.unlink(missing_ok=True)


def load_history(folder: NetworkFolder) -> tuple[EpochRecord, ...]:
    """Read the record of every epoch of a finished training; there is none of a network that was released.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    path = folder.history
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        if not records and not (folder.model.is_file() and RELEASED in load_info(folder.model)):
            raise ValueError("no epoch")
        return tuple(EpochRecord.from_json(record) for record in records)
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage that trains this network") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error!r}); delete it and run the stage that trains this network again"
        ) from None


def describe_network(
    config: ClassifierConfig | IRNConfig | PSAConfig,
    classes: ClassSet,
    *,
    kind: str,
    weights_from: str,
    backbone: Backbone | None = None,
) -> dict[str, JsonValue]:
    """Return what a weights file must say of itself to be loaded without its recipe.

    Args:
        config: The network's section.
        classes: The classes.
        kind: What the file holds, see `load_network`.
        weights_from: Where its training began.
        backbone: Its backbone, unless the name alone rebuilds it.
    """
    method = {"method": config.method} if isinstance(config, ClassifierConfig) else {}
    return {
        **method,
        "kind": kind,
        "name": config.name,
        "classes": list(classes),
        **({} if backbone is None else backbone.architecture()),
        WEIGHTS_FROM: weights_from,
    }


def load_classifier(path: Path, device: torch.device) -> tuple[Classifier, ClassSet]:
    """Load a trained classifier for inference.

    Returns:
        The classifier in evaluation mode on `device`, without gradients to its trunk, and its classes.

    Raises:
        ArtifactError: If the file is missing, damaged or no classifier.
    """

    def build(name: str, classes: ClassSet, info: dict[str, JsonValue]) -> Classifier:
        if hf_name(name) is not None:
            backbone = rebuild_hf_backbone(info, fixed_norm=True, where=str(path))
            return Classifier(backbone, num_classes=len(classes), freeze_trunk=True)
        build = build_seam if info.get("method") == "seam" else build_classifier
        return build(name, num_classes=len(classes), freeze_trunk=True, fixed_norm=True)

    return load_network(path, "classifier", build, device)


def load_irnet(path: Path, device: torch.device) -> tuple[IRNet, ClassSet]:
    """Load a trained IRNet for inference; see `load_classifier`."""

    def build(name: str, classes: ClassSet, info: dict[str, JsonValue]) -> IRNet:
        if hf_name(name) is not None:
            return IRNet(rebuild_hf_backbone(info, fixed_norm=True, where=str(path)))
        return build_irnet(name)

    return load_network(path, "refiner", build, device)


def load_affinitynet(path: Path, device: torch.device) -> tuple[AffinityNet, ClassSet]:
    """Load a trained AffinityNet for inference; see `load_classifier`."""

    def build(name: str, classes: ClassSet, info: dict[str, JsonValue]) -> AffinityNet:
        return build_affinitynet(name, freeze_trunk=True, fixed_norm=True)

    return load_network(path, "refiner", build, device)


def load_network(
    path: Path,
    kind: str,
    build: Callable[[str, ClassSet, dict[str, JsonValue]], Network],
    device: torch.device,
) -> tuple[Network, ClassSet]:
    """Load a trained network for inference.

    Args:
        path: Its weights file.
        kind: What the file must say it holds: `classifier`, `refiner` or `segmenter`.
        build: Returns the network, of any weights, for its name, its classes and all that the file says of itself.
        device: Where to put it.

    Returns:
        The network in evaluation mode, and its classes.

    Raises:
        ArtifactError: If the file is missing, damaged or of another kind.
    """
    tensors, info = load_tensors(path)
    name, names = info.get("name"), info.get("classes")
    if info.get("kind") != kind or not isinstance(name, str) or not isinstance(names, list):
        found = info.get("kind") or "other weights"
        raise ArtifactError(f"{path}: expected a {kind} that weakseg trained, got {found}")
    classes = ClassSet(tuple(str(item) for item in names))
    network = build(name, classes, info)
    try:
        fit_state(network, tensors, where=str(path))
    except ArtifactError as error:
        raise ArtifactError(f"{error}{explain_version(info)}") from None
    network.eval()
    return place_network(network, device), classes
