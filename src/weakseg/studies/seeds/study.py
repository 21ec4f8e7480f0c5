"""Study `seeds`: what tells the seeds (or masks) of several runs apart, beyond their mean IoU.

All sides are scored on the same images: how much they find, how much they add, at outlines, on small and large objects,
class by class and, on critters, on heads and bodies. `docs/study_seeds.md` explains the measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from weakseg.config.load import to_plain
from weakseg.errors import UsageError
from weakseg.files import JsonValue
from weakseg.ops.boundary import DIAGONAL_SHARE
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.pipeline.telling import show_progress
from weakseg.studies.folder import (
    Study,
    StudyFolder,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
)
from weakseg.studies.seeds.counts import SweptCounts, count_source, sweep_source
from weakseg.studies.seeds.figure import Trace, draw_seeds, figure_size_in
from weakseg.studies.seeds.sources import Comparison, open_comparison
from weakseg.studies.seeds.table import COVERAGE, GIVEN, ORACLE, Layout, Row, count_sizes, make_details, make_table
from weakseg.train.distributed import rank, wait_for_all, world_size

VERSION = 1
"""Raised when the results change for the same settings."""

SIZE_EDGES = (0.04, 0.16)
"""Objects that cover less than the first share of the image are small, from the second share on they are large."""


@dataclass(frozen=True)
class _Job:
    """The label maps of one side that a row is made of."""

    side: int
    choice: str
    threshold: float | None


def study_seeds(
    runs: Sequence[Path],
    request: StudyRequest,
    *,
    subject: str = "seeds",
    split: str | None = None,
    labels: Sequence[str] = (),
    size_edges: Sequence[float] = SIZE_EDGES,
    boundary_share: float = DIAGONAL_SHARE,
) -> Study:
    """Compare the seeds, masks or predictions of runs on the same images.

    What an interrupted study, or one of fewer runs, has counted is used again.

    Args:
        runs: Run folders; the first one is the reference, whose coverage the others are brought to.
        request: Where and how; the study's name is `seeds`, or `seeds-<subject>` of another subject.
        subject: `seeds`; `masks` (pseudo masks); `predictions` of the segmenter; or `adaptations`, the seeds of one
            run's compared images after some numbers of RIB's iterations.
        split: `train` or `val` as the recipes mean them; None for `val`, or for the split that has adaptations.
        labels: Names of the runs; their folders' names if there are none.
        size_edges: Shares of the image that part small objects from large ones, ascending within 0..1.
        boundary_share: Width of a boundary as a share of the image's diagonal, above 0.

    Returns:
        Files and table.

    Raises:
        UsageError: If an option cannot be, or does not fit the runs.
        ArtifactError: If a run lacks what is compared, or a file is damaged.
        ConfigError: If the runs are of different images, or the study was made with other settings.
        DataError: If no image has a truth mask.
    """
    edges = _check_numbers(size_edges, boundary_share)
    folder = find_study_folder(request, default_name="seeds" if subject == "seeds" else f"seeds-{subject}")
    make_deterministic()
    with joined_processes(choose_device("cpu")):
        comparison = open_comparison(runs, subject=subject, role=split, labels=labels)
        plan = _plan(comparison, edges, boundary_share, request.command)
        begin_study(folder, plan, redo=request.redo)
        swept = _sweep(comparison, folder) if comparison.has_threshold else ()
        jobs = _list_jobs(comparison, swept)
        rows = _count(comparison, folder, jobs, edges, boundary_share)
        layout = Layout(edges, comparison.reader.part_names)
        title = _describe(comparison)
        table = make_table(title, rows, layout, _make_notes(comparison, rows[0], layout, boundary_share))
        details = make_details(title, rows, layout, comparison.dataset.classes)
        traces = tuple(
            Trace(source.label, one.counts, one.best_threshold)
            for source, one in zip(comparison.sources, swept, strict=False)
        )
        return finish_study(
            folder,
            plan,
            table,
            draw=lambda figure: draw_seeds(figure, table, layout, traces),
            size_in=figure_size_in(table),
            details=details,
        )


def _check_numbers(size_edges: Sequence[float], boundary_share: float) -> tuple[float, ...]:
    bounds = [0.0, *size_edges, 1.0]
    if not all(low < high for low, high in pairwise(bounds)):
        raise UsageError(f"--sizes: expected shares of the image, ascending between 0 and 1, got {list(size_edges)}")
    if not 0 < boundary_share < 1:
        raise UsageError(f"--boundary: expected a share of the image's diagonal between 0 and 1, got {boundary_share}")
    return tuple(float(edge) for edge in size_edges)


def _plan(comparison: Comparison, size_edges: tuple[float, ...], boundary_share: float, command: str) -> StudyPlan:
    settings: dict[str, JsonValue] = {
        "what": comparison.subject,
        "split": comparison.dataset.split,
        "sizes": list(size_edges),
        "boundary": boundary_share,
        f"images and tags of {comparison.dataset.split}": comparison.data_digest,
        f"images and tags with truth of {comparison.dataset.split}": comparison.truth_digest,
    }
    recipes = {str(context.folder.root): to_plain(context.config) for context in comparison.contexts}
    seed = comparison.contexts[0].config.runtime.seed
    return StudyPlan("seeds", VERSION, command, seed, settings, recipes)


def _sweep(comparison: Comparison, folder: StudyFolder) -> tuple[SweptCounts, ...]:
    """Sweep thresholds over the seeds of all sides, shared out over the processes."""
    sides = list(enumerate(comparison.sources))
    paths = [folder.results / source.key / "sweep.json" for source in comparison.sources]
    with show_progress("sweeping thresholds") as tick:
        for side, source in sides[rank() :: world_size()]:
            sweep_source(source, comparison.reader, paths[side])
            tick(side + 1, len(sides))
    wait_for_all()
    return tuple(sweep_source(source, comparison.reader, paths[side]) for side, source in sides)


def _list_jobs(comparison: Comparison, swept: Sequence[SweptCounts]) -> list[_Job]:
    """Choose the thresholds: each side's best one, then the one at which it covers as much as the first side's best."""
    if not swept:
        return [_Job(side, GIVEN, None) for side in range(len(comparison.sources))]
    jobs = [_Job(side, ORACLE, one.best_threshold) for side, one in enumerate(swept)]
    if len(swept) == 1:
        return jobs
    reference = swept[0]
    at = int(np.argmin(np.abs(reference.counts.thresholds - reference.best_threshold)))
    coverage = float(reference.counts.coverage[at])
    jobs.append(_Job(0, COVERAGE, reference.best_threshold))
    for side, one in enumerate(swept[1:], start=1):
        jobs.append(_Job(side, COVERAGE, float(one.counts.thresholds[one.counts.match(coverage)])))
    return jobs


def _count(
    comparison: Comparison,
    folder: StudyFolder,
    jobs: Sequence[_Job],
    size_edges: tuple[float, ...],
    boundary_share: float,
) -> list[Row]:
    """Count the label maps of all rows, shared out over the processes."""

    def make_row(job: _Job) -> Row:
        source = comparison.sources[job.side]
        name = "masks.json" if job.threshold is None else f"at_{job.threshold:.3f}.json"
        counts = count_source(
            source,
            comparison.reader,
            folder.results / source.key / name,
            threshold=job.threshold,
            size_edges=size_edges,
            boundary_share=boundary_share,
        )
        return Row(source.label, job.choice, job.threshold, counts)

    with show_progress("counting") as tick:
        for done, job in enumerate(jobs[rank() :: world_size()], start=1):
            make_row(job)
            tick(done * world_size(), len(jobs))
    wait_for_all()
    return [make_row(job) for job in jobs]


def _describe(comparison: Comparison) -> str:
    tags = "tags given" if comparison.given_tags else "no tags"
    sides = len(comparison.sources)
    whose = comparison.sources[0].label if sides == 1 else f"{sides} runs"
    what = "seeds during RIB" if comparison.subject == "adaptations" else f"{comparison.subject} of {whose}"
    return f"{what[0].upper()}{what[1:]} on {comparison.dataset.split}, {len(comparison.dataset)} images, {tags}"


def _make_notes(comparison: Comparison, first: Row, layout: Layout, boundary_share: float) -> tuple[str, ...]:
    dataset = comparison.dataset
    notes = [
        f"{dataset.name} {dataset.split}; void pixels left out; one count over all images. mIoU includes the "
        "background, nothing else does",
        "IoU, over, wrong class, under and boundary IoU are means over the classes: IoU = 100 - over - under; "
        "wrong class is the part of over that has another class",
        "precision, recall, IoU by size and recall of parts are those of all pixels with a class together",
        f"boundaries are {100 * boundary_share:g} % of the diagonal wide",
    ]
    if comparison.has_threshold:
        notes.append(
            f"{ORACLE}: each side at the threshold that is best for it on these very images; {COVERAGE}: each at the "
            f"threshold at which it covers as much of the images as {comparison.sources[0].label} at its best one"
        )
    numbers = zip(layout.sizes, count_sizes(first.counts), strict=True)
    shown = ", ".join(f"{column.heading.removeprefix('IoU ')}: {count}" for column, count in numbers)
    notes.append(f"true objects by the share of the image they cover: {shown}")
    return tuple(notes)
