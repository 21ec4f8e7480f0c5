"""The parts of the stage `refine`: labels, a network that learns from them, the threshold, and the masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from weakseg.config.schema import RefineConfig
from weakseg.data.base import Dataset
from weakseg.estimate.parts import ImageWork, Part, image_part, training_part
from weakseg.estimate.trial import (
    StandInMasks,
    Trial,
    count_tagged,
    put_affinitynet,
    put_classifier,
    put_irnet,
    write_seeds,
)
from weakseg.models.affinitynet import AffinityNet
from weakseg.models.irnet import IRNet
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.irn import fit_irnet, walk_seeds, write_confident_labels
from weakseg.pipeline.psa import fit_affinitynet, walk_along_affinities, write_affinity_labels
from weakseg.pipeline.refiners import METHODS
from weakseg.pipeline.runner import Context
from weakseg.pipeline.threshold import MAX_IMAGES, MAX_PIXELS, choose_on_tags
from weakseg.train.irn import estimate_mean_displacement
from weakseg.train.plan import TrainingHooks

WALKS: dict[str, Callable[[Context, Sequence[Dataset]], None]] = {
    **METHODS,
    "irn": walk_seeds,
    "psa": walk_along_affinities,
}
"""What makes the masks by each method once its network is there."""


def refine_parts(trial: Trial) -> list[Part]:
    """Name the parts of the stage `refine`."""
    config, tagged = trial.recipe.refine, count_tagged(trial.context)
    # A walk is one large matrix, whose time grows with the square of the pixels and more.
    shrinks = config.network is None
    parts = [] if config.network is None or config.network.released is not None else _network_parts(trial)
    if config.method != "psa" and config.background_threshold == "auto":
        judges = min(tagged, MAX_IMAGES, max(1, round(MAX_PIXELS / trial.mean_pixels())))
        parts.append(image_part("refine", "the threshold", _choose, images=judges, share=2.0, shrinks=shrinks))
    parts.append(
        image_part("refine", f"masks ({config.method})", _make_masks, images=tagged, share=2.0, shrinks=shrinks)
    )
    return parts


def _network_parts(trial: Trial) -> list[Part]:
    """Name the parts that give the refinement's network."""
    train, config = trial.context.train, trial.recipe.refine
    tagged = sum(bool(sample.keys) for sample in train)
    parts = [image_part("refine", "labels to learn from", _label, images=tagged, share=1.0)]
    network = config.irn if config.method == "irn" else config.psa
    name, build, fit = ("IRNet", _build_irnet, _fit_irnet) if config.method == "irn" else _AFFINITYNET
    parts.append(
        training_part(
            "refine",
            name,
            build,
            fit,
            images=len(train),
            epochs=network.epochs,
            batch=network.batch_size,
            share=2.0,
        )
    )
    if config.method == "irn":
        parts.append(image_part("refine", "mean displacement", _average, images=len(train), share=0.5))
    return parts


def _build_irnet(trial: Trial) -> nn.Module:
    return put_irnet(trial.context)


def _fit_irnet(context: Context, network: nn.Module, batch: int, hooks: TrainingHooks) -> None:
    assert isinstance(network, IRNet)
    refine = replace(context.config.refine, irn=replace(context.config.refine.irn, batch_size=batch))
    fit_irnet(_with_refine(context, refine), network, StandInMasks(), hooks)


def _build_affinitynet(trial: Trial) -> nn.Module:
    return put_affinitynet(trial.context)


def _fit_affinitynet(context: Context, network: nn.Module, batch: int, hooks: TrainingHooks) -> None:
    assert isinstance(network, AffinityNet)
    refine = replace(context.config.refine, psa=replace(context.config.refine.psa, batch_size=batch))
    fit_affinitynet(_with_refine(context, refine), network, StandInMasks(), hooks)


def _with_refine(context: Context, refine: RefineConfig) -> Context:
    return replace(context, config=replace(context.config, refine=refine))


_AFFINITYNET = ("AffinityNet", _build_affinitynet, _fit_affinitynet)


def _label(trial: Trial) -> ImageWork:
    write_seeds(trial, trial.pool)
    write = write_confident_labels if trial.recipe.refine.method == "irn" else write_affinity_labels

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        _remove(context.folder.labels)
        write(context)

    return work


def _average(trial: Trial) -> ImageWork:
    irnet, pad_px = put_irnet(trial.context), trial.recipe.refine.irn.pad_px

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        workers, max_side_px = context.config.runtime.workers, context.config.data.max_side_px
        estimate_mean_displacement(irnet, context.train, crop_size=pad_px, workers=workers, max_side_px=max_side_px)

    return work


def _choose(trial: Trial) -> ImageWork:
    _put_refiner(trial)
    write_seeds(trial, trial.pool)
    cutter = open_cutter(trial.context)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        choose_on_tags(trial.training(ids, side_px), cutter)

    return work


def _make_masks(trial: Trial) -> ImageWork:
    _put_refiner(trial)
    write_seeds(trial, trial.pool)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        _remove(context.folder.masks, context.folder.confidence_maps, context.folder.instances)
        WALKS[context.config.refine.method](context, [context.train])
        check_masks(context)

    return work


def _put_refiner(trial: Trial) -> None:
    """Write the network that the refinement needs, if it needs one."""
    method = trial.recipe.refine.method
    if method in ("irn", "psa"):
        put_classifier(trial.context)
    if method == "irn":
        put_irnet(trial.context)
    if method == "psa":
        put_affinitynet(trial.context)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
