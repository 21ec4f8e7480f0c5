"""What a refiner with a background threshold makes of seeds at many of them: the best, `auto`'s choice, a fixed one.

An image is refined once for all thresholds and leaves a file of counts; one that has it is done. The thresholds are
those that `auto` would try on these seeds, every second one, and the fixed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.file_names import safe_path
from weakseg.files import JsonValue, write_json
from weakseg.ops.metrics import ConfusionMatrix
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import cut_image, open_cutter
from weakseg.pipeline.seeds import process_seeds, resize_labels
from weakseg.refine.method import SeededImage
from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.choice import CANDIDATES, choose_threshold, worth_refining
from weakseg.refine.threshold.colour import score_colours
from weakseg.refine.threshold.cuts import cut_maps
from weakseg.scoring.scores import number
from weakseg.scoring.truth import digest_truth_of, read_truth
from weakseg.studies.methods.scores import scored_split
from weakseg.train.distributed import rank, wait_for_all

STEP = 2
"""Every so many of the candidates of `auto` is tried: neighbours lie a tenth apart, and differ by tenths of a point."""


@dataclass(frozen=True)
class SweepScore:
    """The mIoU of masks at three thresholds.

    Args:
        best: At the best threshold, 0..1; None where undefined.
        best_threshold: That threshold.
        auto: At the one that the rule of `auto` takes on these images.
        auto_threshold: That threshold.
        fixed: At the fixed one.
    """

    best: float | None
    best_threshold: float
    auto: float | None
    auto_threshold: float
    fixed: float | None


def sweep_masks(context: Context, *, split: str, fixed: float) -> SweepScore:
    """Refine the seeds of a split at many thresholds and score all masks.

    Args:
        context: The run of the seeds; its recipe says by which refiner. Files go to its folder `sweep`.
        split: `train` or `val`.
        fixed: A threshold that is always among them.

    Raises:
        ConfigError: If the refiner has no background threshold.
        ArtifactError: If seeds or files are missing or damaged.
    """
    dataset = scored_split(context, split)
    thresholds = choose_candidates(context, dataset, fixed=fixed)
    faults: set[str] = set()
    folder = context.folder.root / "sweep"
    _drop_outdated(dataset, folder, thresholds)
    cutter = open_cutter(context)
    labels = dataset.classes.num_labels

    def work(item: SeededImage) -> None:
        cuts = cut_image(item, cutter, thresholds)
        truth = read_truth(dataset, item.sample, item.size_hw, faults)
        counts = np.zeros((len(thresholds), 3, labels), np.int64)
        if truth is not None:
            for row, mask in zip(counts, cuts.masks, strict=True):
                row[:] = _count_labels(resize_labels(mask, item.size_hw), truth, labels)
        colours = [None if np.isnan(value) else float(value) for value in score_colours(cuts)]
        write_json(
            _file(folder, item.sample.id),
            {
                "thresholds": list(thresholds),
                "truth": digest_truth_of(dataset, [item.sample]),
                "counts": counts.tolist(),
                "colours": colours,
                "areas": measure_areas(cuts).tolist(),
            },
        )

    process_seeds(context, [dataset], lambda name: _file(folder, name), work, label=f"{context.config.refine.method}")
    wait_for_all()
    return _score(dataset, folder, thresholds, fixed)


def choose_candidates(context: Context, dataset: Dataset, *, fixed: float) -> tuple[float, ...]:
    """Return the thresholds to try, ascending: every second one whose seeds take about the usual area, and `fixed`."""
    areas = []
    for sample in dataset:
        if sample.keys:
            seed = load_seed(context.folder.seed(sample.id))
            areas.append((cut_maps(seed.full().numpy(), seed.keys, CANDIDATES) != 0).mean(axis=(1, 2)))
    near = worth_refining(CANDIDATES, np.array(areas).reshape(-1, len(CANDIDATES)))
    return tuple(sorted({*near[::STEP], fixed}))


def _score(dataset: Dataset, folder: Path, thresholds: Sequence[float], fixed: float) -> SweepScore:
    entries = [_read(_file(folder, sample.id)) for sample in dataset]
    counts = np.sum([np.array(entry["counts"], np.float64) for entry in entries], axis=0)
    tagged = [entry for entry, sample in zip(entries, dataset, strict=True) if sample.keys]
    shape = (-1, len(thresholds))
    colours = np.array([entry["colours"] for entry in tagged], np.float64).reshape(shape)
    areas = np.array([entry["areas"] for entry in tagged], np.float64).reshape(shape)
    scores = _mean_iou(counts)
    best = int(np.argmax(np.nan_to_num(scores, nan=-1.0)))
    auto = choose_threshold(colours, thresholds, areas=areas).threshold
    return SweepScore(
        best=number(float(scores[best])),
        best_threshold=thresholds[best],
        auto=number(float(scores[thresholds.index(auto)])),
        auto_threshold=auto,
        fixed=number(float(scores[thresholds.index(fixed)])),
    )


def _mean_iou(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean IoU over the labels of (T, 3, L) hits, true and given pixels that occur, (T,); NaN without."""
    hits, true, given = np.moveaxis(counts, 1, 0)
    union = true + given - hits
    iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
    defined = ~np.isnan(iou)
    sums, labels = np.where(defined, iou, 0).sum(axis=1), defined.sum(axis=1)
    means: NDArray[np.float64] = np.divide(sums, labels, out=np.full(len(sums), np.nan), where=labels > 0)
    return means


def _count_labels(mask: NDArray[np.uint8], truth: NDArray[np.uint8], num_labels: int) -> NDArray[np.int64]:
    confusion = ConfusionMatrix(num_labels)
    confusion.update(mask, truth)
    counts = confusion.counts
    return np.stack([np.diagonal(counts), counts.sum(axis=1), counts[:, :num_labels].sum(axis=0)])


def _drop_outdated(dataset: Dataset, folder: Path, thresholds: Sequence[float]) -> None:
    """Remove what was made with other thresholds or by other truth; all processes wait until rank 0 has."""
    if rank() == 0:
        for sample in dataset:
            path = _file(folder, sample.id)
            if not path.exists():
                continue
            entry = _read(path)
            is_same = entry["thresholds"] == list(thresholds) and entry["truth"] == digest_truth_of(dataset, [sample])
            if not is_same:
                path.unlink()
    wait_for_all()


def _file(folder: Path, sample_id: str) -> Path:
    return folder / f"{safe_path(sample_id)}.json"


def _read(path: Path) -> dict[str, JsonValue]:
    keys = {"thresholds", "truth", "counts", "colours", "areas"}
    try:
        entry = decode_json(path.read_text(encoding="utf-8"))
        if not isinstance(entry, dict) or not keys <= entry.keys():
            raise ValueError("entries are missing")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}); delete it and start the study again") from None
    return entry
