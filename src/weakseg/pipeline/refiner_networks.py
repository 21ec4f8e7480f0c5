"""The networks that refiners train: labels made of seeds, the training, and the network put to work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from weakseg.config.chosen import refiner_facts
from weakseg.config.schema import RunConfig
from weakseg.config.sections.training import TrainingSettings
from weakseg.data.base import MaskReader
from weakseg.data.images import ShrunkImage
from weakseg.data.masks import PngMasks
from weakseg.files import JsonValue
from weakseg.models.backbone import Backbone
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.fits import fitted_section
from weakseg.pipeline.image_jobs import ImageJob, ImageWork, run_job
from weakseg.pipeline.images import learning_images
from weakseg.pipeline.networks import describe_network, load_refiner, make_hooks, plan_training, save_network
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.seeds import REFINER, pair_copy, resize_labels
from weakseg.pipeline.starting import start_refiner
from weakseg.pipeline.telling import show_progress
from weakseg.refine.method import (
    ImageRefiner,
    RefineContext,
    Refiner,
    RefinerNetwork,
    find_refiner,
)
from weakseg.train.lesson import Lesson
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import TrainingHooks, make_augmentation
from weakseg.types import Sample


def makes_instances(config: RunConfig) -> bool:
    """Say whether the recipe's refinement also finds instances."""
    facts = refiner_facts(config.refine)
    if facts is None or not facts.instances:
        return False
    return bool(getattr(facts.settings_in(config.refine), facts.instances))


def chosen_refiner(context: Context) -> Refiner[Any]:
    """Import the recipe's refiner.

    Raises:
        ConfigError: If its package is gone or cannot be imported.
    """
    return find_refiner(context.config.refine.method)


def name_learning_images(context: Context) -> dict[str, JsonValue]:
    """Digest, for the fingerprint, which images a refiner's network learns from, where it is not all of `train`."""
    if context.only is None or context.config.refine.network is None:
        return {}
    names = json.dumps([sample.id for sample in learning_images(context)])
    digest = hashlib.blake2b(names.encode(), digest_size=DIGEST_BYTES).hexdigest()
    return {"images that the refiner learns from": digest}


def chosen_network(context: Context) -> tuple[RefinerNetwork, TrainingSettings]:
    """Return the network of a refiner that trains one, and its settings."""
    network, settings = chosen_refiner(context).trains, context.config.refine.network
    assert network is not None, "asked of refiners that train a network alone"
    assert settings is not None, "as before"
    return network, settings


def write_labels(context: Context) -> None:
    """Write the labels of the training images that the network learns from -> `labels/`."""
    run_job(context, LABELS, [learning_images(context)])


def label_file(context: Context, sample_id: str) -> Path:
    """Name the labels of an image."""
    return context.folder.label(sample_id)


@contextmanager
def open_labels(context: Context) -> Iterator[ImageWork]:
    """Lend what writes the labels of an image."""
    network, _ = chosen_network(context)
    section = fitted_section(context)

    def write(sample: Sample, image: ShrunkImage) -> None:
        item = pair_copy(context, sample, image)
        labels = network.label(section, item)
        save_mask(context.folder.label(sample.id), resize_labels(labels, item.size_hw))

    yield write


LABELS = ImageJob(
    name="labels",
    stage="refine",
    label="finding labels to learn from",
    output=label_file,
    open=open_labels,
    side_by_side=True,
)
"""What makes the labels that a refiner's network learns from -> `labels/`."""


def train_refiner(context: Context) -> None:
    """Train the network on these labels -> `refiner/`; a finished one is left as it is."""
    folder, (_, config) = context.folder.network(REFINER), chosen_network(context)
    if folder.model.is_file() and folder.history.is_file():
        return
    classifier = context.folder.network("classifier")
    network, weights_from = start_refiner(
        chosen_refiner(context), config, folder, classifier=classifier, seed=context.config.runtime.seed
    )
    place_network(network, context.device)
    with show_progress("training the refiner") as tick:
        save_every_s = context.config.runtime.save_every_s
        hooks = make_hooks(folder, tick, weights_from=weights_from, save_every_s=save_every_s)
        history = fit_refiner(context, network, PngMasks((context.folder.labels,)), hooks)
    backbone = network.backbone if isinstance(network.backbone, Backbone) else None
    info = describe_network(config, context.train.classes, kind=REFINER, weights_from=weights_from, backbone=backbone)
    save_network(folder, network, info, history)


def fit_refiner(
    context: Context, network: nn.Module, labels: MaskReader, hooks: TrainingHooks, *, batch_size: int | None = None
) -> tuple[EpochRecord, ...]:
    """Train a refiner's network by the recipe's settings.

    Args:
        context: The run.
        network: What `weakseg.pipeline.starting.start_refiner` has built, on its device.
        labels: Reads the labels.
        hooks: Where to report to and go on from.
        batch_size: Images per step, if not the recipe's.

    Returns:
        What each epoch brought.
    """
    (trained, config), runtime = chosen_network(context), context.config.runtime
    plan = plan_training(config, runtime)
    lesson = Lesson(
        train=learning_images(context),
        labels=labels,
        augmentation=make_augmentation(config.augment),
        plan=plan if batch_size is None else replace(plan, batch_size=batch_size),
        seed=runtime.seed,
        max_side_px=context.config.data.max_side_px,
        hooks=hooks,
    )
    return trained.fit(context.config.refine, network, lesson)


def open_refiner(context: Context, *, wants_instances: bool = False) -> ImageRefiner:
    """Open the recipe's refiner, with its trained network if it has one.

    Raises:
        ConfigError: If its package is gone.
        ArtifactError: If its network is missing, damaged or another one.
    """
    refiner, network = chosen_refiner(context), None
    if refiner.trains is not None:
        network, _ = load_refiner(refiner, context.folder.network(REFINER).model, context.device)
    return refiner.open(RefineContext(fitted_section(context), context.device, network, wants_instances))
