"""The parts of the stage `refine`: labels, a network that learns from them, the threshold, and the masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from weakseg.config.bounds import AUTO
from weakseg.config.chosen import has_threshold
from weakseg.config.fits import list_fits
from weakseg.estimate.parts import ImageWork, Part, image_part, training_part
from weakseg.estimate.trial import (
    StandInMasks,
    Trial,
    count_tagged,
    put_classifier,
    put_refiner,
    write_seeds,
)
from weakseg.models.irnet import IRNet
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.fitting import CUT_BY
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.images import learning_images
from weakseg.pipeline.judging import MAX_IMAGES, MAX_PIXELS, judge_side_by_side
from weakseg.pipeline.refiner_networks import chosen_network, fit_refiner, write_labels
from weakseg.pipeline.refiners import make_masks
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.refine.threshold.choice import FIRST_JUDGES
from weakseg.train.irn import estimate_mean_displacement
from weakseg.train.plan import TrainingHooks

USUAL_CANDIDATES = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Stand for those that usually stay in the race for the threshold: about so many."""

FIRST_FACTOR = 3
"""The first images are refined at about so many times as many candidates."""


def refine_parts(trial: Trial) -> list[Part]:
    """Name the parts of the stage `refine`."""
    config, tagged = trial.recipe.refine, count_tagged(trial.context)
    # A walk is one large matrix, whose time grows with the square of the pixels and more.
    shrinks = config.network is None
    parts = [] if config.network is None or config.network.released is not None else _network_parts(trial)
    # Tried first, since it sets up what the threshold needs as well.
    parts.append(
        image_part("refine", f"masks ({config.method})", _make_masks, images=tagged, share=2.0, shrinks=shrinks)
    )
    if has_threshold(config) and config.background_threshold == AUTO:
        parts.append(_threshold_part(trial, "the threshold", _choose, tagged=tagged, shrinks=shrinks))
    if list_fits(config):
        learning = sum(bool(sample.keys) for sample in learning_images(trial.context))
        parts.append(_threshold_part(trial, "where seeds are cut", _choose_by_crf, tagged=learning, shrinks=True))
    return parts


def _threshold_part(
    trial: Trial, label: str, start: Callable[[Trial], ImageWork], *, tagged: int, shrinks: bool
) -> Part:
    """Name a choice of a threshold among many, on some of the tagged images."""
    judges = min(tagged, MAX_IMAGES, max(1, round(MAX_PIXELS / trial.mean_pixels())))
    tried = min(judges, FIRST_JUDGES) * FIRST_FACTOR + max(0, judges - FIRST_JUDGES)
    return image_part("refine", label, start, images=tried, told=judges, share=1.5, shrinks=shrinks)


def _network_parts(trial: Trial) -> list[Part]:
    """Name the parts that give the refinement's network."""
    train, config = learning_images(trial.context), trial.recipe.refine
    tagged = sum(bool(sample.keys) for sample in train)
    parts = [image_part("refine", "labels to learn from", _label, images=tagged, share=1.0)]
    network, settings = chosen_network(trial.context)
    parts.append(
        training_part(
            "refine",
            network.network,
            _build_network,
            _fit_network,
            images=len(train),
            epochs=settings.epochs,
            batch=settings.batch_size,
            share=2.0,
        )
    )
    if config.method == "irn":
        parts.append(image_part("refine", "mean displacement", _average, images=len(train), share=0.5))
    return parts


def _build_network(trial: Trial) -> nn.Module:
    return put_refiner(trial.context)


def _fit_network(context: Context, network: nn.Module, batch: int, hooks: TrainingHooks) -> None:
    fit_refiner(context, network, StandInMasks(), hooks, batch_size=batch)


def _label(trial: Trial) -> ImageWork:
    write_seeds(trial, trial.pool)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        _remove(context.folder.labels)
        write_labels(context)

    return work


def _average(trial: Trial) -> ImageWork:
    irnet, pad_px = put_refiner(trial.context), trial.recipe.refine.irn.pad_px
    assert isinstance(irnet, IRNet)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        workers, max_side_px = context.config.runtime.workers, context.config.data.max_side_px
        estimate_mean_displacement(irnet, context.train, crop_size=pad_px, workers=workers, max_side_px=max_side_px)

    return work


def _choose(trial: Trial) -> ImageWork:
    _put_refiner(trial)
    return _judge_by(trial, trial.context)


def _choose_by_crf(trial: Trial) -> ImageWork:
    config = trial.context.config
    by_crf = replace(config, refine=replace(config.refine, method=CUT_BY))
    return _judge_by(trial, replace(trial.context, config=by_crf))


def _judge_by(trial: Trial, cutting: Context) -> ImageWork:
    write_seeds(trial, trial.pool)
    cutter = open_cutter(cutting)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        items = (pair_with_seed(context, sample, context.train.load_image(sample)) for sample in context.train)
        for _ in judge_side_by_side(items, cutter, USUAL_CANDIDATES):
            pass

    return work


def _make_masks(trial: Trial) -> ImageWork:
    _put_refiner(trial)
    write_seeds(trial, trial.pool)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        _remove(context.folder.masks, context.folder.confidence_maps, context.folder.instances)
        make_masks(context, [context.train])
        check_masks(context)

    return work


def _put_refiner(trial: Trial) -> None:
    """Write the network that the refinement needs, if it needs one."""
    if trial.recipe.refine.network is not None:
        put_classifier(trial.context)
        put_refiner(trial.context)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
