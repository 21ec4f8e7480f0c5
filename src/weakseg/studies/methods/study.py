"""Study `methods`: every method's classifier and seeds, and every refinement of them, with several seeds.

Every classifier makes the same number of updates on batches of the same size. `docs/study_methods.md` shows what comes
out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.errors import UsageError
from weakseg.files import JsonValue
from weakseg.ops.superpixels import ADVICE, can_find_superpixels
from weakseg.pipeline.refiner_files import lacks_folder
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.predict.outlines import OutlineOptions, make_outlines
from weakseg.studies.choices import choose_names, choose_seeds, choose_thresholds, require_distinct, require_split
from weakseg.studies.folder import (
    Study,
    StudyFolder,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
    flatten_settings,
)
from weakseg.studies.methods.figure import SIZE_IN, draw_methods
from weakseg.studies.methods.fixed import is_automatic
from weakseg.studies.methods.hours import tell_hours
from weakseg.studies.methods.measure import CLASS_AGNOSTIC, Task, list_passes, measure_method
from weakseg.studies.methods.offers import open_offers
from weakseg.studies.methods.rows import METHODS, configure_method, usual_methods
from weakseg.studies.methods.runs import REFINEMENTS, SeedRuns, restrict_config, with_seed
from weakseg.studies.methods.scores import require_truth, scored_split
from weakseg.studies.methods.sources import require_backbone, require_sources
from weakseg.studies.methods.table import Extent, make_differences, make_table
from weakseg.studies.spread import Measured
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

VERSION = 2
"""Raised when the results change for the same settings. 2 never averages maps of a row that is not called so."""


@dataclass(frozen=True)
class Saving:
    """What makes a study affordable.

    Args:
        images: So many images of each split get seeds and masks; all if None.
        learn_from: Methods on whose seeds refiners train their networks; all when there are none.
        runs: Finished runs whose classifiers may be taken where all their settings agree.
        estimate: Whether to tell beforehand how long the study takes, by trying each of its parts.
    """

    images: int | None = None
    learn_from: Sequence[str] = ()
    runs: Sequence[Path] = ()
    estimate: bool = False


NO_SAVING = Saving()


def study_methods(
    config: RunConfig,
    request: StudyRequest,
    *,
    methods: Sequence[str] = (),
    masks: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    thresholds: Sequence[float] = (),
    split: str = "train",
    saving: Saving = NO_SAVING,
) -> Study:
    """Train every method with the same budget and score its seeds and masks.

    What trains nothing but CAM's classifier comes first, and has a table of its own until the whole one is there. What
    an interrupted study, or one of fewer methods, masks, seeds or thresholds, has computed is used again.

    Args:
        config: The resolved recipe; its sections hold the settings of all methods and refinements. Where its background
            threshold is `auto`, the table also tells what that takes.
        request: Where and how; the study's name is `methods` unless it has another.
        methods: Names in `METHODS`; see `usual_methods` when there are none.
        masks: Names in `REFINEMENTS`; when there are none, all but those whose files the recipe does not name.
        seeds: Each is a seed of networks and generated images alike.
        thresholds: Background thresholds of the CRF; the usual multiples of the recipe's when there are none. The
            recipe's is always among them. None where it is `auto`.
        split: `train` or `val`: the images whose seeds and masks are scored.
        saving: What makes it affordable.

    Returns:
        Files and table.

    Raises:
        UsageError: If a method, a refinement, a seed, a threshold, the split or the name cannot be, or one is given
            twice.
        ConfigError: If the recipe cannot be, or the study was made with other settings.
        ArtifactError: If weights to begin with, or a run's classifier, are not there.
        DataError: If the data cannot be read, or no tagged image of the split has a truth mask.
    """
    chosen = choose_names("--methods", methods or usual_methods(config), METHODS)
    refinements = _choose_masks(config, masks)
    seeds = choose_seeds(seeds)
    require_split(config, split)
    folder = find_study_folder(request, default_name="methods")
    config = restrict_config(absolute_paths(config), split=split)
    task = Task(refinements, _choose_thresholds(config, thresholds), split, _choose_learners(saving, chosen))
    if saving.images is not None and saving.images < 1:
        raise UsageError(f"--images: expected at least 1, got {saving.images}")
    offers = open_offers(saving.runs)
    for name in chosen:
        configure_method(config, name)  # what is wrong is found before hours of training
    stands_in = CLASS_AGNOSTIC in refinements and lacks_folder(config.refine, CLASS_AGNOSTIC)
    require_backbone(config, refinements)
    require_sources(config, [name for name in refinements if not (stands_in and name == CLASS_AGNOSTIC)])
    plan = _plan(config, request, task, saving, seed=seeds[0])
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        begin_study(folder, plan, redo=request.redo)
        opened = []
        for seed in seeds:
            root, own = folder.results / f"seed-{seed}", with_seed(config, seed)
            # Generated images of another seed are others under the same names.
            own = _with_superpixels(own, root / "superpixels") if stands_in else own
            opened.append(SeedRuns(own, root, images=saving.images, offers=offers))
        for runs in opened:
            require_truth(runs.context, split=split)
        if saving.estimate:
            tell_hours(opened, chosen, task)
        if stands_in:
            for runs in opened:
                _make_superpixels(runs, split)
        extent = Extent(saving.images, stands_in)
        *first, whole = list_passes(config, chosen, task)
        for names, part in first:
            measured = _measure(opened, names, part)
            _write(folder, plan, config, measured, part, seeds, extent, goes_on=True)
            logger.info("%s has what trains nothing but CAM's classifier; the rest follows", folder.table)
        names, part = whole
        return _write(folder, plan, config, _measure(opened, names, part), part, seeds, extent)


def _measure(opened: Sequence[SeedRuns], names: Sequence[str], task: Task) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {name: [] for name in names}
    for runs in opened:
        for name in names:
            logger.info("seed %d, %s", runs.context.config.runtime.seed, METHODS[name].label)
            measured[name].append(measure_method(runs, name, task))
    return measured


def _write(
    folder: StudyFolder,
    plan: StudyPlan,
    config: RunConfig,
    measured: Mapping[str, Sequence[Measured]],
    task: Task,
    seeds: Sequence[int],
    extent: Extent,
    *,
    goes_on: bool = False,
) -> Study:
    table = make_table(config, measured, task, seeds, extent)
    return finish_study(
        folder,
        plan,
        table,
        draw=lambda figure: draw_methods(figure, table),
        size_in=SIZE_IN,
        details=make_differences(config, measured, task, seeds),
        goes_on=goes_on,
    )


def _choose_masks(config: RunConfig, masks: Sequence[str]) -> tuple[str, ...]:
    """Return the refinements that were asked for, or all that can be; tells which cannot."""
    if masks:
        return choose_names("--masks", masks, REFINEMENTS)
    possible = []
    for name in REFINEMENTS:
        if not lacks_folder(config.refine, name):
            possible.append(name)
        elif name == CLASS_AGNOSTIC and is_automatic(config):
            if can_find_superpixels():
                possible.append(name)
            else:
                logger.warning("merge is left out: it needs refine.merge.folder, or superpixels (%s)", ADVICE)
        else:
            logger.info("%s is left out: the recipe names no folder of the files that it reads", name)
    return choose_names("--masks", possible, REFINEMENTS)


def _choose_thresholds(config: RunConfig, thresholds: Sequence[float]) -> tuple[float, ...]:
    if not is_automatic(config):
        return choose_thresholds(config, thresholds)
    if thresholds:
        raise UsageError(
            "--thresholds: refine.background_threshold is 'auto', whose own candidates are tried; leave them out, or "
            "set it to a number"
        )
    return ()


def _choose_learners(saving: Saving, chosen: Sequence[str]) -> tuple[str, ...] | None:
    """Return the methods on whose seeds networks are trained; None for all."""
    for name in saving.learn_from:
        if name not in chosen:
            raise UsageError(f"--learn-from: expected some of the methods {', '.join(chosen)}, got '{name}'")
    require_distinct("--learn-from", saving.learn_from)
    return tuple(saving.learn_from) or None


def _make_superpixels(runs: SeedRuns, split: str) -> None:
    """Write superpixels, which stand in for a large model's masks: what `merge` gains by them is a lower bound."""
    folder = runs.context.config.refine.merge.folder
    assert folder is not None, "see `_with_superpixels`"
    if rank() == 0:
        make_outlines([scored_split(runs.context, split)], Path(folder), OutlineOptions(method="superpixels"))
    wait_for_all()


def _with_superpixels(config: RunConfig, folder: Path) -> RunConfig:
    path = folder.absolute()
    path.mkdir(parents=True, exist_ok=True)
    merge = replace(config.refine.merge, folder=str(path))
    return replace(config, refine=replace(config.refine, merge=merge))


def _plan(config: RunConfig, request: StudyRequest, task: Task, saving: Saving, *, seed: int) -> StudyPlan:
    plan = plan_study("methods", VERSION, config, request.command, split=task.split, seed=seed)
    return replace(plan, settings={**plan.settings, "images": saving.images})


def plan_study(
    name: str, version: int, config: RunConfig, command: str, *, split: str, seed: int, varied: Sequence[str] = ()
) -> StudyPlan:
    """Return the plan of a study of methods: every setting of the recipe but those that it sets itself.

    Args:
        name: Name of the study.
        version: See `StudyPlan`.
        config: The recipe, see `restrict_config`.
        command: The command line.
        split: The images that are scored.
        seed: The first seed.
        varied: Dotted names of further settings that the study sets itself.
    """
    settings: dict[str, JsonValue] = {"split": split}
    for section in ("data", "classifier", "localize", "refine", "evaluate"):
        settings |= flatten_settings(section, to_plain(getattr(config, section)))
    own = ("data.critters.seed", "classifier.method", "classifier.cda.masks", "localize.method", "refine.method")
    for setting in (*own, *varied):
        del settings[setting]
    return StudyPlan(name, version, command, seed, settings, to_plain(config))
