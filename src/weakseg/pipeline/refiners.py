"""The refinement methods by name: each turns the seeds of all images into masks, resumes, and shares out the images.

Images larger than `data.max_side_px` are refined as small copies; labels and masks have the size of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.base import Dataset
from weakseg.data.masks import PngMasks
from weakseg.errors import ConfigError
from weakseg.ops.images import limit_side, normalise
from weakseg.pipeline.artifacts import load_seed, save_mask
from weakseg.pipeline.images import iterate_pending
from weakseg.pipeline.networks import (
    describe_network,
    load_irnet,
    make_augmentation,
    make_hooks,
    make_plan,
    save_network,
    start_irnet,
)
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.refine.confidence import confident_labels
from weakseg.refine.crf import crf_mask
from weakseg.refine.instance_files import save_instances
from weakseg.refine.instances import find_instances
from weakseg.refine.irn import irn_mask
from weakseg.refine.masks import seed_to_mask
from weakseg.train.distributed import rank, wait_for_all, world_size
from weakseg.train.irn import train_irn
from weakseg.types import Sample, ScoreMaps

REFINER = "refiner"
"""Folder of the network that a method trains."""


def refine_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Write the mask of every image that lacks one, by the recipe's method."""
    METHODS[context.config.refine.method](context, datasets)


def refined_files(context: Context, datasets: Sequence[Dataset]) -> list[Path]:
    """Name every file the recipe's method writes."""
    ids = [sample.id for dataset in datasets for sample in dataset]
    files = [context.folder.mask(sample_id) for sample_id in ids]
    if context.config.refine.method == "irn":
        network = context.folder.network(REFINER)
        files += [network.model, network.history, *(context.folder.label(sample.id) for sample in context.train)]
        if context.config.refine.irn.instances:
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
    for sample, seen, seed, size_hw in _iterate_seeds(context, datasets, context.folder.mask, label="refining"):
        labels = crf_mask(
            seen,
            seed.full().numpy(),
            seed.keys,
            background_threshold=context.config.refine.background_threshold,
            certainty=crf.certainty,
            gaussian=crf.gaussian,
            bilateral=crf.bilateral,
            iterations=crf.iterations,
        )
        save_mask(context.folder.mask(sample.id), _resize_labels(labels, size_hw))


def _refine_by_irn(context: Context, datasets: Sequence[Dataset]) -> None:
    """Make confident labels of the training images, train IRNet on them, and spread all seeds up to its edges."""
    if "train" not in context.config.localize.splits:
        raise ConfigError("localize.splits: IRN learns from the seeds of 'train'; add it and run 'localize'")
    write_confident_labels(context)
    wait_for_all()
    train_refiner(context)
    wait_for_all()
    walk_seeds(context, datasets)


def write_confident_labels(context: Context) -> None:
    """Write the confident labels of the training images -> `labels/`."""
    irn, crf = context.config.refine.irn, context.config.refine.crf
    pending = _iterate_seeds(context, [context.train], context.folder.label, label="finding confident labels")
    for sample, seen, seed, size_hw in pending:
        labels = confident_labels(
            seen,
            seed.full().numpy(),
            seed.keys,
            foreground=irn.foreground,
            background=irn.background,
            certainty=crf.certainty,
            gaussian=crf.gaussian,
            bilateral=crf.bilateral,
            iterations=crf.iterations,
        )
        save_mask(context.folder.label(sample.id), _resize_labels(labels, size_hw))


def train_refiner(context: Context) -> None:
    """Train IRNet on the confident labels -> `refiner/`; a finished one is left as it is."""
    config, runtime = context.config.refine.irn, context.config.runtime
    folder = context.folder.network(REFINER)
    if folder.model.is_file():
        return
    classifier = context.folder.network("classifier")
    irnet, weights_from = start_irnet(config, folder, classifier=classifier, seed=runtime.seed)
    irnet.to(context.device)
    with show_progress("training the refiner") as tick:
        history = train_irn(
            irnet,
            context.train,
            PngMasks((context.folder.labels,)),
            augmentation=make_augmentation(config.augment),
            plan=make_plan(config.optim, epochs=config.epochs, batch_size=config.batch_size, workers=runtime.workers),
            seed=runtime.seed,
            radius=config.radius,
            crop_size=config.pad_px,
            max_side_px=context.config.data.max_side_px,
            hooks=make_hooks(folder, tick, weights_from=weights_from),
        )
    info = describe_network(config, context.train.classes, kind=REFINER, weights_from=weights_from)
    save_network(folder, irnet, info, history)


def walk_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Spread every seed up to the edges -> `masks/`, and `instances/` if the recipe wants them."""
    config, threshold = context.config.refine.irn, context.config.refine.background_threshold
    irnet, _ = load_irnet(context.folder.network(REFINER).model, context.device)

    def last_file(sample_id: str) -> Path:
        # Instances are written before the mask; where they are gone, the mask is made again as well.
        instances = context.folder.instance(sample_id)
        missing = config.instances and not instances.exists()
        return instances if missing else context.folder.mask(sample_id)

    for sample, seen, seed, size_hw in _iterate_seeds(context, datasets, last_file, label="refining"):
        edge, displacement = irnet.infer(normalise(seen), crop_size=config.pad_px)
        maps = seed.strided(irnet.stride).to(edge.device)
        if config.instances:
            found = find_instances(
                maps,
                seed.keys,
                edge,
                displacement,
                size_hw=seed.size_hw,
                stride_px=irnet.stride,
                power=config.seed_power,
                background_threshold=config.instance_threshold,
                radius=config.walk_radius,
                beta=config.walk_beta,
                doublings=config.walk_doublings,
            )
            save_instances(context.folder.instance(sample.id), found.resized(size_hw))
        mask = irn_mask(
            maps,
            seed.keys,
            edge,
            image_size_hw=size_hw,
            background=threshold,
            radius=config.walk_radius,
            beta=config.walk_beta,
            doublings=config.walk_doublings,
            seed_power=config.seed_power,
        )
        save_mask(context.folder.mask(sample.id), mask)


def _iterate_seeds(
    context: Context, datasets: Sequence[Dataset], output: Callable[[str], Path], *, label: str
) -> Iterator[tuple[Sample, NDArray[np.uint8], ScoreMaps, tuple[int, int]]]:
    """Yield the pending images with their seeds: sample, image as networks see it, seed of that size, original size."""
    for sample, image in iterate_pending(context, datasets, output, label=label):
        seen = limit_side(image, context.config.data.max_side_px)
        seed = load_seed(context.folder.seed(sample.id))
        size_hw = (image.shape[0], image.shape[1])
        yield sample, seen, replace(seed, size_hw=(seen.shape[0], seen.shape[1])), size_hw


def _resize_labels(labels: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring labels to the size of the original image, by the nearest pixel."""
    return np.asarray(Image.fromarray(labels).resize(size_hw[::-1], Image.Resampling.NEAREST))


METHODS: dict[str, Callable[[Context, Sequence[Dataset]], None]] = {
    "none": _refine_by_threshold,
    "crf": _refine_by_crf,
    "irn": _refine_by_irn,
}
"""Every refinement, by its name in the recipe."""
