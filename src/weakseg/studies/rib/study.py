"""Study `rib`: what one setting of RIB does to the seeds, everything else held fast.

CAM and every value localise the same images with the same partners; thresholds are swept against the truth.
`docs/studies.md` shows what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from weakseg.config.load import to_plain
from weakseg.config.paths import absolute_paths
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.errors import ConfigError, DataError, UsageError
from weakseg.files import JsonValue
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.networks import load_classifier
from weakseg.pipeline.runtime import choose_device, joined_processes, make_deterministic
from weakseg.studies.choices import SPLITS
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
from weakseg.studies.rib.figure import SIZE_IN, draw_rib
from weakseg.studies.rib.passes import Pass, run_pass
from weakseg.studies.rib.table import CAM, Row, make_table
from weakseg.studies.rib.values import Sweep, find_sweep, resolve_values
from weakseg.studies.trained_run import ensure_classifier
from weakseg.studies.truth_images import choose_images
from weakseg.train.distributed import wait_for_all

VERSION = 1
"""Raised when the results change for the same settings."""


def study_rib(
    config: RunConfig,
    request: StudyRequest,
    *,
    over: str,
    values: Sequence[str] = (),
    images: int,
    split: str,
) -> Study:
    """Vary one setting of RIB and score the seeds of some images at each value.

    What an interrupted study, or one of fewer values or images, has computed is used again.

    Args:
        config: The resolved recipe; its section `localize.rib` holds all other settings.
        request: Where and how; the study's name is `rib-<over>` unless it has another.
        over: What to vary: `K`, `threshold`, `lr`, `margin` or `pooling`.
        values: Its values as typed; the usual ones when there are none.
        images: Number of images, see `choose_images`.
        split: `train` or `val`, as the recipe names them.

    Returns:
        Files and table.

    Raises:
        UsageError: If `over`, `split`, `images` or the name cannot be.
        ConfigError: If a value cannot be, the recipe lacks the split, or the study or the classifier in the run was
            made with other settings.
        ArtifactError: If the run lacks a classifier and must not train one.
        DataError: If no tagged image of the split has a truth mask.
    """
    sweep = find_sweep(over)
    if split not in SPLITS:
        raise UsageError(f"--split: expected one of {', '.join(SPLITS)}, got '{split}'")
    if images < 1:
        raise UsageError(f"--images: expected at least 1, got {images}")
    folder = find_study_folder(request, default_name=f"rib-{over}")
    configs = resolve_values(config, sweep, values)
    make_deterministic()
    with joined_processes(choose_device(config.runtime.device)):
        context = prepare(absolute_paths(config), RunFolder(request.run))
        dataset = _choose_split(context, split)
        faults: set[str] = set()
        chosen = choose_images(dataset, images=images, faults=faults)
        if not chosen.samples:
            raise DataError(
                f"{dataset.name} {split}: no tagged image has a truth mask that can be used, so nothing can be scored; "
                "choose another --split, or a data set with masks"
            )
        fingerprint = ensure_classifier(context, may_train=request.may_train)
        plan = _plan(context, sweep, split, fingerprint, request.command)
        begin_study(folder, plan, redo=request.redo)
        rows = _plan_rows(folder, config, sweep, configs)
        _run_passes(context, dataset, chosen, rows)
        table = make_table(chosen, rows, sweep, config, faults=faults)
        return finish_study(folder, plan, table, draw=lambda figure: draw_rib(figure, table, sweep), size_in=SIZE_IN)


def _choose_split(context: Context, split: str) -> Dataset:
    dataset = context.train if split == "train" else context.val
    if dataset is None:
        raise ConfigError("--split val: the recipe has no validation split; set data.val, or use --split train")
    return dataset


def _plan(context: Context, sweep: Sweep, split: str, fingerprint: str, command: str) -> StudyPlan:
    config = context.config
    settings: dict[str, JsonValue] = {
        "over": sweep.name,
        "split": split,
        "data.max_side_px": config.data.max_side_px,
        "localize.scales": list(config.localize.scales),
        "runtime.seed": config.runtime.seed,
        "result of classify": fingerprint,
        **flatten_settings("localize.rib", to_plain(config.localize.rib)),
        **{f"images and tags of {name}": digest for name, digest in context.digests.items()},
    }
    if sweep.name != "K":  # all values of K come from one adaptation, whose learning rates depend on its length
        del settings[sweep.setting]
    return StudyPlan("rib", VERSION, command, config.runtime.seed, settings, to_plain(config))


def _plan_rows(folder: StudyFolder, config: RunConfig, sweep: Sweep, configs: Mapping[str, RunConfig]) -> list[Row]:
    cam = replace(config, localize=replace(config.localize, method="cam"))
    rows = [Row(CAM, Pass(folder.results / "cam", cam))]
    if sweep.name == "K":
        rib = replace(config, localize=replace(config.localize, method="rib"))
        whole = Pass(folder.results / "rib", rib, keeps_steps=True)
        return rows + [Row(text, whole, limit=int(text)) for text in configs]
    return rows + [Row(text, Pass(folder.results / text, changed)) for text, changed in configs.items()]


def _run_passes(context: Context, dataset: Dataset, chosen: Dataset, rows: Sequence[Row]) -> None:
    classifier, _ = load_classifier(context.folder.network("classifier").model, context.device)
    passes = {row.source.folder: row.source for row in rows}
    for number, one in enumerate(passes.values(), start=1):
        label = f"pass {number} of {len(passes)} ({one.folder.name})"
        run_pass(context, classifier, dataset, chosen, one, label=label)
    wait_for_all()  # the table is made of what all processes have written
