"""Running stages in a run folder: skip what is finished, go on with what was interrupted, stop at what has changed.

Under `torchrun` every process walks through the same decisions; only rank 0 writes the state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

from weakseg.config.load import to_yaml
from weakseg.errors import ArtifactError, ConfigError, WeaksegError
from weakseg.files import write_text
from weakseg.log_form import format_time, stage_event, within_stage
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.claims import Claim
from weakseg.pipeline.context import Context
from weakseg.pipeline.file_index import ChangeWatch
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.lock import hold_folder
from weakseg.pipeline.records import StageRecord, describe_changes, read_records, write_records
from weakseg.pipeline.removal import remove_files, remove_half_written, remove_results
from weakseg.pipeline.stage import Stage
from weakseg.pipeline.telling import format_duration
from weakseg.pipeline.tracking import track_numbers
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")


def run_stages(context: Context, stages: Sequence[Stage], *, only: str | None = None, redo: str | None = None) -> None:
    """Run stages in order, each as its record in `run.json` demands.

    Everything that speaks against it is found before a file is written or removed. No other process may do the same
    meanwhile.

    Args:
        context: Configuration, files and data.
        stages: The whole chain, in order.
        only: Name of the single stage to run; those it needs must be finished. None runs all.
        redo: Name of a stage whose files, and those of all later stages, are removed first.

    Raises:
        ConfigError: If a stage was made with other settings, a name is unknown, or `redo` removes what `only` needs.
        ArtifactError: If a needed stage is missing or out of date, or there are files that no stage is known to have
            written, or another process works in the folder.
        WeaksegError: If a stage that has work to do lacks what it needs, see `Stage.require`.
    """
    names = [stage.name for stage in stages]
    for name in (only, redo):
        if name is not None and name not in names:
            raise ConfigError(f"stage '{name}': expected one of {', '.join(names)}")
    if only is not None and redo is not None and names.index(redo) < names.index(only):
        raise ConfigError(f"--redo {redo} would remove what the stage '{only}' needs; use it with 'weakseg run'")
    is_shared = only is not None and stages[names.index(only)].shared
    with nullcontext() if is_shared else hold_folder(context.folder.root):
        _run_chosen(context, stages, only=only, redo=redo)


def _run_chosen(context: Context, stages: Sequence[Stage], *, only: str | None, redo: str | None) -> None:
    names, outputs = [stage.name for stage in stages], {stage.name: stage.outputs for stage in stages}
    stages = _without_skipped(context, stages, only=only)
    planned = plan_records(context, stages)
    records = read_records(context.folder)
    removed = [] if redo is None else names[names.index(redo) :]
    context = replace(context, redone=frozenset(removed))
    kept = {name: record for name, record in records.items() if name not in removed}
    chosen = [stage for stage in stages if only is None or stage.name == only]
    for stage in stages:
        _require_same_settings(context, stage, kept, planned)
    for stage in chosen:
        _claim(context, stage).require_own(is_recorded=stage.name in records)
    if only is not None:
        _require_finished_needs(context, stages, only, kept, planned)
    for stage in chosen:
        if stage.require is not None and not _is_done(context, stage, kept.get(stage.name), planned[stage.name]):
            stage.require(context, afresh=stage.name not in kept)

    begun = [name for name in removed if name in records]
    if begun:
        records = remove_results(context.folder, [(name, outputs[name]) for name in begun])
    if rank() == 0:
        write_text(context.folder.recipe, to_yaml(context.config))
    watch = ChangeWatch(context.images)
    for stage in chosen:
        records = {**records, stage.name: _run_stage(context, stage, records, planned[stage.name], watch)}


def run_in_stage(context: Context, stages: Sequence[Stage], name: str) -> None:
    """Have a begun stage's engine work on its part of the images, and write nothing else.

    Other processes may do the same meanwhile. The engine ends this by an exception of its own.

    Args:
        context: Configuration, files, data, and the engine.
        stages: The whole chain, in order.
        name: The stage.

    Raises:
        ConfigError: If the stage was begun with other settings.
        ArtifactError: If it has not begun, an earlier one is missing or out of date, or a process holds the folder for
            itself.
    """
    with hold_folder(context.folder.root, shared=True):
        stages = [stage for stage in stages if not stage.why_skipped(context)]
        planned, records = plan_records(context, stages), read_records(context.folder)
        stage = next(stage for stage in stages if stage.name == name)
        _require_same_settings(context, stage, records, planned)
        _require_finished_needs(context, stages, name, records, planned)
        if name not in records or records[name].fingerprint != planned[name].fingerprint:
            raise ArtifactError(f"stage '{name}' has not begun with these settings in {context.folder.root}")
        with within_stage(name):
            stage.run(context)


def _without_skipped(context: Context, stages: Sequence[Stage], *, only: str | None) -> list[Stage]:
    """Return the stages of a run, and tell of those that would have their turn now."""
    kept = []
    for stage in stages:
        reason = stage.why_skipped(context)
        if not reason:
            kept.append(stage)
        elif only in (None, stage.name):
            logger.info("%s: not needed, since %s", stage.name, reason)
    return kept


def _run_stage(
    context: Context, stage: Stage, records: Mapping[str, StageRecord], planned: StageRecord, watch: ChangeWatch
) -> StageRecord:
    old = records.get(stage.name)
    if old is not None and old.fingerprint != planned.fingerprint:
        assert stage.derived, "checked before any stage ran"
        logger.info("%s: again, since %s", stage.name, describe_changes(old.parts, planned.parts))
        records = remove_results(context.folder, [(stage.name, stage.outputs)])
        old = None
    if old is not None and _is_done(context, stage, old, planned):
        event = stage_event(stage.name, "skipped", seconds=old.time_s, rate=old.images_per_s, summary=old.summary)
        logger.info("%s: finished before (%s)", stage.name, old.summary or "no summary", extra=event)
        return old
    wait_for_all()  # every process has read the state before rank 0 changes it
    planned = replace(planned, parts_time_s=0.0 if old is None else old.parts_time_s)
    spent_s = 0.0 if old is None else old.time_s
    if rank() == 0:
        _write_record(context.folder, stage, replace(planned, time_s=spent_s))
    logger.info(
        "%s: %s", stage.name, _describe_start(old), extra=stage_event(stage.name, "resumed" if old else "started")
    )
    remove_half_written(context.folder.root, stage.outputs)
    wait_for_all()
    started_s = time.monotonic()
    with watch.during(stage.name), within_stage(stage.name):
        try:
            summary = stage.run(context)
        except BaseException:
            if rank() == 0:
                with suppress(WeaksegError):  # what ended the stage is what the user is told of
                    _write_time(context.folder, stage, spent_s + time.monotonic() - started_s)
            raise
        wait_for_all()
    record = replace(
        planned,
        finished=True,
        time_s=spent_s + time.monotonic() - started_s,
        summary=summary,
        finished_at=format_time(time.time()),
        images=0 if stage.images is None else stage.images(context),
    )
    if rank() == 0:
        record = replace(record, parts_time_s=read_records(context.folder)[stage.name].parts_time_s)
        _write_record(context.folder, stage, record)
        remove_files([context.folder.parts])
    wait_for_all()
    track_numbers(f"stages/{stage.name}", {"seconds": record.time_s, "images_per_s": record.images_per_s})
    event = stage_event(stage.name, "finished", seconds=record.time_s, rate=record.images_per_s, summary=summary)
    logger.info("%s: done in %s (%s)", stage.name, format_duration(record.time_s), summary, extra=event)
    return record


def _describe_start(old: StageRecord | None) -> str:
    if old is None:
        return "started"
    return "some of its files are gone, making them again" if old.finished else "going on where it was interrupted"


def _write_record(folder: RunFolder, stage: Stage, record: StageRecord) -> None:
    """Write one stage's record beside those that are there now: a report may be made while another stage runs."""
    write_records(folder, {**read_records(folder), stage.name: record})


def _write_time(folder: RunFolder, stage: Stage, time_s: float) -> None:
    """Write how long a stage that is not finished has taken so far."""
    record = read_records(folder).get(stage.name)
    if record is not None:
        _write_record(folder, stage, replace(record, time_s=time_s))


def _require_same_settings(
    context: Context, stage: Stage, records: Mapping[str, StageRecord], planned: Mapping[str, StageRecord]
) -> None:
    record, plan = records.get(stage.name), planned[stage.name]
    if record is not None and record.fingerprint != plan.fingerprint and not stage.derived:
        _claim(context, stage).refuse_changes(record.parts, plan.parts)


def _claim(context: Context, stage: Stage) -> Claim:
    folder = context.folder
    return Claim(
        who=f"stage '{stage.name}'",
        root=folder.root,
        outputs=tuple(folder.root / output for output in stage.outputs),
        unknown=f"{folder.state.name} does not tell that the stage '{stage.name}' wrote it",
        redo=f"--redo {stage.name} to 'weakseg run' to replace it and all later stages",
        elsewhere="--out",
    )


def _require_finished_needs(
    context: Context,
    stages: Sequence[Stage],
    only: str,
    records: Mapping[str, StageRecord],
    planned: Mapping[str, StageRecord],
) -> None:
    """Require that everything a stage needs, directly or not, is there and is what the configuration asks for."""
    needed = {only}
    for stage in reversed(stages):
        if stage.name in needed:
            needed.update(stage.needs)
    for stage in stages:
        if stage.name not in needed - {only}:
            continue
        record = records.get(stage.name)
        if record is None or not record.finished or not _has_all_files(context, stage):
            problem = f"needs the finished stage '{stage.name}'"
        elif record.fingerprint != planned[stage.name].fingerprint:
            changes = describe_changes(record.parts, planned[stage.name].parts)
            problem = f"needs the stage '{stage.name}', which is out of date ({changes}),"
        else:
            continue
        raise ArtifactError(
            f"stage '{only}' {problem} in {context.folder.root}; "
            f"run 'weakseg {stage.name}' with the same recipe and settings first, or 'weakseg run' for the whole chain"
        )


def _is_done(context: Context, stage: Stage, record: StageRecord | None, planned: StageRecord) -> bool:
    """Say whether a stage has nothing to do: it is finished, what the configuration asks for, and all there."""
    if record is None or not record.finished or record.fingerprint != planned.fingerprint:
        return False
    return _has_all_files(context, stage)


def _has_all_files(context: Context, stage: Stage) -> bool:
    files = [context.folder.root / output for output in stage.outputs] if stage.files is None else stage.files(context)
    return all(path.exists() for path in files)
