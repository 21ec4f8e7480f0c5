"""Counting, pixel by pixel, what one side of a study of seeds makes of the images; kept as JSON files.

Two passes: over all background thresholds, which finds the thresholds to compare at, and over the label maps at one of
them. All counts are sums over the images of the split; scores are made of them in `weakseg.studies.seeds.table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.masks import read_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.ops.boundary import boundary_width_px, count_boundaries
from weakseg.ops.coverage import CoverageCounts, CoverageSweep
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.ops.objects import count_objects, find_size_bins
from weakseg.pipeline.artifacts import load_seed
from weakseg.refine.masks import seed_to_mask
from weakseg.studies.seeds.sources import Source
from weakseg.studies.seeds.truth import Truth, TruthReader
from weakseg.types import Sample

Int64Array = NDArray[np.int64]

ORACLE_STEPS = 100
"""The best threshold is sought among so many within 0..1, as the stage `evaluate` does unless told otherwise."""

COVERAGE_STEPS = 1000
"""A threshold of a given coverage is sought among so many; those above are among them."""

COVERAGE_THRESHOLDS = np.arange(COVERAGE_STEPS) / COVERAGE_STEPS


@dataclass(frozen=True, eq=False)
class SweptCounts:
    """What one side gives at every background threshold.

    Args:
        best_threshold: Threshold with the largest mean IoU over background and classes.
        counts: Pixels covered and found at `COVERAGE_THRESHOLDS`.
    """

    best_threshold: float
    counts: CoverageCounts


@dataclass(frozen=True, eq=False)
class MaskCounts:
    """What the label maps of one side are like; int64, L labels with the background first.

    Args:
        confusion: (L, L + 1) pixels by truth and prediction, see `weakseg.ops.metrics.ConfusionMatrix`.
        boundaries: (L, 2) pixels in the boundaries of both, and of either, see `weakseg.ops.boundary`.
        sizes: (L, S, 4) true objects of each size: how many, their pixels, the found ones of these, and those that
            were given the label in excess, see `weakseg.ops.objects`.
        parts: (L, P, 2) pixels of each part, and those of them that were given the label.
    """

    confusion: Int64Array
    boundaries: Int64Array
    sizes: Int64Array
    parts: Int64Array


def sweep_source(source: Source, reader: TruthReader, path: Path) -> SweptCounts:
    """Count one side's seeds at every threshold, or read what was counted.

    Args:
        source: The side.
        reader: Reads the truth of the images.
        path: The file that keeps the counts.

    Raises:
        ArtifactError: If that file or a seed is damaged.
    """
    if not path.exists():
        sweep = ThresholdSweep(reader.dataset.classes.num_labels, np.arange(ORACLE_STEPS) / ORACLE_STEPS)
        coverage = CoverageSweep(COVERAGE_THRESHOLDS, num_parts=len(reader.part_names))
        for sample, truth in _iterate_truth(source, reader):
            seed = load_seed(source.file(sample.id))
            maps = seed.full().numpy()
            sweep.update(maps, seed.keys, truth.labels)
            coverage.update(maps, seed.keys, truth.labels, truth.parts)
        found = coverage.result()
        arrays = {"given_px": found.given_px, "hits_px": found.hits_px, "part_hits_px": found.part_hits_px}
        scalars = {"pixels_px": found.pixels_px, "objects_px": found.objects_px}
        lists: dict[str, JsonValue] = {name: array.tolist() for name, array in arrays.items()}
        best = sweep.result().best_threshold
        write_json(path, {"best_threshold": best, **scalars, **lists, "parts_px": found.parts_px.tolist()})
    entry = _read(path)
    try:
        num_parts = len(reader.part_names)
        counts = CoverageCounts(
            thresholds=COVERAGE_THRESHOLDS,
            given_px=_array(entry["given_px"], (COVERAGE_STEPS,)),
            hits_px=_array(entry["hits_px"], (COVERAGE_STEPS,)),
            part_hits_px=_array(entry["part_hits_px"], (num_parts, COVERAGE_STEPS)),
            pixels_px=int(_array(entry["pixels_px"], ())),
            objects_px=int(_array(entry["objects_px"], ())),
            parts_px=_array(entry["parts_px"], (num_parts,)),
        )
        return SweptCounts(float(np.asarray(entry["best_threshold"])), counts)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def count_source(
    source: Source,
    reader: TruthReader,
    path: Path,
    *,
    threshold: float | None,
    size_edges: Sequence[float],
    boundary_share: float,
) -> MaskCounts:
    """Count one side's label maps, or read what was counted.

    Args:
        source: The side.
        reader: Reads the truth of the images.
        path: The file that keeps the counts.
        threshold: Background threshold of the seeds; None for label maps.
        size_edges: Shares of the image that part small objects from large ones.
        boundary_share: Width of a boundary as a share of the image's diagonal.

    Raises:
        ArtifactError: If that file or a seed is damaged.
        DataError: If a label map is damaged.
    """
    num_labels, num_parts, num_sizes = reader.dataset.classes.num_labels, len(reader.part_names), len(size_edges) + 1
    if not path.exists():
        tally = _Tally(num_labels, num_parts, tuple(size_edges), boundary_share)
        for sample, truth in _iterate_truth(source, reader):
            tally.update(_load_labels(source, sample.id, threshold), truth)
        counts = tally.result()
        write_json(path, {name: array.tolist() for name, array in vars(counts).items()})
    entry = _read(path)
    try:
        return MaskCounts(
            confusion=_array(entry["confusion"], (num_labels, num_labels + 1)),
            boundaries=_array(entry["boundaries"], (num_labels, 2)),
            sizes=_array(entry["sizes"], (num_labels, num_sizes, 4)),
            parts=_array(entry["parts"], (num_labels, num_parts, 2)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


class _Tally:
    """Adds up the counts of `MaskCounts`."""

    def __init__(self, num_labels: int, num_parts: int, size_edges: tuple[float, ...], boundary_share: float) -> None:
        self._size_edges = size_edges
        self._boundary_share = boundary_share
        self._confusion = ConfusionMatrix(num_labels)
        self._boundaries: Int64Array = np.zeros((num_labels, 2), np.int64)
        self._sizes: Int64Array = np.zeros((num_labels, len(size_edges) + 1, 4), np.int64)
        self._parts: Int64Array = np.zeros((num_labels, num_parts, 2), np.int64)

    def update(self, labels: NDArray[np.uint8], truth: Truth) -> None:
        """Count the label map of one image."""
        num_labels = len(self._boundaries)
        self._confusion.update(labels, truth.labels)
        height, width = truth.labels.shape
        width_px = boundary_width_px((height, width), diagonal_share=self._boundary_share)
        self._boundaries += count_boundaries(labels, truth.labels, num_labels=num_labels, width_px=width_px)
        objects = truth.objects
        found = count_objects(labels, truth.labels, objects)
        bins = find_size_bins(objects.areas_px, image_px=truth.labels.size, edges=self._size_edges)
        columns = (np.ones(len(objects), np.int64), objects.areas_px, found.hits_px, found.extras_px)
        np.add.at(self._sizes, (objects.labels, bins), np.stack(columns, axis=1))
        if truth.parts is not None:
            for at in range(self._parts.shape[1]):
                own = truth.labels[truth.parts == at + 1]
                hit = labels[truth.parts == at + 1] == own
                self._parts[:, at, 0] += np.bincount(own, minlength=256)[:num_labels]
                self._parts[:, at, 1] += np.bincount(own[hit], minlength=256)[:num_labels]

    def result(self) -> MaskCounts:
        return MaskCounts(self._confusion.counts, self._boundaries, self._sizes, self._parts)


def _load_labels(source: Source, sample_id: str, threshold: float | None) -> NDArray[np.uint8]:
    if threshold is None:
        return read_mask(source.file(sample_id))
    seed = load_seed(source.file(sample_id))
    return seed_to_mask(seed.full().numpy(), seed.keys, background_threshold=threshold)


def _iterate_truth(source: Source, reader: TruthReader) -> Iterator[tuple[Sample, Truth]]:
    for sample in reader.dataset:
        size_hw = source.size_hw(sample.id)
        truth = reader.read(sample, size_hw)
        if truth is None:  # the study has left out all images without a truth of the size that its first side has
            raise ArtifactError(
                f"{source.file(sample.id)} is of an image of {size_hw} (height, width), and its truth mask is not; "
                "run the stage that wrote it again"
            )
        yield sample, truth


def _read(path: Path) -> dict[str, JsonValue]:
    try:
        entry = decode_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    if not isinstance(entry, dict):
        raise _damaged(path, "not a JSON object")
    return entry


def _array(value: JsonValue, shape: tuple[int, ...]) -> Int64Array:
    # Reshaping also turns an empty list, which has lost its dimensions, into an array with them.
    return np.asarray(value, np.int64).reshape(shape)


def _damaged(path: Path, error: object) -> ArtifactError:
    return ArtifactError(f"{path} is damaged ({error}); delete it and start the study again")
