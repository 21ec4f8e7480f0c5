"""The frame around every refiner: it turns the seeds of all images into masks, resumes, and shares out the images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weakseg.config.chosen import has_threshold
from weakseg.config.fits import list_fits
from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.reuse import reuse_masks, reuse_network
from weakseg.pipeline.fitting import settle_fits
from weakseg.pipeline.image_jobs import ImageJob, ImageWork, run_job
from weakseg.pipeline.images import Reading, first_missing, learning_images
from weakseg.pipeline.pseudo_masks import doubted_ids, pseudo_mask_files, write_pseudo_mask
from weakseg.pipeline.refiner_files import announce_refiner_files
from weakseg.pipeline.refiner_networks import (
    chosen_refiner,
    makes_instances,
    open_refiner,
    train_refiner,
    write_labels,
)
from weakseg.pipeline.released import obtain_refiner, released_refiner
from weakseg.pipeline.saliency import announce_saliency
from weakseg.pipeline.seeds import REFINER, pair_read
from weakseg.pipeline.threshold import settle_threshold
from weakseg.refine.instance_files import save_instances
from weakseg.refine.masks import shows_class
from weakseg.refine.method import Refiner
from weakseg.refine.stability import doubt_unstable, neighbouring_thresholds
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

logger = logging.getLogger("weakseg")


def refine_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Write the mask of every image that lacks one, by the recipe's method."""
    announce_saliency(context, datasets)
    announce_refiner_files(context, datasets)
    network = chosen_refiner(context).trains
    if network is not None:
        reuse_network(context)
        settle_fits(context)
        obtain_refiner(context, network.asked_by, write_labels=write_labels, train=train_refiner)
    make_masks(context, datasets)
    wait_for_all()
    if rank() == 0:
        _warn_of_empty_masks(context, datasets)


def _warn_of_empty_masks(context: Context, datasets: Sequence[Dataset]) -> None:
    """Say it if no mask shows any class, before a segmenter learns nothing from them; stops at the first that does."""
    tagged = [context.folder.mask(sample.id) for dataset in datasets for sample in dataset if sample.keys]
    if tagged and not any(_may_show_class(path) for path in tagged):
        refiner, weaker = chosen_refiner(context), "lower refine.background_threshold"
        if not refiner.has_threshold and refiner.background:
            weaker = f"raise refine.{refiner.name}.{refiner.background}"
        logger.warning(
            "refine: no class is in any mask of the %d tagged images; the seeds are empty, or lower than the "
            "background: train the classifier longer or from ImageNet weights, or %s",
            len(tagged),
            weaker,
        )


def _may_show_class(path: Path) -> bool:
    try:
        return shows_class(read_mask(path))
    except DataError:  # named by the stage that learns from it
        return True


def refined_files(context: Context, datasets: Sequence[Dataset]) -> list[Path]:
    """Name every file the recipe's method writes; the masks alone of a method whose package is gone."""
    ids = [sample.id for dataset in datasets for sample in dataset]
    config = context.config.refine
    files = [path for sample_id in ids for path in pseudo_mask_files(context, sample_id)]
    if config.network is not None:
        network = context.folder.network(REFINER)
        files += [network.model, network.history]
        if released_refiner(config) is None:
            files += [context.folder.label(sample.id) for sample in learning_images(context)]
    if has_threshold(config) and config.background_threshold == "auto":
        files.append(context.folder.threshold)
    if list_fits(config):
        files.append(context.folder.seed_threshold)
    if makes_instances(context.config):
        files += [context.folder.instance(sample_id) for sample_id in ids]
    return files


def make_masks(context: Context, datasets: Sequence[Dataset]) -> None:
    """Refine every image that lacks a mask -> `masks/`, `instances/`; the refiner's network is there."""
    files = {sample.id: _mask_files(context, sample.id) for dataset in datasets for sample in dataset}
    threshold = settle_threshold(context) if chosen_refiner(context).has_threshold else None
    reuse_masks(context, datasets, files, threshold=threshold)
    run_job(context, masks_job(context), datasets)


def masks_job(context: Context) -> ImageJob:
    """Return what makes masks by the recipe's method."""
    refiner = chosen_refiner(context)
    is_network = refiner.trains is not None  # which is one for all images
    return ImageJob(
        name="masks",
        stage="refine",
        label="refining",
        output=unmade_file,
        open=open_masks,
        reading=_reading(refiner),
        side_by_side=refiner.needs_images and not is_network,
        prepare=settle_masks,
    )


def _reading(refiner: Refiner[Any]) -> Reading:
    if not refiner.needs_images:
        return "nothing"  # refined at the size of the original
    return "copy" if refiner.trains is None else "whole"


def settle_masks(context: Context) -> None:
    """Choose the background threshold if the recipe leaves it to the run."""
    if chosen_refiner(context).has_threshold:
        settle_threshold(context)


def unmade_file(context: Context, sample_id: str) -> Path:
    """Name the first file of an image's refinement that is missing."""
    return first_missing(_mask_files(context, sample_id))


def _mask_files(context: Context, sample_id: str) -> list[Path]:
    # Instances are written before the mask; where they are gone, the mask is made again as well.
    instances = [context.folder.instance(sample_id)] if makes_instances(context.config) else []
    return [*instances, *pseudo_mask_files(context, sample_id)]


@contextmanager
def open_masks(context: Context) -> Iterator[ImageWork]:
    """Lend the recipe's refiner as what writes masks and instances."""
    refiner, wants_instances = chosen_refiner(context), makes_instances(context.config)
    thresholds: tuple[float, ...] = (settle_threshold(context),) if refiner.has_threshold else ()
    taught, within = doubted_ids(context), context.config.refine.stable_within
    refine, reading = open_refiner(context, wants_instances=wants_instances), _reading(refiner)

    def write(sample: Sample, image: ShrunkImage) -> None:
        item = pair_read(context, sample, image, reading)
        is_taught = bool(thresholds) and sample.id in taught
        neighbours = neighbouring_thresholds(thresholds[0], within) if is_taught else ()
        refined = refine(item, (*thresholds, *neighbours))
        if refined.instances is not None:
            save_instances(context.folder.instance(sample.id), refined.instances)
        write_pseudo_mask(context, sample, doubt_unstable(refined.mask, refined.others), item.size_hw)

    yield write
