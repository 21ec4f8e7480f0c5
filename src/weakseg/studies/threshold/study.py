"""Study `threshold`: background thresholds chosen without masks, beside the oracle and the fixed one.

Statistics look at tagged training images alone; the truth of a split then says what their choices are worth.
`docs/threshold.md` shows what comes out.
"""

from __future__ import annotations

from dataclasses import replace

from weakseg.config.chosen import has_threshold
from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, DataError, UsageError
from weakseg.files import JsonValue
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.judging import choose_judges
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.records import StageRecord, read_records
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.pipeline.seeds import require_training_seeds
from weakseg.refine.threshold.choice import CANDIDATES, USUAL, choose_in_rounds, choose_threshold
from weakseg.studies.folder import (
    Study,
    StudyPlan,
    StudyRequest,
    begin_study,
    find_study_folder,
    finish_study,
    flatten_settings,
)
from weakseg.studies.threshold.figure import SIZE_IN, draw_threshold
from weakseg.studies.threshold.passes import (
    AREA,
    CHOSEN,
    count_images,
    drop_outdated,
    judge_images,
    load_judgements,
    load_scores,
    open_statistics,
)
from weakseg.studies.threshold.table import Findings, make_details, make_table
from weakseg.studies.trained_run import require_classifier
from weakseg.train.distributed import wait_for_all

VERSION = 5
"""Raised when the results change for the same settings."""


def study_threshold(config: RunConfig, request: StudyRequest, *, images: int, split: str) -> Study:
    """Let every statistic choose the background threshold of a run's masks, and score what it takes.

    What an interrupted study, or one of fewer images, has computed is used again, but for images whose truth mask has
    changed since.

    Args:
        config: The run's recipe; its section `refine` says for which refinement.
        request: Where and how; the study's name is `threshold-<refinement>` unless it has another.
        images: At most so many images of the split are scored, evenly spaced; tagged or not.
        split: `train` or `val`, as the recipe names them.

    Returns:
        Files and table.

    Raises:
        UsageError: If split, number of images or name cannot be, or the refinement has no background threshold.
        ConfigError: If the training images have no seeds, or the study was made with other settings.
        ArtifactError: If seeds, or the network of the refinement, are missing or damaged.
        DataError: If no training image has a tag, or no image of the split a truth mask.
    """
    if split not in ("train", "val"):
        raise UsageError(f"--split: expected one of train, val, got '{split}'")
    if images < 1:
        raise UsageError(f"--images: expected at least 1, got {images}")
    method = config.refine.method
    if not has_threshold(config.refine):
        raise UsageError(f"the refinement '{method}' has no background threshold; choose another --refine.method")
    folder = find_study_folder(request, default_name=f"threshold-{method}")
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        context = prepare(absolute_paths(config), RunFolder(request.run))
        require_classifier(context)
        require_training_seeds(context, "the study")
        scored = _space_out(_find_split(context, split), images)
        localized = _require_localized(context)
        judges, candidates = choose_judges(context)
        plan = _plan(context, scored.split, request.command, localized=localized, candidates=candidates)
        judged = context.train.keep(sample.id for sample in judges)
        if not judged.samples:
            raise DataError(
                f"{judged.name} {judged.split}: thresholds are chosen on tagged images, but no image has a tag"
            )
        cutter = open_cutter(context)
        classifier, _ = load_classifier(context.folder.network("classifier").model, context.device)
        begin_study(folder, plan, redo=request.redo)
        fixed = config.refine.background_threshold
        fixed = USUAL if isinstance(fixed, str) else fixed
        thresholds = tuple(sorted({*CANDIDATES, fixed}))
        statistics = open_statistics(classifier)
        judge_images(context, judged, cutter, statistics, candidates, folder.results / "judged")
        faults: set[str] = set()
        drop_outdated(scored, folder.results / "scored")
        count_images(context, scored, cutter, thresholds, folder.results / "scored", faults=faults)
        wait_for_all()  # the table is made of what all processes have written
        mean_iou, counted = load_scores(scored, folder.results / "scored")
        if not counted:
            raise DataError(
                f"{scored.name} {split}: no image has a truth mask that can be used; choose another --split"
            )
        scores = {name: load_judgements(judged, name, folder.results / "judged") for name in statistics}
        areas = load_judgements(judged, AREA, folder.results / "judged")
        choices = {name: choose_threshold(rows, candidates, areas=areas) for name, rows in scores.items()}
        # `auto` leaves candidates out that lose early; the curve shows them all the same.
        found_by_auto = choose_in_rounds(scores[CHOSEN], candidates, areas=areas)
        choices[CHOSEN] = replace(choices[CHOSEN], threshold=found_by_auto.threshold)
        found = Findings(method, scored.split, counted, thresholds, mean_iou, choices, fixed, len(judged))
        return finish_study(
            folder,
            plan,
            make_table(found),
            draw=lambda figure: draw_threshold(figure, found),
            size_in=SIZE_IN,
            details=make_details(found),
        )


def _find_split(context: Context, split: str) -> Dataset:
    """Return the images of a split that have seeds."""
    wanted = context.train if split == "train" else context.val
    found = [dataset for dataset in seeded_datasets(context) if wanted is not None and dataset.split == wanted.split]
    if not found or not found[0].samples:
        raise UsageError(f"--split {split}: the run has no seeds of it; name it in localize.splits and localize it")
    return found[0]


def _space_out(dataset: Dataset, images: int) -> Dataset:
    count = min(images, len(dataset))
    return dataset.keep(dataset.samples[place * len(dataset) // count].id for place in range(count))


def _require_localized(context: Context) -> StageRecord:
    record = read_records(context.folder).get("localize")
    if record is None or not record.finished:
        root = context.folder.root
        raise ArtifactError(f"{root} has not finished the stage 'localize'; run 'weakseg run {root}' first")
    return record


def _plan(
    context: Context, split: str, command: str, *, localized: StageRecord, candidates: tuple[float, ...]
) -> StudyPlan:
    config = context.config
    method = config.refine.method
    settings: dict[str, JsonValue] = {
        "split": split,
        "refine.method": method,
        "refine.background_threshold": config.refine.background_threshold,
        "data.max_side_px": config.data.max_side_px,
        "runtime.seed": config.runtime.seed,
        "candidates": list(CANDIDATES),
        "tried candidates": list(candidates),
        "result of localize": localized.fingerprint,
        **{f"images and tags of {name}": digest for name, digest in context.digests.items()},
    }
    for section in dict.fromkeys(("crf", method) if method == "irn" else (method,)):
        if hasattr(config.refine, section):
            settings |= flatten_settings(f"refine.{section}", to_plain(getattr(config.refine, section)))
    return StudyPlan("threshold", VERSION, command, config.runtime.seed, settings, to_plain(config))
