"""Study `context`: CAM against CDA on generated images whose backgrounds tell more or less of the animals in them.

Both classifiers make the same number of updates. `docs/study_methods.md` shows what comes out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError, UsageError
from weakseg.files import write_json
from weakseg.models.classifier import Classifier
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import open_splits
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.scoring.scores import number
from weakseg.studies.choices import choose_seeds, choose_thresholds, require_distinct, require_split
from weakseg.studies.context.figure import SIZE_IN, draw_context
from weakseg.studies.context.table import METHOD_NAMES, make_table
from weakseg.studies.folder import Study, StudyRequest, begin_study, find_study_folder, finish_study
from weakseg.studies.methods.measure import measure_crf
from weakseg.studies.methods.rows import configure_method
from weakseg.studies.methods.runs import SeedRuns, restrict_config, with_seed
from weakseg.studies.methods.scores import classifier_map, score_file, score_seeds
from weakseg.studies.methods.sources import require_sources
from weakseg.studies.methods.study import plan_study
from weakseg.studies.spread import Measured
from weakseg.train.classify import measure_map
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

USUAL_VALUES = (0.3, 0.6, 0.95)
"""Chances of the preferred context: little, critters' own, and nearly always."""

SETTING = "data.critters.p_context"

VERSION = 1
"""Raised when the results change for the same settings."""


def study_context(
    config: RunConfig,
    request: StudyRequest,
    *,
    values: Sequence[float] = (),
    seeds: Sequence[int] = (0, 1, 2),
    thresholds: Sequence[float] = (),
    split: str = "train",
) -> Study:
    """Train CAM's and CDA's classifier at several strengths of the context and score their seeds and masks.

    What an interrupted study, or one of fewer values, seeds or thresholds, has computed is used again.

    Args:
        config: The resolved recipe, on critters.
        request: Where and how; the study's name is `context` unless it has another.
        values: Chances that an image's context is the one its first animal prefers; `USUAL_VALUES` when there are none.
        seeds: Each is a seed of networks and generated images alike.
        thresholds: See `weakseg.studies.methods.study.study_methods`.
        split: `train` or `val`: the images whose seeds and masks are scored.

    Returns:
        Files and table.

    Raises:
        UsageError: If a value, a seed, a threshold, the split or the name cannot be, or one is given twice.
        ConfigError: If the recipe cannot be, or the study was made with other settings.
    """
    if config.data.name != "critters":
        raise ConfigError(f"data.name: only the context of critters can be chosen, got {config.data.name}")
    for value in values:
        if not 0 <= value <= 1:
            raise UsageError(f"--values: {SETTING} is a chance within 0..1, got {value:g}")
    require_distinct("--values", values)
    seeds = choose_seeds(seeds)
    require_split(config, split)
    folder = find_study_folder(request, default_name="context")
    config = restrict_config(absolute_paths(config), split=split)
    candidates = choose_thresholds(config, thresholds)
    configure_method(config, "cda")
    require_sources(config, ["crf"])
    chances = sorted(values or USUAL_VALUES)
    plan = plan_study("context", VERSION, config, request.command, split=split, seed=seeds[0], varied=(SETTING,))
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        begin_study(folder, plan, redo=request.redo)
        measured: dict[float, list[Measured]] = {chance: [] for chance in chances}
        for seed in seeds:
            for chance in chances:
                logger.info("seed %d, %s %g", seed, SETTING, chance)
                root = folder.results / f"seed-{seed}-{chance:.12g}"
                runs = SeedRuns(with_context(with_seed(config, seed), chance), root)
                measured[chance].append(_measure(runs, candidates, split=split))
        table = make_table(config, measured, seeds, candidates, split=split)
        return finish_study(folder, plan, table, draw=lambda figure: draw_context(figure, table), size_in=SIZE_IN)


def with_context(config: RunConfig, chance: float) -> RunConfig:
    """Return the recipe with a chance of the preferred context."""
    return replace(config, data=replace(config.data, critters=replace(config.data.critters, p_context=chance)))


def _measure(runs: SeedRuns, thresholds: Sequence[float], *, split: str) -> Measured:
    """Measure both methods and what CDA gains; by the names in `weakseg.studies.context.table`."""
    found: dict[str, float | None] = {}
    for name in METHOD_NAMES:
        context = runs.seeds(name)
        seeds = score_seeds(context, split=split, truth_digest=runs.digest_truth(split))
        crf = measure_crf(runs, name, thresholds, split=split)
        own = {
            "map": classifier_map(context),
            "map_free": free_map(context),
            "seeds": seeds.mean_iou,
            "crf": crf["crf"],
            "crf_fixed": crf["crf_fixed"],
        }
        found["images"] = seeds.images
        found |= {f"{name}_{key}": value for key, value in own.items()}
    for key in ("map", "map_free", "seeds", "crf", "crf_fixed"):
        with_cda, without = found[f"cda_{key}"], found[f"cam_{key}"]
        found[f"gain_{key}"] = None if with_cda is None or without is None else number(with_cda - without)
    return found


def free_map(context: Context) -> float | None:
    """Return a classifier's mean average precision where backgrounds tell nothing; None without a validation split.

    The images are those of the validation split, drawn anew with a chance of 0: with the same classes, since those are
    drawn before the context, in any of the contexts.
    """
    if context.val is None:
        return None
    path = score_file(context, "free")
    is_there = path.is_file()
    wait_for_all()  # every process has looked before rank 0 writes
    if not is_there:
        reached = measure_map(_load(context), _open_free(context), workers=0)
        if rank() == 0:
            write_json(path, {"map": number(reached)})
        wait_for_all()
    try:
        kept = decode_json(path.read_text(encoding="utf-8"))["map"]
        return None if kept is None else float(kept)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and start the study again") from None


def _load(context: Context) -> Classifier:
    return load_classifier(context.folder.network("classifier").model, context.device)[0]


def _open_free(context: Context) -> Dataset:
    data = context.config.data
    assert data.root is not None, "set by SeedRuns"
    critters = replace(data.critters, p_context=0.0, images=1)  # a data set has one training image at least
    root = Path(data.root).with_name("data-free")
    return open_splits(replace(data, root=str(root), critters=critters), context.folder)[-1]
