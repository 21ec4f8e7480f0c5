"""Study `corrections`: what correcting some masks is worth, by the review queue and by chance.

A simulated person gives the true masks of some training images; a run learns from them, and is scored on `val`.
`docs/corrections.md` shows what comes out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, ConfigError, DataError, UsageError
from weakseg.files import JsonValue, write_json
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.judges import ENOUGH_MASKS
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.scoring.truth import digest_truth
from weakseg.studies.choices import choose_names, require_distinct
from weakseg.studies.corrections.figure import SIZE_IN, draw_corrections
from weakseg.studies.corrections.person import ORDERS, list_correctable, order_images
from weakseg.studies.corrections.runs import (
    TWIN,
    Learnt,
    Step,
    list_steps,
    make_base,
    make_step,
    measure,
    tell_hours,
)
from weakseg.studies.corrections.table import make_table
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
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

VERSION = 1
"""Raised when the results change for the same settings."""

USUAL_COUNTS = ("0", "10", "25", "50", "100")

SECTIONS = ("data", "classifier", "localize", "refine", "segmenter", "evaluate")


def study_corrections(
    config: RunConfig,
    run: Path,
    request: StudyRequest,
    *,
    counts: Sequence[str] = USUAL_COUNTS,
    orders: Sequence[str] = ORDERS,
) -> Study:
    """Let a simulated person correct some masks, learn from them, and score what came of it.

    What an interrupted study, or one of fewer counts or orders, has made is used again.

    Args:
        config: The run's recipe, with other settings if wanted.
        run: The run whose masks are corrected. Nothing is written there unless the study goes there.
        request: Where and how; the study's name is `corrections` unless it has another.
        counts: Numbers of images, and `all` for the fully supervised twin. 0 is always among them.
        orders: Some of `ORDERS`.

    Returns:
        Files and table.

    Raises:
        UsageError: If a count, an order or the name cannot be, or one is given twice.
        ConfigError: If the recipe has no validation split or makes no masks of `train`, the run has learnt from
            corrections itself, or the study was made with other settings or true masks.
        ArtifactError: If a file is damaged.
        DataError: If there are fewer true masks than are to be corrected, or none to score by.
    """
    numbers, with_twin = _parse_counts(counts)
    orders = choose_names("--order", orders, ORDERS)
    if config.data.val is None or (config.data.name == "critters" and config.data.critters.val_images == 0):
        raise ConfigError("data.val: the study scores on the validation split, and the recipe has none; set it")
    source = RunFolder(run)
    if source.taught_index.is_file():
        raise ConfigError(f"{run} has learnt from corrections itself; start the study from a run that has not")
    folder = find_study_folder(request, default_name="corrections")
    config = _place_data(absolute_paths(config), folder)
    make_deterministic()
    steps = list_steps(orders, numbers, with_twin=with_twin)
    with joined_processes(choose_device(config.runtime.device)):
        begin_study(folder, _plan(config, request.command), redo=request.redo)
        tell_hours(config, folder.results, source, steps)
        base = make_base(config, folder.results, source)
        learnt, scored = _learn(base, folder, steps)
        table = make_table(config, learnt, name=base.train.name, val=_split(base), images=scored)
        return finish_study(
            folder,
            _plan(config, request.command),
            table,
            draw=lambda figure: draw_corrections(figure, learnt, title=table.title),
            size_in=SIZE_IN,
        )


def _learn(base: Context, folder: StudyFolder, steps: Sequence[Step]) -> tuple[list[Learnt], int]:
    """Make the run of every step; returns what came of them, and the number of images they were scored on."""
    faults: set[str] = set()
    val = base.val
    scored = 0 if val is None else sum(val.has_mask(sample) for sample in val)
    if not scored:
        raise DataError(f"no image of '{_split(base)}' has a true mask to score by; put some into masks/")
    images = list_correctable(base, faults)
    needed = max((step.count or 0 for step in steps), default=0)
    if needed > len(images):
        raise DataError(
            f"--counts: {needed} images are to be corrected, but only {len(images)} of the {len(base.train)} images of "
            f"'{base.train.split}' have a true mask; ask for fewer"
        )
    _require_truth(folder, base)
    ordered = {order: order_images(base, images, order) for order in dict.fromkeys(s.order for s in steps) if order}
    learnt = []
    for step in steps:
        logger.info("%s", _describe(step))
        context = make_step(base, folder.results, step, images, ordered.get(step.order, []))
        learnt.append(measure(context, step))
    return learnt, scored


def _parse_counts(counts: Sequence[str]) -> tuple[list[int], bool]:
    """Return the numbers of images ascending, and whether full supervision is asked for."""
    for word in counts:
        if word != TWIN and not word.isdecimal():
            raise UsageError(f"--counts: expected whole numbers from 0 on, or {TWIN}, got '{word}'")
    numbers = [int(word) for word in counts if word != TWIN]
    require_distinct("--counts", numbers)
    return sorted(numbers), TWIN in counts


def _place_data(config: RunConfig, folder: StudyFolder) -> RunConfig:
    """Return the recipe with one place for generated data, which all runs share."""
    if config.data.name != "critters" or config.data.root is not None:
        return config
    return replace(config, data=replace(config.data, root=str((folder.results / "data").absolute())))


def _plan(config: RunConfig, command: str) -> StudyPlan:
    settings: dict[str, JsonValue] = {"seed": config.runtime.seed, "corrected masks that judge": ENOUGH_MASKS}
    for section in SECTIONS:
        settings |= flatten_settings(section, to_plain(getattr(config, section)))
    return StudyPlan("corrections", VERSION, command, config.runtime.seed, settings, to_plain(config))


def _require_truth(folder: StudyFolder, base: Context) -> None:
    """Refuse to go on with true masks that have changed: corrections were made of them."""
    path = folder.results / "truth.json"
    digests = {dataset.split: digest_truth(dataset) for dataset in (base.train, base.val) if dataset is not None}
    is_known = path.is_file()
    wait_for_all()  # every process has looked before rank 0 writes
    if not is_known and rank() == 0:
        write_json(path, digests)
    wait_for_all()
    try:
        known = decode_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}); add --redo to make the study again") from None
    if known != digests:
        raise ConfigError(
            f"the true masks have changed since {folder.root} was begun; add --redo, or --name for another"
        )


def _split(context: Context) -> str:
    return "val" if context.val is None else context.val.split


def _describe(step: Step) -> str:
    if step.count is None:
        return "full supervision"
    return f"{step.count} corrected images, order {step.order}" if step.count else "no corrections"
