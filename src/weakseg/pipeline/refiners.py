"""The refinement methods by name: each turns the seeds of all images into masks, resumes, and shares out the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from weakseg.config.schema import RefineConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import load_seed, save_mask
from weakseg.pipeline.irn import makes_instances, refine_by_irn
from weakseg.pipeline.psa import refine_by_psa
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.seeds import REFINER, iterate_seeds, resize_labels
from weakseg.refine.crf import crf_mask
from weakseg.refine.masks import seed_to_mask
from weakseg.train.distributed import rank, world_size


def refine_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Write the mask of every image that lacks one, by the recipe's method."""
    METHODS[context.config.refine.method](context, datasets)


def mask_threshold(config: RefineConfig) -> float | None:
    """Return the background threshold of the masks; None for a method that has none."""
    return None if config.method == "psa" else config.background_threshold


def refined_files(context: Context, datasets: Sequence[Dataset]) -> list[Path]:
    """Name every file the recipe's method writes."""
    ids = [sample.id for dataset in datasets for sample in dataset]
    files = [context.folder.mask(sample_id) for sample_id in ids]
    if context.config.refine.method in ("irn", "psa"):
        network = context.folder.network(REFINER)
        files += [network.model, network.history, *(context.folder.label(sample.id) for sample in context.train)]
    if makes_instances(context.config):
        files += [context.folder.instance(sample_id) for sample_id in ids]
    return files


def _refine_by_threshold(context: Context, datasets: Sequence[Dataset]) -> None:
    samples = [sample for dataset in datasets for sample in dataset]
    pending = [sample for sample in samples[rank() :: world_size()] if not context.folder.mask(sample.id).exists()]
    with show_progress("refining") as tick:
        for done, sample in enumerate(pending):
            maps = load_seed(context.folder.seed(sample.id))
            threshold = context.config.refine.background_threshold
            labels = seed_to_mask(maps.full().numpy(), maps.keys, background_threshold=threshold)
            save_mask(context.folder.mask(sample.id), labels)
            tick(done + 1, len(pending))


def _refine_by_crf(context: Context, datasets: Sequence[Dataset]) -> None:
    crf = context.config.refine.crf
    for item in iterate_seeds(context, datasets, context.folder.mask, label="refining"):
        labels = crf_mask(
            item.image,
            item.seed.full().numpy(),
            item.seed.keys,
            background_threshold=context.config.refine.background_threshold,
            certainty=crf.certainty,
            gaussian=crf.gaussian,
            bilateral=crf.bilateral,
            iterations=crf.iterations,
        )
        save_mask(context.folder.mask(item.sample.id), resize_labels(labels, item.size_hw))


METHODS: dict[str, Callable[[Context, Sequence[Dataset]], None]] = {
    "none": _refine_by_threshold,
    "crf": _refine_by_crf,
    "irn": refine_by_irn,
    "psa": refine_by_psa,
}
"""Every refinement, by its name in the recipe."""
