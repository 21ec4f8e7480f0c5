"""How long a study of methods will take: its parts tried on a few images, times how often each is still to be done.

The parts are those of `weakseg.estimate`. What an earlier start has finished is not counted.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.config.chosen import localizer_facts
from weakseg.estimate.costs import PartCost, total_time
from weakseg.estimate.parts import ImageWork, Part, image_part, try_parts
from weakseg.estimate.stages import plan_parts
from weakseg.estimate.trial import Trial, count_tagged, open_trial, write_seeds
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.records import read_records
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.pipeline.telling import format_duration
from weakseg.studies.methods.fixed import fixed_threshold, is_automatic
from weakseg.studies.methods.measure import CLASS_AGNOSTIC, Task, has_own_threshold, trains
from weakseg.studies.methods.offers import find_offer
from weakseg.studies.methods.rows import METHODS
from weakseg.studies.methods.runs import Refinement, SeedRuns
from weakseg.train.distributed import world_size

logger = logging.getLogger("weakseg")

PART_S = 5.0
"""Seconds that a part is tried for, in the mean."""

SWEPT = 8
"""So many thresholds a refiner is tried at where `auto` says them; the real number hangs on the seeds."""

FIRST_LOOK_SHARE = 1 / 6
"""What a localiser that looks at all training images first spends on one of them, of what CAM takes (docs/lpcam.md)."""


@dataclass(frozen=True)
class Chore:
    """Something that is done once for each of several runs.

    Args:
        label: What, for people.
        times: How often it is still to be done.
        context: A run that it is tried for.
        stage: Its stage.
        factor: By how much more it takes than its parts.
        swept: Whether it is a refinement at many thresholds.
        twice: Whether its last part is done a second time, for a score.
        first_looks: So many images are looked at first, each for a share of CAM's time.
    """

    label: str
    times: int
    context: Context
    stage: str
    factor: float = 1.0
    swept: bool = False
    twice: bool = False
    first_looks: int = 0


def tell_hours(seeds: Sequence[SeedRuns], methods: Sequence[str], task: Task) -> None:
    """Try every part of a study on a few images and log how long all of it takes; not where several processes work.

    Args:
        seeds: The runs of each seed.
        methods: The rows.
        task: What is measured.
    """
    if world_size() > 1:
        logger.info("how long it takes is not told beforehand, since several processes share the work")
        return
    chores = [chore for chore in list_chores(seeds, methods, task) if chore.times]
    if not chores:
        return
    started_s = time.monotonic()
    logger.info("trying each part for a few seconds, to tell how long all of it takes; --estimate false leaves it out")
    with _silent():
        found = [(chore, _try(chore)) for chore in chores]
    total_s = 0.0
    for chore, (time_s, fault) in found:
        told = f"cannot be tried: {fault}" if time_s is None else format_duration(time_s * chore.times)
        logger.info("  %s: %d x, %s", chore.label, chore.times, told)
        total_s += 0.0 if time_s is None else time_s * chore.times
    logger.info(
        "about %s in all (%.1f h), told in %.0f s; stop at any time: the same command goes on where it was",
        format_duration(total_s),
        total_s / 3600,
        time.monotonic() - started_s,
    )


def list_chores(seeds: Sequence[SeedRuns], methods: Sequence[str], task: Task) -> list[Chore]:
    """Name what a study does, and how often it is still to be done."""
    base = seeds[0].context
    chores = []
    for name in _with_sources(methods):
        method, config = METHODS[name], METHODS[name].configure(base.config)
        own = replace(base, config=config)
        if method.classifier_of is None:
            times = sum(not _has(runs, name, "classify") and not _is_offered(runs, name) for runs in seeds)
            # CDA's steps are twice as many as its images say: half of each batch are pasted twins.
            twins = 2.0 if method.name == "cda" else 1.0
            chores.append(Chore(f"classifier {method.label}", times, replace(own, only=None), "classify", twins))
        times = sum(not _has(runs, name, "localize") for runs in seeds)
        facts = localizer_facts(config.localize)
        if method.averages is not None and facts is not None and not facts.smooths:
            # What is averaged is there; what is left is a pass through the trunk, as CAM takes one.
            own = replace(own, config=replace(config, localize=replace(config.localize, method="cam")))
        looks = len(base.train) if facts is not None and facts.files and method.averages is None else 0
        chores.append(Chore(f"seeds {method.label}", times, own, "localize", first_looks=looks))
    for refinement in task.refinements:
        chores.append(
            _refinement_chore(base, seeds, [n for n in methods if refinement in task.refinements_of(n)], refinement)
        )
    return chores


def _refinement_chore(base: Context, seeds: Sequence[SeedRuns], methods: Sequence[str], refinement: str) -> Chore:
    automatic, fixed = is_automatic(base.config), fixed_threshold(base.config)
    swept = automatic and has_own_threshold(refinement) and not trains(refinement) and refinement != CLASS_AGNOSTIC
    refine = replace(base.config.refine, method=refinement, background_threshold=fixed)
    own = replace(base, config=replace(base.config, refine=refine))
    if swept:
        name = Refinement(refinement).name
        pending = [
            not (runs.context.folder.root / f"{m}-{name}" / "time-refine.json").is_file()
            for runs in seeds
            for m in methods
        ]
    else:
        pending = [not _has_masks(runs, m, refinement) for runs in seeds for m in methods]
    return Chore(f"masks {refinement}", sum(pending), own, "refine", swept=swept, twice=refinement == "irn")


def _with_sources(methods: Sequence[str]) -> list[str]:
    """Return the methods, and before them those whose classifier or seeds they use."""
    needed: list[str] = []
    for name in methods:
        method = METHODS[name]
        donors = ("cam",) if name.startswith("cda") else ()
        needed += [other for other in (method.classifier_of, method.averages, *donors) if other is not None]
    return list(dict.fromkeys((*needed, *methods)))


def _has(runs: SeedRuns, name: str, stage: str) -> bool:
    record = read_records(RunFolder(runs.context.folder.root / name)).get(stage)
    return record is not None and record.finished


def _has_masks(runs: SeedRuns, name: str, refinement: str) -> bool:
    """Say whether a run of a method's masks is finished, at whatever threshold."""
    root = runs.context.folder.root
    return any(_has(runs, path.name, "refine") for path in root.glob(f"{name}-{refinement}*"))


def _is_offered(runs: SeedRuns, name: str) -> bool:
    config = METHODS[name].configure(runs.context.config)
    context = replace(runs.context, config=config, folder=RunFolder(runs.context.folder.root / name))
    return find_offer(context, runs.offers) is not None


def _try(chore: Chore) -> tuple[float | None, str]:
    """Return the seconds of a chore, and why not where there are none."""
    costs = _try_parts(chore)
    fault = next((cost.note for cost in costs if cost.time_s is None), "")
    if fault:
        return None, fault
    time_s = chore.factor * total_time(costs)
    if chore.first_looks:
        localize = replace(chore.context.config.localize, method="cam", similarity_temperature=None)
        cam = replace(chore.context, config=replace(chore.context.config, localize=localize))
        image_s = total_time(_try_parts(replace(chore, context=cam))) / max(1, count_tagged(cam))
        time_s += FIRST_LOOK_SHARE * chore.first_looks * image_s
    return time_s, ""


def _try_parts(chore: Chore) -> list[PartCost]:
    costs: list[PartCost] = []
    with tempfile.TemporaryDirectory(prefix="weakseg-hours-") as folder:
        trial = open_trial(replace(chore.context, folder=RunFolder(Path(folder))))
        parts = [part for part in plan_parts(trial) if part.stage == chore.stage]
        if chore.swept:
            parts = [_swept_part(trial)]
        elif chore.twice:
            parts += parts[-1:]
        factor = 2 if chore.context.config.localize.method == "rib" else 1  # it needs whole adaptations
        deadline_s = time.monotonic() + PART_S * len(parts) * factor
        try_parts(trial, parts, deadline_s=deadline_s, done=costs.append)
    return costs


def _swept_part(trial: Trial) -> Part:
    def prepare(trial: Trial) -> ImageWork:
        write_seeds(trial, trial.pool)
        cutter = open_cutter(trial.context)
        thresholds = [(place + 1) / (SWEPT + 2) for place in range(SWEPT)]

        def work(ids: Sequence[str], side_px: int | None) -> None:
            context = trial.training(ids, side_px)
            for sample in context.train:
                cutter(pair_with_seed(context, sample, context.train.load_image(sample)), thresholds)

        return work

    return image_part(
        "refine", f"masks at {SWEPT} thresholds", prepare, images=count_tagged(trial.context), memory=False
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what trials log to themselves: it is about stand-ins."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
