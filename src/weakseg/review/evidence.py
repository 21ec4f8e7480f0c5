"""What a run knows of each of its masks, measured once and kept in `RUN/review/evidence.json`.

Seed, mask and confidence are read; the classifier and the segmenter look at every image once more, also at those that
they have learned from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.grey import read_grey
from weakseg.data.images import ShrunkImage
from weakseg.data.loaders import iterate_shrunk
from weakseg.data.masks import read_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.models.classifier import Classifier
from weakseg.models.inference import mean_view, probabilities_of_views
from weakseg.models.modes import evaluating
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.ops.images import normalise
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.pseudo_masks import doubted_ids
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import Context
from weakseg.pipeline.runtime import show_progress
from weakseg.pipeline.seeds import resize_labels
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.pipeline.threshold import mask_threshold
from weakseg.refine.masks import seed_to_mask
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

VERSION = 1
"""Raised when the same run gives other evidence."""

STAGES = ("classify", "localize", "refine", "segment")
"""What the evidence is made of; made again, they make it anew."""

SAVED_EVERY = 100
"""Images after which what was measured is written: a process that is stopped loses no more."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one image.

    Args:
        id: The image.
        split: Name of its split.
        free: Share of the pixels on which the segmenter's labels and the mask differ, 0..1; None without a segmenter.
        given: The same with the segmenter's labels restricted to the image's tags.
        seed: Share of the pixels on which the seed, cut at the background threshold, and the mask differ; None for a
            method without a threshold.
        unstable: Share of the pixels that another threshold would label otherwise (`refine.stable_within`); None if the
            run has not tried that on the image.
        shares: Share of the pixels that each tagged class has in the mask, by class index.
        tags: 0 or 1 per class.
        known: Whether each tag is known.
        likely: How likely the classifier thinks each class, 0..1.
    """

    id: str
    split: str
    free: float | None
    given: float | None
    seed: float | None
    unstable: float | None
    shares: dict[int, float]
    tags: tuple[int, ...]
    known: tuple[bool, ...]
    likely: tuple[float, ...]


def gather_evidence(context: Context) -> list[Evidence]:
    """Measure every image of a run that has a mask, or remember what was measured.

    Raises:
        ArtifactError: If the run has no masks yet, or a file of it is damaged.
        DataError: If an image or mask cannot be read.
    """
    datasets = [_with_masks(context.folder, dataset) for dataset in seeded_datasets(context)]
    if not any(map(len, datasets)):
        raise ArtifactError(f"{context.folder.root} has no masks to look at; 'weakseg run' makes them")
    made_of = _name_sources(context)
    known = _read(context.folder, made_of)
    pending = [dataset.keep(sample.id for sample in dataset if sample.id not in known) for dataset in datasets]
    if any(map(len, pending)):
        _measure_all(context, pending, known, made_of)
    return [known[sample.id] for dataset in datasets for sample in dataset]


def measure_image(
    sample: Sample,
    split: str,
    mask: NDArray[np.uint8],
    *,
    maps: NDArray[np.float32],
    threshold: float | None,
    confidence: NDArray[np.uint8] | None,
    probabilities: NDArray[np.float32] | None,
    likely: Sequence[float],
) -> Evidence:
    """Put together what is known of one image.

    Args:
        sample: The image.
        split: Name of its split.
        mask: (H, W) uint8, its mask at the size that networks see.
        maps: (K, H, W) float32 in 0..1, its seed, one map per tag.
        threshold: The background threshold; None for a method without one.
        confidence: uint8 of any shape, 0 where another threshold labels otherwise; None if none was tried.
        probabilities: (L, H, W) float32 of the segmenter; None without one.
        likely: How likely the classifier thinks each class.
    """
    free = given = None
    if probabilities is not None:
        own = [0, *(key + 1 for key in sample.keys)]
        free = _differing(probabilities.argmax(axis=0), mask)
        given = _differing(np.array(own)[probabilities[own].argmax(axis=0)], mask)
    seed = None
    if threshold is not None:
        seed = _differing(seed_to_mask(maps, sample.keys, background_threshold=threshold), mask)
    return Evidence(
        id=sample.id,
        split=split,
        free=free,
        given=given,
        seed=seed,
        unstable=None if confidence is None else float(np.mean(confidence == 0)),
        shares={key: float(np.mean(mask == key + 1)) for key in sample.keys},
        tags=tuple(int(tag) for tag in sample.tags),
        known=tuple(bool(known) for known in sample.known),
        likely=tuple(round(float(value), 6) for value in likely),
    )


def _differing(labels: NDArray[np.integer], mask: NDArray[np.uint8]) -> float:
    return float(np.mean(labels != mask))


def _with_masks(folder: RunFolder, dataset: Dataset) -> Dataset:
    return dataset.keep(sample.id for sample in dataset if folder.mask(sample.id).is_file())


def _measure_all(
    context: Context, pending: Sequence[Dataset], known: dict[str, Evidence], made_of: dict[str, JsonValue]
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
                    if done % SAVED_EVERY == 0:
                        _write(folder, made_of, known.values())
    finally:
        _write(folder, made_of, known.values())


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


def _name_sources(context: Context) -> dict[str, JsonValue]:
    """Name what the evidence depends on: the stages as they are now."""
    records = read_records(context.folder)
    return {"version": VERSION, **{name: records[name].fingerprint for name in STAGES if name in records}}


def _write(folder: RunFolder, made_of: dict[str, JsonValue], known: Iterable[Evidence]) -> None:
    write_json(folder.evidence, {"made_of": made_of, "images": [asdict(found) for found in known]})


def _read(folder: RunFolder, made_of: dict[str, JsonValue]) -> dict[str, Evidence]:
    """Return what was measured by image id; empty if that was on other results, or the file is damaged."""
    try:
        document = decode_json(folder.evidence.read_bytes())
        return {entry["id"]: _parse(entry) for entry in document["images"]} if document["made_of"] == made_of else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # only a cache


def _parse(entry: dict[str, Any]) -> Evidence:
    tuples = {name: tuple(entry[name]) for name in ("tags", "known", "likely")}
    shares = {int(key): float(share) for key, share in entry["shares"].items()}
    return Evidence(**{**entry, **tuples, "shares": shares})
