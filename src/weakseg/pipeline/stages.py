"""The stages from tags to a segmentation network: each unpacks its section of the recipe and calls the layers below.

Work on single images is told as jobs (`weakseg.pipeline.image_jobs`), which are shared out and resumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.localize.method import find_localizer
from weakseg.pipeline.classifiers import fit_classifier, open_pasting, warn_of_guessing
from weakseg.pipeline.comparison import choose_compared, comparison_files
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import CORRECTED_TAGS
from weakseg.pipeline.corrections.weight import settle_weight, tell_weight
from weakseg.pipeline.edited_masks import remember_masks
from weakseg.pipeline.health import check_masks, tell_health
from weakseg.pipeline.image_jobs import run_job
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.localizers import count_stops, describe_stops, localizer_files, why_no_classifier
from weakseg.pipeline.localizing import COMPARISON, seeds_job
from weakseg.pipeline.networks import (
    describe_network,
    make_hooks,
    save_network,
)
from weakseg.pipeline.pseudo_masks import (
    choose_training_images,
    corrected_images,
    require_training_masks,
    training_masks,
)
from weakseg.pipeline.refiners import refine_seeds, refined_files
from weakseg.pipeline.released import (
    adopt_classifier,
    released_classifier,
    released_refiner,
)
from weakseg.pipeline.requirements import (
    require_for_classify,
    require_for_localize,
    require_for_refine,
    require_for_segment,
)
from weakseg.pipeline.runtime import place_network
from weakseg.pipeline.segmenters import describe_segmenter, fit_segmenter, start_segmenter
from weakseg.pipeline.stage import Stage
from weakseg.pipeline.stage_inputs import (
    name_classify_inputs,
    name_corrected_tags,
    name_localize_inputs,
    name_refine_inputs,
    name_segment_inputs,
)
from weakseg.pipeline.starting import start_classifier
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.threshold import mask_threshold
from weakseg.train.distributed import rank, wait_for_all
from weakseg.train.length import count_epochs, tell_length


def classify(context: Context) -> str:
    """Train the classifier, or take a released one: images and tags -> `classifier/`."""
    config, runtime = context.config.classifier, context.config.runtime
    released = released_classifier(config)
    if released is not None:
        return adopt_classifier(context, released)
    classes = context.train.classes
    folder = context.folder.network("classifier")
    classifier, weights_from = start_classifier(config, classes, folder, seed=runtime.seed)
    place_network(classifier, context.device)
    pasting = open_pasting(context)
    with show_progress("training the classifier") as tick:
        hooks = make_hooks(folder, tick, weights_from=weights_from, save_every_s=runtime.save_every_s)
        history = fit_classifier(context, classifier, pasting, hooks)
    info = describe_network(config, classes, kind="classifier", weights_from=weights_from, backbone=classifier.backbone)
    save_network(folder, classifier, info, history)
    if config.method != "seam":  # whose loss has further terms
        warn_of_guessing(context.train, history[-1].loss)
    told = tell_length(config, len(context.train))
    summary = f"{len(context.train)} images{told}, loss {history[-1].loss:.4f}"
    corrected = name_corrected_tags(context).get(CORRECTED_TAGS)
    summary += f", {corrected} {CORRECTED_TAGS}" if corrected else ""
    if pasting is not None:
        summary += f", {len(pasting.donors)} donors"
    reached = history[-1].metrics.get("map", math.nan)
    if context.val is not None and not math.isnan(reached):
        summary += f", mAP {100 * reached:.1f} on {context.val.split}, {len(context.val)} images"
    return summary


def localize(context: Context) -> str:
    """Compute score maps: classifier, images and tags -> `seeds/`."""
    datasets = seeded_datasets(context)
    run_job(context, seeds_job(context), datasets)
    compared = compare(context, datasets)
    wait_for_all()  # the summary counts the seeds of all processes
    method = find_localizer(context.config.localize.method)
    ended = describe_stops(count_stops(_seed_files(context))) if method.adapts else ""
    return f"{method.name} seeds of {sum(map(len, datasets))} images{ended}{compared}"


def compare(context: Context, datasets: Sequence[Dataset]) -> str:
    """Adapt the images that the report compares CAM with RIB on -> `adaptations/`; says so, or nothing without any.

    With the method `rib` their seeds are made a second time, the same way: an exception for a few dozen images would
    cost more than it saves.
    """
    compared = None if why_no_classifier(context) else choose_compared(context.config.localize, datasets)
    if compared is None:
        return ""
    run_job(context, COMPARISON, [compared])
    return f"; CAM and RIB compared on {len(compared)} images of {compared.split}"


def refine(context: Context) -> str:
    """Turn seeds into pseudo masks: seeds -> `masks/`."""
    config, datasets = context.config.refine, seeded_datasets(context)
    refine_seeds(context, datasets)
    wait_for_all()
    if rank() == 0:
        remember_masks(context.folder, [sample.id for dataset in datasets for sample in dataset])
    how = "" if config.method == "none" else f" by {config.method.upper()}"
    how += "" if released_refiner(config) is None else " with a released network"
    threshold = mask_threshold(context)
    chosen = "" if threshold is None else f", background threshold {threshold}"
    health = check_masks(context).health
    tell_health(health)
    number = 0 if context.taught is None else sum(context.taught.has_mask(s.id) for s in chain(*datasets))
    judged = f"; {health.describe()}" if health.troubled else ""
    corrected = f", {number} of them corrected by a person" if number else ""
    return f"masks of {sum(map(len, datasets))} images{how}{corrected}{chosen}{judged}"


def segment(context: Context) -> str:
    """Train the segmentation network: images and masks -> `segmenter/`."""
    config, runtime = context.config.segmenter, context.config.runtime
    classes = context.train.classes
    require_training_masks(context)
    train = choose_training_images(context)
    folder, classifier = context.folder.network("segmenter"), context.folder.network("classifier")
    segmenter, weights_from = start_segmenter(config, classes, folder, classifier=classifier, seed=runtime.seed)
    place_network(segmenter, context.device)
    times = settle_weight(context)
    with show_progress("training the segmenter") as tick:
        hooks = make_hooks(folder, tick, weights_from=weights_from, save_every_s=runtime.save_every_s)
        history = fit_segmenter(context, segmenter, train, training_masks(context), hooks, times=times)
    info = describe_segmenter(segmenter, config.name, classes, weights_from=weights_from)
    save_network(folder, segmenter, info, history)
    taught = ", taught by the true masks" if config.masks == "truth" else ""
    corrected = corrected_images(context)
    if corrected:
        taught = f", {len(corrected)} of them with corrected masks{tell_weight(context, times)}"
    if len(train) < len(context.train) and not taught.endswith("true masks"):
        taught += f", {len(context.train) - len(train)} wrong masks left out"
    return f"{len(train)} images{tell_length(config, len(train))}, loss {history[-1].loss:.4f}{taught}"


def _network_files(kind: str) -> Callable[[Context], list[Path]]:
    return lambda context: [context.folder.network(kind).model, context.folder.network(kind).history]


def _localize_files(context: Context) -> list[Path]:
    compared = choose_compared(context.config.localize, seeded_datasets(context))
    return localizer_files(context) + _seed_files(context) + comparison_files(context, compared)


def _seed_files(context: Context) -> list[Path]:
    return [context.folder.seed(sample.id) for dataset in seeded_datasets(context) for sample in dataset]


def _refine_files(context: Context) -> list[Path]:
    return refined_files(context, seeded_datasets(context))


def _count_classifier_images(context: Context) -> int:
    is_released = released_classifier(context.config.classifier) is not None
    images = len(context.train)
    return 0 if is_released else count_epochs(context.config.classifier, images) * images


def _count_seeded(context: Context) -> int:
    return sum(map(len, seeded_datasets(context)))


def _count_segmenter_images(context: Context) -> int:
    images = len(choose_training_images(context))
    return count_epochs(context.config.segmenter, images) * images


STAGES = (
    Stage(
        name="classify",
        version=1,
        settings=("classifier", "runtime.seed", "data.max_side_px", "data.pixel_range"),
        needs=(),
        outputs=("classifier",),
        run=classify,
        files=_network_files("classifier"),
        inputs=name_classify_inputs,
        added={
            "classifier.released": None,
            "classifier.training_stride_px": None,
            "classifier.optim.max_gradient_norm": None,
            "classifier.min_updates": None,
            "data.pixel_range": None,
        },
        require=require_for_classify,
        skipped=why_no_classifier,
        images=_count_classifier_images,
    ),
    Stage(
        name="localize",
        version=1,
        settings=("localize", "data.max_side_px", "runtime.seed"),
        needs=("classify",),
        outputs=("localizer", "seeds", "adaptations"),
        run=localize,
        files=_localize_files,
        inputs=name_localize_inputs,
        added={
            "localize.rib.mirror": True,
            "localize.rib.coarse_loss": False,
            "localize.similarity_temperature": None,
        },
        require=require_for_localize,
        images=_count_seeded,
    ),
    Stage(
        name="refine",
        version=1,
        settings=("refine", "data.max_side_px", "runtime.seed"),
        needs=("classify", "localize"),
        outputs=(
            "labels",
            "refiner",
            "threshold.json",
            "seed_threshold.json",
            "masks.json",
            "masks",
            "confidence",
            "instances",
        ),
        run=refine,
        files=_refine_files,
        inputs=name_refine_inputs,
        added={
            "refine.irn.released": None,
            "refine.irn.optim.max_gradient_norm": None,
            "refine.psa.released": None,
            "refine.psa.optim.max_gradient_norm": None,
            "refine.stable_within": [1.0, 1.0],
        },
        require=require_for_refine,
        images=_count_seeded,
    ),
    Stage(
        name="segment",
        version=1,
        settings=("segmenter", "runtime.seed"),
        needs=("refine",),
        outputs=("segmenter",),
        run=segment,
        files=_network_files("segmenter"),
        inputs=name_segment_inputs,
        added={
            "segmenter.aspp_std": 0.01,
            "segmenter.freeze_trunk": False,
            "segmenter.masks": "refined",
            "segmenter.optim.max_gradient_norm": None,
            "segmenter.min_updates": None,
        },
        require=require_for_segment,
        images=_count_segmenter_images,
    ),
)
"""From tags to a segmentation network; `weakseg.chain` adds the evaluation and the report."""
