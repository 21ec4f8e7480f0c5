"""What a run knows of each of its masks, measured once and kept in `RUN/review/evidence.json`.

Seed, mask and confidence are read; the classifier and the segmenter look at every image once more, also at those that
they have learned from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.grey import read_grey
from weakseg.data.images import ShrunkImage
from weakseg.data.masks import read_mask
from weakseg.data.whole_images import iterate_shrunk
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.models.classifier import Classifier
from weakseg.models.inference import mean_view, probabilities_of_views
from weakseg.models.modes import evaluating
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.ops.images import normalise
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.pseudo_masks import doubted_ids
from weakseg.pipeline.seeds import resize_labels
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.threshold import mask_threshold
from weakseg.scoring.evidence import Evidence, measure_image, name_sources, read_evidence, write_evidence
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

SAVED_EVERY = 100
"""Images after which what was measured is written: a process that is stopped loses no more."""


Tell = Callable[[int, int], None]
"""Takes (done, total)."""


def _say_nothing(_done: int, _total: int) -> None:
    """Stand for nobody who wants to know."""


def is_gathered(context: Context) -> bool:
    """Say whether every image of a run that has a mask has been measured, so that nothing takes long."""
    known = read_evidence(context.folder, name_sources(context.folder))
    return all(sample.id in known for dataset in _list_masked(context) for sample in dataset)


def gather_evidence(context: Context, *, tell: Tell = _say_nothing) -> list[Evidence]:
    """Measure every image of a run that has a mask, or remember what was measured.

    Args:
        context: The run.
        tell: Takes (done, total) after every image that is measured; what it raises ends the measuring, and what was
            measured is kept.

    Raises:
        ArtifactError: If the run has no masks yet, or a file of it is damaged.
        DataError: If an image or mask cannot be read.
    """
    datasets = _list_masked(context)
    if not any(map(len, datasets)):
        raise ArtifactError(f"{context.folder.root} has no masks to look at; 'weakseg run' makes them")
    made_of = name_sources(context.folder)
    known = read_evidence(context.folder, made_of)
    pending = [dataset.keep(sample.id for sample in dataset if sample.id not in known) for dataset in datasets]
    if any(map(len, pending)):
        _measure_all(context, pending, known, made_of, tell)
    return [known[sample.id] for dataset in datasets for sample in dataset]


def _list_masked(context: Context) -> list[Dataset]:
    return [_with_masks(context.folder, dataset) for dataset in seeded_datasets(context)]


def _with_masks(folder: RunFolder, dataset: Dataset) -> Dataset:
    return dataset.keep(sample.id for sample in dataset if folder.mask(sample.id).is_file())


def _measure_all(
    context: Context,
    pending: Sequence[Dataset],
    known: dict[str, Evidence],
    made_of: dict[str, JsonValue],
    tell: Tell,
) -> None:
    """Measure what is not known yet, and add it."""
    folder, device = context.folder, context.device
    classifier, _ = load_classifier(folder.network("classifier").model, device)
    has_segmenter = folder.network("segmenter").model.is_file()
    segmenter = load_segmenter(folder.network("segmenter").model, device)[0] if has_segmenter else None
    if segmenter is None:
        logger.warning("%s has no trained segmenter yet: the order rests on the seeds alone", folder.root)
    found, doubted = mask_threshold(context), doubted_ids(context)
    threshold = None if found is None else found.value
    total = sum(map(len, pending))
    done = 0
    try:
        with show_progress("looking for doubtful masks") as tick:
            for dataset in pending:
                images = iterate_shrunk(
                    dataset,
                    dataset.samples,
                    max_side_px=context.config.data.max_side_px,
                    workers=context.config.runtime.workers,
                )
                for sample, image in images:
                    confidence = folder.confidence_map(sample.id) if sample.id in doubted else None
                    known[sample.id] = _measure(
                        folder, dataset.split, sample, image, classifier, segmenter, threshold, confidence
                    )
                    done += 1
                    tick(done, total)
                    tell(done, total)
                    if done % SAVED_EVERY == 0:
                        write_evidence(folder, made_of, known.values())
    finally:
        write_evidence(folder, made_of, known.values())


def _measure(
    folder: RunFolder,
    split: str,
    sample: Sample,
    image: ShrunkImage,
    classifier: Classifier,
    segmenter: SegmentationNetwork | None,
    threshold: float | None,
    confidence: Path | None,
) -> Evidence:
    size_hw = (image.pixels.shape[0], image.pixels.shape[1])
    maps = replace(load_seed(folder.seed(sample.id)), size_hw=size_hw).full().numpy()
    probabilities = None
    if segmenter is not None:
        views = probabilities_of_views(segmenter, image.pixels, scales=(1.0,), flip=True)
        probabilities = mean_view(views, size_hw).cpu().numpy()
    return measure_image(
        sample,
        split,
        resize_labels(read_mask(folder.mask(sample.id)), size_hw),
        maps=maps,
        threshold=threshold,
        confidence=None if confidence is None or not confidence.is_file() else read_grey(confidence),
        probabilities=probabilities,
        likely=_classify(classifier, image.pixels),
    )


@torch.no_grad()
def _classify(classifier: Classifier, image: NDArray[np.uint8]) -> list[float]:
    device = next(classifier.parameters()).device
    with evaluating(classifier):
        likely: list[float] = classifier(normalise(image)[None].to(device))[0].sigmoid().tolist()
    return likely
