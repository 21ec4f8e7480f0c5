"""What a study of thresholds computes image by image, kept as JSON files: statistics without truth, and counts with it.

Each file is written whole; an image that has one is done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.file_names import safe_path
from weakseg.files import JsonValue, write_json
from weakseg.models.classifier import Classifier
from weakseg.ops.metrics import ConfusionMatrix
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import Cutter, cut_image
from weakseg.pipeline.images import iterate_pending
from weakseg.pipeline.seeds import pair_with_seed, resize_labels
from weakseg.refine.threshold.agreement import score_refinement, score_stability, score_typicality
from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.colour import score_colours
from weakseg.refine.threshold.cuts import Statistic
from weakseg.refine.threshold.masking import score_confidence
from weakseg.refine.threshold.spread import score_log_spread, score_spread
from weakseg.scoring.truth import digest_truth_of, read_truth
from weakseg.train.distributed import rank, wait_for_all

CHOSEN = "colour"
"""The statistic that `auto` goes by."""

AREA = "area"
"""The share of the foreground, kept beside the statistics: every choice weighs it."""


def open_statistics(classifier: Classifier) -> dict[str, Statistic]:
    """Return every statistic by its name in the table."""
    return {
        CHOSEN: score_colours,
        "typicality": score_typicality,
        "stability": score_stability,
        "refinement": score_refinement,
        "spread": score_spread,
        "log spread": score_log_spread,
        "masking": partial(score_confidence, classifier),
    }


def judge_images(
    context: Context,
    chosen: Dataset,
    cutter: Cutter,
    statistics: Mapping[str, Statistic],
    thresholds: Sequence[float],
    folder: Path,
) -> None:
    """Score every threshold of every image by every statistic -> `<id>.json`; shared out over the processes.

    Args:
        context: The run.
        chosen: Tagged images that have seeds.
        cutter: Makes the masks.
        statistics: By name.
        thresholds: T thresholds.
        folder: Where the files go.
    """
    output = partial(_file, folder)
    for sample, image in iterate_pending(context, [chosen], output, label="judging thresholds without truth"):
        cuts = cut_image(pair_with_seed(context, sample, image), cutter, thresholds)
        found = {name: statistic(cuts).tolist() for name, statistic in statistics.items()}
        found[AREA] = measure_areas(cuts).tolist()
        defined = {name: [None if math.isnan(value) else value for value in row] for name, row in found.items()}
        write_json(output(sample.id), defined)


def load_judgements(chosen: Dataset, name: str, folder: Path) -> NDArray[np.float64]:
    """Read one statistic of all images, (N, T), NaN where it is undefined.

    Raises:
        ArtifactError: If a file is missing or damaged.
    """
    return np.stack([_read(_file(folder, sample.id), name) for sample in chosen])


def drop_outdated(dataset: Dataset, folder: Path) -> None:
    """Remove the counts of images whose truth mask is another one by now; all processes wait until rank 0 has.

    Raises:
        ArtifactError: If a file is damaged.
    """
    if rank() == 0:
        for sample in dataset:
            path = _file(folder, sample.id)
            if path.exists() and _entry(path, "truth") != digest_truth_of(dataset, [sample]):
                path.unlink()
    wait_for_all()


def count_images(
    context: Context, dataset: Dataset, cutter: Cutter, thresholds: Sequence[float], folder: Path, *, faults: set[str]
) -> None:
    """Count hits, true and given pixels of every label at every threshold -> `<id>.json`; shared out likewise.

    Args:
        context: The run.
        dataset: Images that have seeds; those without a usable truth mask get counts of 0.
        cutter: Makes the masks.
        thresholds: T thresholds.
        folder: Where the files go.
        faults: See `read_truth`.
    """
    num_labels = dataset.classes.num_labels
    output = partial(_file, folder)
    for sample, image in iterate_pending(context, [dataset], output, label="scoring thresholds"):
        truth = read_truth(dataset, sample, image.shape[:2], faults)
        counts = np.zeros((len(thresholds), 3, num_labels), np.int64)
        if truth is not None:
            item = pair_with_seed(context, sample, image)
            for row, mask in zip(counts, cutter(item, thresholds), strict=True):
                row[:] = _count_labels(resize_labels(mask, item.size_hw), truth, num_labels)
        write_json(
            output(sample.id),
            {
                "images": int(truth is not None),
                "counts": counts.tolist(),
                "truth": digest_truth_of(dataset, [sample]),
            },
        )


def load_scores(dataset: Dataset, folder: Path) -> tuple[NDArray[np.float64], int]:
    """Read the mean IoU at every threshold, (T,), and how many images were counted; NaN without any.

    Raises:
        ArtifactError: If a file is missing or damaged.
    """
    counts = sum(_read(_file(folder, sample.id), "counts") for sample in dataset)
    images = sum(int(_read(_file(folder, sample.id), "images")) for sample in dataset)
    hits, true, given = np.moveaxis(np.asarray(counts, np.float64), 1, 0)
    union = true + given - hits
    iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
    defined = ~np.isnan(iou)
    sums, labels = np.where(defined, iou, 0).sum(axis=1), defined.sum(axis=1)
    return np.divide(sums, labels, out=np.full(len(sums), np.nan), where=labels > 0), images


def _count_labels(mask: NDArray[np.uint8], truth: NDArray[np.uint8], num_labels: int) -> NDArray[np.int64]:
    confusion = ConfusionMatrix(num_labels)
    confusion.update(mask, truth)
    counts = confusion.counts
    return np.stack([np.diagonal(counts), counts.sum(axis=1), counts[:, :num_labels].sum(axis=0)])


def _file(folder: Path, sample_id: str) -> Path:
    return folder / f"{safe_path(sample_id)}.json"


def _read(path: Path, name: str) -> NDArray[np.float64]:
    return np.array(_entry(path, name), np.float64)  # None becomes NaN


def _entry(path: Path, name: str) -> JsonValue:
    try:
        entry: JsonValue = decode_json(path.read_text(encoding="utf-8"))[name]
        return entry
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}); delete it and start the study again") from None
