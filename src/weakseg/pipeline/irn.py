"""Refinement by IRN: confident labels of the training images, a network that learns edges from them, and the walk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset, MaskReader
from weakseg.data.masks import PngMasks
from weakseg.models.irnet import IRNet
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.images import first_missing
from weakseg.pipeline.networks import describe_network, make_augmentation, make_hooks, plan_training, save_network
from weakseg.pipeline.pseudo_masks import doubted_ids, pseudo_mask_files, write_pseudo_mask
from weakseg.pipeline.released import obtain_refiner
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import place_network, show_progress
from weakseg.pipeline.seeds import REFINER, SeededImage, iterate_seeds, process_seeds, resize_labels
from weakseg.pipeline.starting import start_irnet
from weakseg.pipeline.threshold import settle_threshold
from weakseg.pipeline.walking import open_walker
from weakseg.refine.confidence import confident_labels
from weakseg.refine.instance_files import save_instances
from weakseg.refine.soft_labels import score_threshold, soften
from weakseg.refine.stability import doubt_unstable, neighbouring_thresholds
from weakseg.refine.threshold.cuts import cut_maps
from weakseg.train.irn import train_irn
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import TrainingHooks


def makes_instances(config: RunConfig) -> bool:
    """Say whether the recipe's refinement also finds instances."""
    return config.refine.method == "irn" and config.refine.irn.instances


def refine_by_irn(context: Context, datasets: Sequence[Dataset]) -> None:
    """Make confident labels of the training images, train IRNet on them, and spread all seeds up to its edges.

    A released IRNet takes the place of labels and training.
    """
    obtain_refiner(context, "IRN", write_labels=write_confident_labels, train=train_refiner)
    walk_seeds(context, datasets)


def write_confident_labels(context: Context) -> None:
    """Write the confident labels of the training images -> `labels/`."""
    irn, crf = context.config.refine.irn, context.config.refine.crf

    def write_labels(item: SeededImage) -> None:
        labels = confident_labels(
            item.image,
            item.seed.full().numpy(),
            item.seed.keys,
            foreground=irn.foreground,
            background=irn.background,
            certainty=crf.certainty,
            gaussian=crf.gaussian,
            bilateral=crf.bilateral,
            iterations=crf.iterations,
        )
        save_mask(context.folder.label(item.sample.id), resize_labels(labels, item.size_hw))

    process_seeds(context, [context.train], context.folder.label, write_labels, label="finding confident labels")


def train_refiner(context: Context) -> None:
    """Train IRNet on the confident labels -> `refiner/`; a finished one is left as it is."""
    config, runtime = context.config.refine.irn, context.config.runtime
    folder = context.folder.network(REFINER)
    if folder.model.is_file() and folder.history.is_file():
        return
    classifier = context.folder.network("classifier")
    irnet, weights_from = start_irnet(config, folder, classifier=classifier, seed=runtime.seed)
    place_network(irnet, context.device)
    with show_progress("training the refiner") as tick:
        hooks = make_hooks(folder, tick, weights_from=weights_from)
        history = fit_irnet(context, irnet, PngMasks((context.folder.labels,)), hooks)
    info = describe_network(
        config, context.train.classes, kind=REFINER, weights_from=weights_from, backbone=irnet.backbone
    )
    save_network(folder, irnet, info, history)


def fit_irnet(context: Context, irnet: IRNet, labels: MaskReader, hooks: TrainingHooks) -> tuple[EpochRecord, ...]:
    """Train an IRNet by the recipe's settings.

    Args:
        context: The run.
        irnet: What `weakseg.pipeline.starting.start_irnet` has built, on its device.
        labels: Reads the confident labels.
        hooks: Where to report to and go on from.

    Returns:
        What each epoch brought.
    """
    config, runtime = context.config.refine.irn, context.config.runtime
    return train_irn(
        irnet,
        context.train,
        labels,
        augmentation=make_augmentation(config.augment),
        plan=plan_training(config, runtime),
        seed=runtime.seed,
        radius=config.radius,
        crop_size=config.pad_px,
        max_side_px=context.config.data.max_side_px,
        hooks=hooks,
    )


def walk_seeds(context: Context, datasets: Sequence[Dataset]) -> None:
    """Spread every seed up to the edges -> `masks/`, and `instances/` if the recipe wants them."""
    config, threshold = context.config.refine.irn, settle_threshold(context)
    neighbours, taught = neighbouring_thresholds(threshold, context.config.refine.stable_within), doubted_ids(context)
    walker = open_walker(context)

    def last_file(sample_id: str) -> Path:
        # Instances are written before the mask; where they are gone, the mask is made again as well.
        instances = [context.folder.instance(sample_id)] if config.instances else []
        return first_missing([*instances, *pseudo_mask_files(context, sample_id)])

    for item in iterate_seeds(context, datasets, last_file, label="refining"):
        edges = walker.find_edges(item)
        if config.instances:
            found = walker.find_instances(item, edges)
            save_instances(context.folder.instance(item.sample.id), found.resized(item.size_hw))
        walked = walker.walk(item, edges, size_hw=item.size_hw)
        spread, keys = walked.cpu().numpy(), item.seed.keys
        mask = soften(score_threshold(spread, background_threshold=threshold), keys)
        if item.sample.id in taught:
            mask = doubt_unstable(mask, cut_maps(spread, keys, neighbours))
        write_pseudo_mask(context, item.sample, mask, item.size_hw)
