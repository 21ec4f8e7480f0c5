"""Refinement by AffinityNet (PSA): labels that two CRFs agree on, a network that learns affinities, and the walk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from weakseg.data.base import Dataset, MaskReader
from weakseg.data.masks import PngMasks
from weakseg.models.affinitynet import AffinityNet
from weakseg.ops.images import normalise
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.networks import (
    describe_network,
    load_affinitynet,
    make_augmentation,
    make_hooks,
    plan_training,
    save_network,
)
from weakseg.pipeline.pseudo_masks import unfinished_file, write_pseudo_mask
from weakseg.pipeline.released import obtain_refiner
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import place_network, show_progress
from weakseg.pipeline.seeds import REFINER, SeededImage, iterate_seeds, process_seeds, resize_labels
from weakseg.pipeline.starting import start_affinitynet
from weakseg.refine.psa import psa_labels, psa_scores
from weakseg.refine.soft_labels import soften
from weakseg.train.affinity import train_affinity
from weakseg.train.loop import EpochRecord
from weakseg.train.plan import TrainingHooks


def refine_by_psa(context: Context, datasets: Sequence[Dataset]) -> None:
    """Find sure labels of the training images, train AffinityNet on them, and let all seeds walk along affinities.

    A released AffinityNet takes the place of labels and training.
    """
    obtain_refiner(context, "AffinityNet", write_labels=write_affinity_labels, train=train_affinitynet)
    walk_along_affinities(context, datasets)


def write_affinity_labels(context: Context) -> None:
    """Write the sure labels of the training images -> `labels/`."""
    psa = context.config.refine.psa

    def write_labels(item: SeededImage) -> None:
        labels = psa_labels(
            item.image,
            item.seed.full().numpy(),
            item.seed.keys,
            low_alpha=psa.low_alpha,
            high_alpha=psa.high_alpha,
            gaussian=psa.gaussian,
            bilateral=psa.bilateral,
            iterations=psa.crf_iterations,
        )
        save_mask(context.folder.label(item.sample.id), resize_labels(labels, item.size_hw))

    process_seeds(context, [context.train], context.folder.label, write_labels, label="finding sure labels")


def train_affinitynet(context: Context) -> None:
    """Train AffinityNet on the sure labels -> `refiner/`; a finished one is left as it is."""
    config, runtime = context.config.refine.psa, context.config.runtime
    folder = context.folder.network(REFINER)
    if folder.model.is_file() and folder.history.is_file():
        return
    classifier = context.folder.network("classifier")
    network, weights_from = start_affinitynet(config, folder, classifier=classifier, seed=runtime.seed)
    place_network(network, context.device)
    with show_progress("training the refiner") as tick:
        hooks = make_hooks(folder, tick, weights_from=weights_from)
        history = fit_affinitynet(context, network, PngMasks((context.folder.labels,)), hooks)
    info = describe_network(config, context.train.classes, kind=REFINER, weights_from=weights_from)
    save_network(folder, network, info, history)


def fit_affinitynet(
    context: Context, network: AffinityNet, labels: MaskReader, hooks: TrainingHooks
) -> tuple[EpochRecord, ...]:
    """Train an AffinityNet by the recipe's settings; the arguments are those of `weakseg.pipeline.irn.fit_irnet`."""
    config, runtime = context.config.refine.psa, context.config.runtime
    return train_affinity(
        network,
        context.train,
        labels,
        augmentation=make_augmentation(config.augment),
        plan=plan_training(config, runtime),
        seed=runtime.seed,
        radius=config.radius,
        hooks=hooks,
    )


def walk_along_affinities(context: Context, datasets: Sequence[Dataset]) -> None:
    """Let every seed walk along the affinities -> `masks/`."""
    config = context.config.refine.psa
    network, _ = load_affinitynet(context.folder.network(REFINER).model, context.device)
    for item in iterate_seeds(context, datasets, partial(unfinished_file, context), label="refining"):
        with torch.no_grad():
            features = network(normalise(item.image)[None].to(context.device))[0]
        scores = psa_scores(
            item.seed.full(),
            item.seed.keys,
            features,
            image=item.image if config.final_crf else None,
            alpha=config.walk_alpha,
            radius=config.radius,
            beta=config.walk_beta,
            doublings=config.walk_doublings,
            gaussian=config.gaussian,
            bilateral=config.bilateral,
            iterations=config.crf_iterations,
        )
        write_pseudo_mask(context, item.sample, soften(scores, item.seed.keys), item.size_hw)
