"""`weakseg check`: looks at every file of a data set and reports all that is odd, before hours of training show it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from weakseg.checks.depth import judge_depth
from weakseg.checks.files import SampleFacts, inspect_sample
from weakseg.checks.findings import CheckReport, SplitReport
from weakseg.checks.names import judge_names
from weakseg.checks.text import render_check
from weakseg.data.base import Dataset, Problem, Severity
from weakseg.data.tag_files import NO_CLASS_FOLDER
from weakseg.errors import DataError
from weakseg.types import Sample

__all__ = ["CheckReport", "SplitReport", "check_dataset", "render_check"]

_MAX_THREADS = 8
_THREAD_NAME = "weakseg-check"
_RARE_FROM = 10  # in fewer images than these every class is rare
_SEVERITIES = ("error", "warning", "note")


def check_dataset(datasets: Sequence[Dataset], *, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Inspect every image and mask of some splits and judge whether one can train on the first.

    Never stops at a finding. Errors are: no readable image to train on, no class with both an image that is known to
    show it and one that is known not to, and splits whose classes differ. All else is a warning or a note.

    Args:
        datasets: The splits that belong together, the one to train on first, then those to evaluate on.
        progress: Called with (images done, images in total) after each image, in the caller's thread.

    Raises:
        DataError: If `datasets` is empty.
    """
    if not datasets:
        raise DataError("expected at least one split to check, got none")
    problems = [problem for dataset in datasets for problem in dataset.problems]
    facts: list[list[SampleFacts]] = [[] for _ in datasets]
    total = sum(len(dataset) for dataset in datasets)
    with closing(_inspect_all(datasets)) as inspected:  # closed at once when interrupted, which ends the threads
        for done, (number, sample_facts) in enumerate(inspected, start=1):
            facts[number].append(sample_facts)
            problems.extend(sample_facts.problems)
            if progress is not None:
                progress(done, total)
    problems.extend(judge_depth(datasets, facts))
    reports = [_summarise(dataset, found) for dataset, found in zip(datasets, facts, strict=True)]
    problems.extend(_find_duplicates(datasets, facts))
    problems.extend(_find_shared_ids(datasets))
    problems.extend(judge_names(datasets))
    problems.extend(_judge_training(datasets[0], reports[0], problems))
    for dataset, report in zip(datasets[1:], reports[1:], strict=True):
        problems.extend(_judge_evaluation(dataset, report, reports[0]))
    for dataset, report in zip(datasets, reports, strict=True):
        problems.extend(_judge_masks(dataset, report))
    distinct = dict.fromkeys(problems)  # two splits of one folder report the same findings about it
    ordered = sorted(distinct, key=lambda problem: (_SEVERITIES.index(problem.severity), problem.kind))
    return CheckReport(tuple(reports), tuple(ordered))


def _inspect_all(datasets: Sequence[Dataset]) -> Generator[tuple[int, SampleFacts], None, None]:
    """Yield the facts of all samples in order, with the number of their data set."""
    tasks = [(number, dataset, sample) for number, dataset in enumerate(datasets) for sample in dataset]
    pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1), thread_name_prefix=_THREAD_NAME)
    try:
        results = pool.map(lambda task: inspect_sample(task[1], task[2]), tasks)
        for (number, _, _), result in zip(tasks, results, strict=True):
            yield number, result
    finally:
        pool.shutdown(cancel_futures=True)  # without it, threads go on to the last file


def _summarise(dataset: Dataset, facts: Sequence[SampleFacts]) -> SplitReport:
    usable = [sample for sample, found in zip(dataset, facts, strict=True) if found.image.problem is None]
    readable = [found.image for found in facts if found.image.problem is None]
    shape = (len(usable), len(dataset.classes))
    tags = np.array([sample.tags for sample in usable], np.float64).reshape(shape)
    known = np.array([sample.known for sample in usable], np.bool_).reshape(shape)
    return SplitReport(
        name=dataset.name,
        split=dataset.split,
        classes=dataset.classes,
        num_images=len(dataset),
        num_readable=len(usable),
        num_masks=sum(found.has_mask for found in facts),
        positives=(tags > 0).sum(axis=0, dtype=np.int64),
        negatives=(known & (tags == 0)).sum(axis=0, dtype=np.int64),
        unknown=(~known).sum(axis=0, dtype=np.int64),
        cooccurrence=np.rint(tags.T @ tags).astype(np.int64),
        formats=tuple(Counter(image.format for image in readable).most_common()),
        modes=tuple(Counter(image.mode for image in readable).most_common()),
    )


def _find_duplicates(datasets: Sequence[Dataset], facts: Sequence[Sequence[SampleFacts]]) -> list[Problem]:
    """Find images with the same bytes, within a split and across splits."""
    holders: defaultdict[str, list[tuple[Dataset, Sample]]] = defaultdict(list)
    for dataset, found in zip(datasets, facts, strict=True):
        for sample, sample_facts in zip(dataset, found, strict=True):
            if sample_facts.image.problem is None:
                holders[sample_facts.image.digest].append((dataset, sample))
    problems = []
    for (first_home, first), *others in (group for group in holders.values() if len(group) > 1):
        for home, sample in others:
            tags = "the same tags" if _same_tags(first, sample) else "OTHER TAGS"
            what = f"the same file content as '{first.id}' of split '{first_home.split}', with {tags}"
            if home is first_home:
                problems.append(Problem("warning", "same-content", sample.id, f"{what}; remove one of them"))
            else:
                message = f"in split '{home.split}': {what}; scores on '{home.split}' will be too good"
                problems.append(Problem("warning", "shared-image", sample.id, message))
    return problems


def _same_tags(one: Sample, other: Sample) -> bool:
    return np.array_equal(one.tags, other.tags) and np.array_equal(one.known, other.known)


def _find_shared_ids(datasets: Sequence[Dataset]) -> list[Problem]:
    """Find different images of two splits that a run could not tell apart, since its files are named by id."""
    paths: dict[str, tuple[Path, str]] = {}
    problems = []
    for dataset in datasets:
        for sample in dataset:
            path, split = paths.setdefault(sample.id, (sample.image_path, dataset.split))
            if path != sample.image_path:
                message = f"another image of split '{split}' has this id too ({path}); rename {sample.image_path}"
                problems.append(Problem("warning", "same-id", sample.id, message))
    return problems


def _judge_training(dataset: Dataset, report: SplitReport, problems: Sequence[Problem]) -> list[Problem]:
    where = f"split '{report.split}'"
    if report.num_readable == 0:
        return [Problem("error", "no-images", where, "it has no readable image to train on")]
    reported = {problem.where for problem in problems if problem.kind == "untagged"}
    untagged = [sample.id for sample in dataset if not sample.known.any() and sample.id not in reported]
    found = [Problem("warning", "untagged", key, "nothing is known about its classes") for key in untagged]
    teachable = (report.positives > 0) & (report.negatives > 0)
    severity: Severity = "warning" if teachable.any() else "error"
    for name, shown, absent in zip(report.classes, report.positives, report.negatives, strict=True):
        if shown == 0:
            message = f"no readable image of {where} shows '{name}'; it cannot be learnt"
            found.append(Problem(severity, "no-positives", name, message))
        if shown == 1 and report.num_readable >= _RARE_FROM:
            message = f"a single readable image of {where} shows '{name}'; that image is learnt, not the class"
            found.append(Problem("warning", "one-positive", name, message))
        if absent == 0:
            message = (
                f"no readable image of {where} is known not to show '{name}', so that nothing tells what it is not; "
                f"add such images (for a folder per class: to {NO_CLASS_FOLDER}/), write a tags.csv, or, if each "
                "photograph shows only its folder's class, add --data.only_folder_class true"
            )
            found.append(Problem(severity, "no-negatives", name, message))
    return found


def _judge_evaluation(dataset: Dataset, report: SplitReport, training: SplitReport) -> list[Problem]:
    where = f"split '{report.split}'"
    if report.classes.names != training.classes.names:
        message = f"its classes differ from those of split '{training.split}'; write one classes.txt for both"
        return [Problem("error", "classes-differ", where, message)]
    if report.num_readable == 0:
        return [Problem("warning", "no-images", where, "it has no readable image to evaluate on")]
    missing = [name for name, count in zip(report.classes, report.positives, strict=True) if count == 0]
    return [
        Problem("note", "no-positives", name, f"no readable image of {where} shows it; its scores will be NaN")
        for name in missing
    ]


def _judge_masks(dataset: Dataset, report: SplitReport) -> list[Problem]:
    if dataset.mask_reader is None or report.num_masks > 0:
        return []
    message = "no readable image has a truth mask, although there is a folder for them; they are named <id>.png"
    return [Problem("warning", "no-masks", f"split '{report.split}'", message)]
