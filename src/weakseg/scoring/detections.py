"""Scoring the instances of a run, and writing those of each split as a file of COCO's detection results."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from weakseg.data.base import Dataset
from weakseg.data.coco_results import write_coco_results
from weakseg.errors import DataError
from weakseg.ops.detection import DetectionResult, DetectionScores
from weakseg.ops.instances import Instances, InstanceTruth
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.refiner_networks import makes_instances
from weakseg.pipeline.telling import show_progress
from weakseg.refine.instance_files import load_instances
from weakseg.scoring.scores import InstanceScore, number, numbers
from weakseg.types import Sample

logger = logging.getLogger("weakseg")


def score_instances(context: Context, notes: list[str], faults: Collection[str]) -> tuple[InstanceScore, ...]:
    """Score the instances of every split that has true ones.

    Args:
        context: A run whose refinement is finished.
        notes: Receives why a split is not scored, and how many true instances cannot be used.
        faults: Ids of images whose truth mask cannot be used. It has been named, and their true instances, which come
            from the same files, are not read.

    Returns:
        One score per split with a true object; empty where the recipe asks for no instances.

    Raises:
        ArtifactError: If instances are missing or damaged.
    """
    if not makes_instances(context.config):
        return ()
    found = []
    unusable: set[str] = set()
    for dataset in seeded_datasets(context):
        scores = _count_instances(context.folder, dataset, faults, unusable)
        result = scores.result()
        if result is not None:
            threshold = context.config.refine.irn.instance_threshold
            found.append(score_detections(result, split=dataset.split, threshold=threshold))
        elif scores.images:
            notes.append(f"{dataset.split}: the truth has no object, so instances are not scored")
        else:
            notes.append(f"{dataset.split}: no true instances, so instances are not scored")
    if unusable:
        notes.append(f"true instances that cannot be used: {len(unusable)}; warnings in the log name them")
    return tuple(found)


def score_detections(result: DetectionResult, *, split: str, threshold: float) -> InstanceScore:
    """Turn average precisions into a score; `threshold` is the one that instances were found at."""
    return InstanceScore(
        split=split,
        images=result.images,
        given_tags=True,
        threshold_choice="fixed",
        threshold=threshold,
        mean_ap50=number(result.mean_ap50),
        mean_ap75=number(result.mean_ap75),
        mean_ap=number(result.mean_ap),
        ap50=numbers(result.ap50),
        ap75=numbers(result.ap75),
        ap=numbers(result.ap),
        support=tuple(int(count) for count in result.support),
    )


def read_true_instances(
    dataset: Dataset, sample: Sample, size_hw: tuple[int, int], unusable: set[str]
) -> InstanceTruth | None:
    """Read true instances; those that are damaged or do not fit are named in the log and count as missing.

    Args:
        dataset: Where the sample belongs.
        sample: The image.
        size_hw: Size the masks must have, that of the upright image.
        unusable: Receives the id of an image whose true instances cannot be used.
    """
    try:
        truth = dataset.load_instances(sample)
        if truth is not None and truth.size_hw != size_hw:
            raise DataError(f"they have {truth.size_hw} pixels, but the upright image is {size_hw} (height, width)")
    except DataError as error:
        logger.warning("%s '%s': true instances are not used: %s", dataset.name, sample.id, error)
        unusable.add(sample.id)
        return None
    return truth


def write_instance_results(context: Context) -> None:
    """Write the instances of each split -> `detections/<split>.json`, if the recipe asks for instances.

    Images and categories have the ids of the source annotation. Where it has none, images are named by their own ids,
    and a category is the label 1..C that masks have for the class.

    Raises:
        ArtifactError: If instances are missing or damaged, or a file cannot be written.
    """
    for path, dataset in zip(detection_files(context), seeded_datasets(context), strict=False):
        write_coco_results(
            path,
            _iterate_instances(context.folder, [dataset]),
            image_ids=dataset.source_ids,
            category_ids=dataset.classes.source_ids or range(1, dataset.classes.num_labels),
        )


def detection_files(context: Context) -> list[Path]:
    """Name the file of each split that has instances; none if the recipe asks for none.

    List files of one name, in different folders, are told apart: `mine.json`, `mine-2.json`.
    """
    if not makes_instances(context.config):
        return []
    stems = [Path(dataset.split).stem for dataset in seeded_datasets(context)]
    names = (f"{stem}-{at + 1}" if stem in stems[:at] else stem for at, stem in enumerate(stems))
    return [context.folder.detection(name) for name in names]


def _count_instances(
    folder: RunFolder, dataset: Dataset, faults: Collection[str], unusable: set[str]
) -> DetectionScores:
    scores = DetectionScores(len(dataset.classes))
    samples = () if dataset.instance_reader is None else dataset.samples
    with show_progress("scoring instances") as tick:
        for done, sample in enumerate(samples):
            if sample.id not in faults:
                found = load_instances(folder.instance(sample.id))
                truth = read_true_instances(dataset, sample, found.size_hw, unusable)
                if truth is not None:
                    scores.update(sample.id, found, truth)
            tick(done + 1, len(samples))
    return scores


def _iterate_instances(folder: RunFolder, datasets: Sequence[Dataset]) -> Iterator[tuple[str, Instances]]:
    for dataset in datasets:
        for sample in dataset:
            yield sample.id, load_instances(folder.instance(sample.id))
