"""Study `methods`: every method's classifier and seeds, and every refinement of them, with several seeds.

Every classifier makes the same number of updates on batches of the same size. `docs/study_methods.md` shows what comes
out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.files import JsonValue
from weakseg.pipeline.refiner_files import lacks_folder
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.studies.choices import choose_names, choose_seeds, choose_thresholds, require_split
from weakseg.studies.folder import (
    Study,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
    flatten_settings,
)
from weakseg.studies.methods.figure import SIZE_IN, draw_methods
from weakseg.studies.methods.runs import (
    METHODS,
    OTHER_REFINEMENTS,
    REFINEMENTS,
    Refinement,
    SeedRuns,
    configure_method,
    count_updates,
    restrict_config,
    stage_seconds,
    usual_methods,
    with_seed,
)
from weakseg.studies.methods.scores import (
    MethodScore,
    classifier_map,
    require_truth,
    score_masks,
    score_seeds,
    score_walked,
)
from weakseg.studies.methods.sources import require_backbone, require_sources
from weakseg.studies.methods.table import make_table
from weakseg.studies.spread import Measured

logger = logging.getLogger("weakseg")

VERSION = 1
"""Raised when the results change for the same settings."""


def study_methods(
    config: RunConfig,
    request: StudyRequest,
    *,
    methods: Sequence[str] = (),
    masks: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    thresholds: Sequence[float] = (),
    split: str = "train",
) -> Study:
    """Train every method with the same budget and score its seeds and masks.

    What an interrupted study, or one of fewer methods, masks, seeds or thresholds, has computed is used again.

    Args:
        config: The resolved recipe; its sections hold the settings of all methods and refinements.
        request: Where and how; the study's name is `methods` unless it has another.
        methods: Names in `METHODS`; when there are none, all but those that need no classifier.
        masks: Names in `REFINEMENTS`; when there are none, all but those whose files the recipe does not name.
        seeds: Each is a seed of networks and generated images alike.
        thresholds: Background thresholds of the CRF; the usual multiples of the recipe's when there are none. The
            recipe's is always among them.
        split: `train` or `val`: the images whose seeds and masks are scored.

    Returns:
        Files and table.

    Raises:
        UsageError: If a method, a refinement, a seed, a threshold, the split or the name cannot be, or one is given
            twice.
        ConfigError: If the recipe cannot be, or the study was made with other settings.
        ArtifactError: If weights to begin with are not there.
        DataError: If the data cannot be read, or no tagged image of the split has a truth mask.
    """
    chosen = choose_names("--methods", methods or usual_methods(), METHODS)
    possible = [name for name in REFINEMENTS if not lacks_folder(config.refine, name)]
    refinements = choose_names("--masks", masks or possible, REFINEMENTS)
    seeds = choose_seeds(seeds)
    require_split(config, split)
    folder = find_study_folder(request, default_name="methods")
    config = restrict_config(absolute_paths(config), split=split)
    candidates = choose_thresholds(config, thresholds)
    for name in chosen:
        configure_method(config, name)  # what is wrong is found before hours of training
    require_backbone(config, refinements)
    require_sources(config, refinements)
    plan = plan_study("methods", VERSION, config, request.command, split=split, seed=seeds[0])
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        begin_study(folder, plan, redo=request.redo)
        measured: dict[str, list[Measured]] = {name: [] for name in chosen}
        for seed in seeds:
            runs = SeedRuns(with_seed(config, seed), folder.results / f"seed-{seed}")
            require_truth(runs.context, split=split)
            for name in chosen:
                logger.info("seed %d, %s", seed, METHODS[name].label)
                measured[name].append(measure_method(runs, name, refinements, candidates, split=split))
        table = make_table(config, measured, refinements, seeds, candidates, split=split)
        return finish_study(folder, plan, table, draw=lambda figure: draw_methods(figure, table), size_in=SIZE_IN)


def measure_method(
    runs: SeedRuns, name: str, refinements: Sequence[str], thresholds: Sequence[float], *, split: str
) -> Measured:
    """Make and score the runs of one method with one seed.

    Args:
        runs: The runs of the seed.
        name: The method.
        refinements: What to make of its seeds.
        thresholds: Background thresholds of the CRF.
        split: The images that are scored.

    Returns:
        By the names that `weakseg.studies.methods.table` gives to measures.
    """
    context, truth_digest = runs.seeds(name), runs.digest_truth(split)
    seeds = score_seeds(context, split=split, truth_digest=truth_digest)
    found: dict[str, float | None] = {
        "images": seeds.images,
        "updates": count_updates(context),
        "map": classifier_map(context),
        **_score("seeds", seeds),
        "classify_s": stage_seconds(context, "classify"),
        "localize_s": stage_seconds(context, "localize"),
    }
    if "crf" in refinements:
        found |= measure_crf(runs, name, thresholds, split=split)
    if "psa" in refinements:
        psa = runs.masks(name, Refinement("psa"))
        found |= {
            "psa": score_masks(psa, split=split, truth_digest=truth_digest).mean_iou,
            "psa_s": stage_seconds(psa, "refine"),
        }
    if "irn" in refinements:
        irn = runs.masks(name, Refinement("irn"))
        found |= {
            **_score("irn", score_walked(irn, split=split, truth_digest=truth_digest)),
            "irn_fixed": score_masks(irn, split=split, truth_digest=truth_digest).mean_iou,
            "irn_s": stage_seconds(irn, "refine"),
        }
    for other in (refinement for refinement in refinements if refinement in OTHER_REFINEMENTS):
        context = runs.masks(name, Refinement(other))
        found |= {
            other: score_masks(context, split=split, truth_digest=truth_digest).mean_iou,
            f"{other}_s": stage_seconds(context, "refine"),
        }
    return found


def measure_crf(runs: SeedRuns, name: str, thresholds: Sequence[float], *, split: str) -> Measured:
    """Refine a method's seeds by the CRF at every threshold; the best one, and the recipe's own.

    Args:
        runs: The runs of the seed.
        name: The method.
        thresholds: Background thresholds, the recipe's among them.
        split: The images that are scored.
    """
    contexts = {threshold: runs.masks(name, Refinement("crf", threshold)) for threshold in thresholds}
    truth_digest = runs.digest_truth(split)
    scores = {
        threshold: score_masks(context, split=split, truth_digest=truth_digest)
        for threshold, context in contexts.items()
    }
    own = runs.donor_refinement().threshold
    assert own is not None, "a CRF has a threshold"
    best = max(scores, key=lambda threshold: (scores[threshold].mean_iou or 0.0, -threshold))
    return {
        **_score("crf", scores[best]),
        "crf_fixed": scores[own].mean_iou,
        "crf_s": stage_seconds(contexts[own], "refine"),
    }


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


def _score(name: str, score: MethodScore) -> Measured:
    return {name: score.mean_iou, f"{name}_threshold": score.threshold}
