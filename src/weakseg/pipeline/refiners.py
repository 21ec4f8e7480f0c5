"""The refinement methods by name: each turns the seeds of all images into masks, resumes, and shares out the images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.ops.crf import DenseCRF
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.irn import makes_instances, refine_by_irn
from weakseg.pipeline.psa import refine_by_psa
from weakseg.pipeline.pseudo_masks import doubted_ids, pseudo_mask_files, unfinished_file, write_pseudo_mask
from weakseg.pipeline.released import released_refiner
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.saliency import announce_saliency
from weakseg.pipeline.seeds import REFINER, SeededImage, process_seeds
from weakseg.pipeline.threshold import settle_threshold
from weakseg.refine.crf import mask_marginals, refine_mask
from weakseg.refine.masks import shows_class
from weakseg.refine.soft_labels import score_threshold, soften
from weakseg.refine.stability import doubt_unstable, neighbouring_thresholds
from weakseg.refine.threshold.cuts import cut_maps
from weakseg.train.distributed import rank, wait_for_all, world_size

logger = logging.getLogger("weakseg")


def refine_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Write the mask of every image that lacks one, by the recipe's method."""
    announce_saliency(context, datasets)
    METHODS[context.config.refine.method](context, datasets)
    wait_for_all()
    if rank() == 0:
        _warn_of_empty_masks(context, datasets)


def _warn_of_empty_masks(context: Context, datasets: Sequence[Dataset]) -> None:
    """Say it if no mask shows any class, before a segmenter learns nothing from them; stops at the first that does."""
    tagged = [context.folder.mask(sample.id) for dataset in datasets for sample in dataset if sample.keys]
    if tagged and not any(_may_show_class(path) for path in tagged):
        logger.warning(
            "refine: no class is in any mask of the %d tagged images; the seeds are empty, or lower than the "
            "background: train the classifier longer or from ImageNet weights, or lower refine.background_threshold "
            "(with psa, raise refine.psa.walk_alpha)",
            len(tagged),
        )


def _may_show_class(path: Path) -> bool:
    try:
        return shows_class(read_mask(path))
    except DataError:  # named by the stage that learns from it
        return True


def refined_files(context: Context, datasets: Sequence[Dataset]) -> list[Path]:
    """Name every file the recipe's method writes."""
    ids = [sample.id for dataset in datasets for sample in dataset]
    files = [path for sample_id in ids for path in pseudo_mask_files(context, sample_id)]
    if context.config.refine.method in ("irn", "psa"):
        network = context.folder.network(REFINER)
        files += [network.model, network.history]
        if released_refiner(context.config.refine) is None:
            files += [context.folder.label(sample.id) for sample in context.train]
    if context.config.refine.method != "psa" and context.config.refine.background_threshold == "auto":
        files.append(context.folder.threshold)
    if makes_instances(context.config):
        files += [context.folder.instance(sample_id) for sample_id in ids]
    return files


def _refine_by_threshold(context: Context, datasets: Sequence[Dataset]) -> None:
    threshold, within, taught = settle_threshold(context), context.config.refine.stable_within, doubted_ids(context)
    samples = [sample for dataset in datasets for sample in dataset]
    pending = [sample for sample in samples[rank() :: world_size()] if not unfinished_file(context, sample.id).exists()]
    with show_progress("refining") as tick:
        for done, sample in enumerate(pending):
            maps = load_seed(context.folder.seed(sample.id))
            full = maps.full().numpy()
            mask = soften(score_threshold(full, background_threshold=threshold), maps.keys)
            if sample.id in taught:
                mask = doubt_unstable(mask, cut_maps(full, maps.keys, neighbouring_thresholds(threshold, within)))
            write_pseudo_mask(context, sample, mask, maps.size_hw)
            tick(done + 1, len(pending))


def _refine_by_crf(context: Context, datasets: Sequence[Dataset]) -> None:
    config, threshold = context.config.refine.crf, settle_threshold(context)
    taught = doubted_ids(context)
    neighbours = neighbouring_thresholds(threshold, context.config.refine.stable_within)

    def refine(item: SeededImage) -> None:
        maps, keys = item.seed.full().numpy(), item.seed.keys
        if not keys:
            marginals = np.ones((1, *maps.shape[1:]), np.float32)
            write_pseudo_mask(context, item.sample, soften(marginals, keys), item.size_hw)
            return
        crf = DenseCRF(item.image, gaussian=config.gaussian, bilateral=config.bilateral)
        cut, *others = cut_maps(maps, keys, (threshold, *(neighbours if item.sample.id in taught else ())))
        marginals = mask_marginals(crf, cut, keys, certainty=config.certainty, iterations=config.iterations)
        refined = [
            refine_mask(crf, other, keys, certainty=config.certainty, iterations=config.iterations) for other in others
        ]
        write_pseudo_mask(context, item.sample, doubt_unstable(soften(marginals, keys), refined), item.size_hw)

    process_seeds(context, datasets, partial(unfinished_file, context), refine, label="refining")


METHODS: dict[str, Callable[[Context, Sequence[Dataset]], None]] = {
    "none": _refine_by_threshold,
    "crf": _refine_by_crf,
    "irn": refine_by_irn,
    "psa": refine_by_psa,
}
"""Every refinement, by its name in the recipe."""
