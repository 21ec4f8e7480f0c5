"""The health of a run's pseudo masks: measured image by image, shared out over the processes, summed up and told."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from weakseg.config.chosen import localizer_facts
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.ops.mask_health import NUM_FACTS, TagFacts, examine_tags
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Question, ask_images
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.origin import read_map
from weakseg.pipeline.threshold import mask_threshold
from weakseg.refine.health import TaggedMask, TagHealth, judge_tags
from weakseg.refine.health_words import MaskHealth, MaskMethod, judge_classes
from weakseg.train.distributed import sum_over_ranks, world_size
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

MAX_TOLD = 5
"""Classes that the log names; `report.html` has all."""


@dataclass(frozen=True)
class HealthCheck:
    """What was found out about a run's masks.

    Args:
        health: Class by class.
        tags: Tag by tag, in the order of the images.
    """

    health: MaskHealth
    tags: tuple[TagHealth, ...]


def check_masks(context: Context) -> HealthCheck:
    """Judge a run's masks by its seeds and tags alone; all processes call this, and all get the result.

    A mask or seed that cannot be read is left out: the stage that needs it names it.

    Args:
        context: A run whose stage `refine` has made its masks.

    Raises:
        ArtifactError: If the file of the threshold is damaged.
    """
    datasets = seeded_datasets(context)
    threshold = mask_threshold(context)
    method = MaskMethod(
        refinement=context.config.refine.method,
        threshold=None if threshold is None else threshold.value,
        mean_average_precision=_classifier_map(context),
    )
    localizer = localizer_facts(context.config.localize)
    tagged = _examine(context, datasets, method.threshold)
    found = judge_tags(tagged)
    samples = [sample for dataset in datasets for sample in dataset]
    health = judge_classes(
        found,
        context.train.classes.names,
        splits=[dataset.split for dataset in datasets],
        images=len(samples),
        untagged_images=sum(not sample.keys for sample in samples),
        method=method,
        remedies={} if localizer is None else localizer.remedies,
    )
    return HealthCheck(health, found)


def tell_health(health: MaskHealth) -> None:
    """Write the verdict to the log: a line, and one for each class to look at."""
    if not health.troubled:
        logger.info("refine: masks judged without truth: %s", health.describe())
        return
    logger.warning("refine: masks judged without truth: %s", health.describe())
    for item in health.troubled[:MAX_TOLD]:
        logger.warning("  %s", item.describe())
    if len(health.troubled) > MAX_TOLD:
        logger.warning("  classes not named here: %d; the report has all", len(health.troubled) - MAX_TOLD)


def _examine(context: Context, datasets: Sequence[Dataset], threshold: float | None) -> list[TaggedMask]:
    """Have the run's engine measure the tagged images."""
    tagged = [dataset.keep(sample.id for sample in dataset if sample.keys) for dataset in datasets]
    images = [(dataset.split, sample) for dataset in tagged for sample in dataset]
    starts = [0]
    for _, sample in images:
        starts.append(starts[-1] + len(sample.keys))
    # The last column says that the row was filled; one table per tag is small even for all of COCO.
    table = torch.zeros(starts[-1], NUM_FACTS + 1, dtype=torch.float64)
    question = Question("judging the masks", partial(open_examination, threshold=threshold))
    for place, facts in ask_images(context, question, tagged).items():
        if facts:
            rows = torch.tensor([[*item.to_numbers(), 1.0] for item in facts], dtype=torch.float64)
            table[starts[place] : starts[place + 1]] = rows
    table = sum_over_ranks(table.to(context.device)).cpu() if world_size() > 1 else table
    owners = [(split, sample.id, key) for split, sample in images for key in sample.keys]
    return [
        TaggedMask(id, split, key, TagFacts.from_numbers(row[:-1]))
        for (split, id, key), row in zip(owners, table.tolist(), strict=True)
        if row[-1]
    ]


@contextmanager
def open_examination(
    context: Context, *, threshold: float | None
) -> Iterator[Callable[[Sample], tuple[TagFacts, ...]]]:
    """Lend what compares an image's mask with its seed; nothing is said of one whose files cannot be read."""

    def examine(sample: Sample) -> tuple[TagFacts, ...]:
        try:
            seed = load_seed(context.folder.seed(sample.id))
            labels = read_mask(context.folder.mask(sample.id))
        except (ArtifactError, DataError):
            return ()
        return examine_tags(labels, seed, threshold=threshold) if seed.keys == sample.keys else ()

    yield examine


def _classifier_map(context: Context) -> float | None:
    if why_no_classifier(context):
        return None
    try:
        reached = read_map(context.folder.network("classifier"))
    except ArtifactError:  # not needed to judge masks
        return None
    return None if reached is None or math.isnan(reached) else reached
