"""The refinement methods by name: each turns the seeds of all images into masks, resumes, and shares out the images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.irn import makes_instances, refine_by_irn
from weakseg.pipeline.psa import refine_by_psa
from weakseg.pipeline.pseudo_masks import pseudo_mask_files, unfinished_file, write_pseudo_mask
from weakseg.pipeline.released import released_refiner
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.saliency import announce_saliency
from weakseg.pipeline.seeds import REFINER, SeededImage, process_seeds
from weakseg.pipeline.threshold import settle_threshold
from weakseg.refine.crf import crf_marginals
from weakseg.refine.masks import shows_class
from weakseg.refine.soft_labels import score_threshold, soften
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
    threshold = settle_threshold(context)
    samples = [sample for dataset in datasets for sample in dataset]
    pending = [sample for sample in samples[rank() :: world_size()] if not unfinished_file(context, sample.id).exists()]
    with show_progress("refining") as tick:
        for done, sample in enumerate(pending):
            maps = load_seed(context.folder.seed(sample.id))
            scores = score_threshold(maps.full().numpy(), background_threshold=threshold)
            write_pseudo_mask(context, sample, soften(scores, maps.keys), maps.size_hw)
            tick(done + 1, len(pending))


def _refine_by_crf(context: Context, datasets: Sequence[Dataset]) -> None:
    crf, threshold = context.config.refine.crf, settle_threshold(context)

    def refine(item: SeededImage) -> None:
        marginals = crf_marginals(
            item.image,
            item.seed.full().numpy(),
            item.seed.keys,
            background_threshold=threshold,
            certainty=crf.certainty,
            gaussian=crf.gaussian,
            bilateral=crf.bilateral,
            iterations=crf.iterations,
        )
        write_pseudo_mask(context, item.sample, soften(marginals, item.seed.keys), item.size_hw)

    process_seeds(context, datasets, partial(unfinished_file, context), refine, label="refining")


METHODS: dict[str, Callable[[Context, Sequence[Dataset]], None]] = {
    "none": _refine_by_threshold,
    "crf": _refine_by_crf,
    "irn": refine_by_irn,
    "psa": refine_by_psa,
}
"""Every refinement, by its name in the recipe."""
