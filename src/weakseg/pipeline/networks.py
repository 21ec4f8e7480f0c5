"""Training the networks of a run with checkpoints, saving and loading them.

What they start from is in `weakseg.pipeline.starting`, what is special to segmenters in `weakseg.pipeline.segmenters`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from weakseg.config.network_names import hf_name
from weakseg.config.schema import (
    ClassifierConfig,
    OptimConfig,
    RuntimeConfig,
    SegmenterConfig,
)
from weakseg.config.sections.training import TrainingSettings
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.models.affinitynet import AffinityNet
from weakseg.models.backbone import Backbone
from weakseg.models.checkpoints import fit_state
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.hf_backbone_build import rebuild_hf_backbone
from weakseg.models.hf_config import explain_version
from weakseg.models.irnet import IRNet
from weakseg.models.seam import build_seam
from weakseg.pipeline.artifacts import NetworkFolder, load_info, load_state, load_tensors, save_state, save_tensors
from weakseg.pipeline.runtime import local_processes, place_network
from weakseg.pipeline.tracking import track_numbers
from weakseg.refine.irn import IRN
from weakseg.refine.method import Refiner
from weakseg.refine.psa import PSA
from weakseg.train.distributed import rank
from weakseg.train.loop import EpochRecord, Tick, TrainState
from weakseg.train.plan import TrainingHooks, TrainingPlan
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")

Network = TypeVar("Network", bound=nn.Module)

WEIGHTS_FROM = "weights_from"
"""Entry of a network file's information: where the weights came from that its training began with."""

BYTES_PER_MB = 2**20

RELEASED = "released"
"""Entry of the same: what a network was made of that no run has trained; see `weakseg.pipeline.released`."""


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
        max_gradient_norm=optim.max_gradient_norm,
        workers=workers,
        accumulate=accumulate,
        cache_bytes=cache_mb * BYTES_PER_MB // local_processes(),
        validates_last_only=validate == "last",
    )


def plan_training(
    config: ClassifierConfig | SegmenterConfig | TrainingSettings,
    runtime: RuntimeConfig,
    *,
    accumulate: int = 1,
    validate: Literal["every", "last"] = "every",
) -> TrainingPlan:
    """Turn a network's section of a recipe, and what the run says of the machine, into its training's settings."""
    return make_plan(
        config.optim,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workers=runtime.workers,
        accumulate=accumulate,
        cache_mb=runtime.cache_mb,
        validate=validate,
    )


def make_hooks(
    folder: NetworkFolder, tick: Tick, *, weights_from: str, save_every_s: float | None = None
) -> TrainingHooks:
    """Go on from the folder's checkpoint, and write others that know where the weights came from.

    Args:
        folder: Where the network is trained.
        tick: Progress.
        weights_from: Where the weights of the training came from.
        save_every_s: How often a checkpoint is written within an epoch, see `weakseg.train.loop.fit`; after each epoch
            one is written in any case.
    """

    def save(state: TrainState) -> None:
        if rank() == 0:
            save_state(folder.checkpoint, replace(state, plain={**state.plain, WEIGHTS_FROM: weights_from}))

    def after_epoch(state: TrainState, record: EpochRecord) -> None:
        save(state)
        numbers = "".join(f", {name} {value:.3f}" for name, value in record.metrics.items())
        told = {"loss": record.loss, "learning_rate": record.learning_rate, **record.metrics}
        track_numbers(folder.root.name, told, step=record.epoch)
        logger.info("  epoch %d: loss %.4f%s", record.epoch, record.loss, numbers)

    return TrainingHooks(
        resume=load_state(folder.checkpoint),
        after_epoch=after_epoch,
        within_epoch=save,
        save_every_s=save_every_s,
        tick=tick,
    )


def save_network(
    folder: NetworkFolder,
    model: nn.Module,
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
        records = decode_json(path.read_text(encoding="utf-8"))
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
    config: ClassifierConfig | TrainingSettings,
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


def load_refiner(refiner: Refiner[Any], path: Path, device: torch.device) -> tuple[nn.Module, ClassSet]:
    """Load the trained network of a refiner for inference; see `load_classifier`."""
    network = refiner.trains
    assert network is not None, f"{refiner.name} trains no network"

    def build(name: str, classes: ClassSet, info: dict[str, JsonValue]) -> nn.Module:
        is_hf = hf_name(name) is not None
        backbone = rebuild_hf_backbone(info, fixed_norm=True, where=str(path)) if is_hf else None
        return network.build(name, settings=None, backbone=backbone, generator=None)

    return load_network(path, "refiner", build, device)


def load_irnet(path: Path, device: torch.device) -> tuple[IRNet, ClassSet]:
    """Load a trained IRNet for inference; see `load_classifier`."""
    network, classes = load_refiner(IRN, path, device)
    assert isinstance(network, IRNet)
    return network, classes


def load_affinitynet(path: Path, device: torch.device) -> tuple[AffinityNet, ClassSet]:
    """Load a trained AffinityNet for inference; see `load_classifier`."""
    network, classes = load_refiner(PSA, path, device)
    assert isinstance(network, AffinityNet)
    return network, classes


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
