"""Running stages in a run folder: skip what is finished, go on with what was interrupted, stop at what has changed.

A stage's fingerprint covers its own settings, its inputs (the images and tags, and the fingerprints of earlier stages)
and its version. `run.json` keeps the parts of every fingerprint, so that a change is reported by the name of the
setting. Under `torchrun` every process walks through the same decisions; only rank 0 writes the state.
"""

from __future__ import annotations

import hashlib
import json
import logging
import operator
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

import weakseg
from weakseg.config.load import to_plain, to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError, ConfigError
from weakseg.files import JsonValue, write_json, write_text
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.runtime import format_duration
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

DIGEST_BYTES = 12


@dataclass(frozen=True, eq=False)
class Context:
    """What a stage works with.

    Args:
        config: The resolved configuration.
        folder: The run's files.
        device: Where networks run.
        train: Usable images of the training split.
        val: Usable images of the validation split, or None.
        digests: Digest of images, tags and classes per split: `train`, `val`.
    """

    config: RunConfig
    folder: RunFolder
    device: torch.device
    train: Dataset
    val: Dataset | None
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Args:
        name: As in DESIGN section 3 and on the command line.
        version: Raised when the stage's results change for the same settings.
        settings: Dotted names of the sections and settings its result depends on.
        needs: Earlier stages whose files it reads.
        outputs: Files and folders below the run folder that are its own; removed by `--redo`.
        run: Does the work and returns a one-line summary.
        derived: Whether it only summarises other stages' files. It is then done again when a setting changes, since
            nothing is lost; other stages stop and ask for `--redo`.
    """

    name: str
    version: int
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[Context], str]
    derived: bool = False


@dataclass(frozen=True)
class StageRecord:
    """What `run.json` says of a stage.

    Args:
        finished: False while it runs or after it was interrupted.
        fingerprint: Digest of `parts`.
        parts: Everything the fingerprint covers, by name.
        time_s: Wall-clock seconds spent, earlier interrupted attempts that ended in an error not counted.
        summary: The stage's one-line summary, empty until finished.
    """

    finished: bool
    fingerprint: str
    parts: Mapping[str, JsonValue]
    time_s: float = 0.0
    summary: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        return {
            "finished": self.finished,
            "fingerprint": self.fingerprint,
            "parts": dict(self.parts),
            "time_s": round(self.time_s, 1),
            "summary": self.summary,
        }


def run_stages(context: Context, stages: Sequence[Stage], *, only: str | None = None, redo: str | None = None) -> None:
    """Run stages in order, each as its record in `run.json` demands.

    Args:
        context: Configuration, files and data.
        stages: The whole chain, in order.
        only: Name of the single stage to run; those it needs must be finished. None runs all.
        redo: Name of a stage whose files, and those of all later stages, are removed first.

    Raises:
        ConfigError: If a stage exists with other settings, or a name is unknown.
        ArtifactError: If a needed stage is missing or out of date.
    """
    names = [stage.name for stage in stages]
    for name in (only, redo):
        if name is not None and name not in names:
            raise ConfigError(f"stage '{name}': expected one of {', '.join(names)}")
    records = read_records(context.folder)
    if redo is not None:
        records = _remove_results(context.folder, stages[names.index(redo) :], records)
    if rank() == 0:
        write_text(context.folder.recipe, to_yaml(context.config))
    for stage in stages:
        if only is None or stage.name == only:
            records = {**records, stage.name: _run_stage(context, stage, records)}


def read_records(folder: RunFolder) -> dict[str, StageRecord]:
    """Read the state of every stage that has begun in a run folder.

    Raises:
        ArtifactError: If `run.json` is damaged.
    """
    if not folder.state.is_file():
        return {}
    try:
        stages = json.loads(folder.state.read_text(encoding="utf-8"))["stages"]
        return {name: StageRecord(**record) for name, record in stages.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder.state} is damaged ({error}); delete the run folder and start again") from None


def fingerprint_parts(stage: Stage, context: Context, records: Mapping[str, StageRecord]) -> dict[str, JsonValue]:
    """Name everything a stage's result depends on."""
    parts: dict[str, JsonValue] = {f"version of {stage.name}": stage.version}
    for path in stage.settings:
        parts.update(_flatten(path, to_plain(operator.attrgetter(path)(context.config))))
    for split, digest in context.digests.items():
        parts[f"images and tags of {split}"] = digest
    for name in stage.needs:
        parts[f"result of {name}"] = records[name].fingerprint
    return parts


def describe_changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> str:
    """Say which parts of a fingerprint differ: `classifier.epochs was 5, is 3`."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            hidden = key.startswith(("images and tags", "result of"))
            changes.append(f"{key} changed" if hidden else f"{key} was {old.get(key)}, is {new.get(key)}")
    return "; ".join(changes)


def _run_stage(context: Context, stage: Stage, records: Mapping[str, StageRecord]) -> StageRecord:
    _require_finished(context, stage, records)
    parts = fingerprint_parts(stage, context, records)
    fresh = StageRecord(finished=False, fingerprint=_digest(parts), parts=parts)
    old = records.get(stage.name)
    if old is not None and old.fingerprint != fresh.fingerprint:
        changes = describe_changes(old.parts, parts)
        if not stage.derived:
            raise ConfigError(
                f"stage '{stage.name}' in {context.folder.root} was made with other settings: {changes}; add "
                f"--redo {stage.name} to replace it and all later stages, or choose another --out"
            )
        logger.info("%s: again, since %s", stage.name, changes)
        records = _remove_results(context.folder, [stage], records)
        old = None
    complete = all((context.folder.root / output).exists() for output in stage.outputs)
    if old is not None and old.finished and complete:
        logger.info("%s: finished before (%s)", stage.name, old.summary or "no summary")
        return old
    wait_for_all()  # every process has read the state before rank 0 changes it
    spent_s = 0.0 if old is None else old.time_s
    _write_records(context, {**records, stage.name: replace(fresh, time_s=spent_s)})
    logger.info("%s: %s", stage.name, "going on where it was interrupted" if old is not None else "started")
    _remove_partial_files(context.folder, stage)
    wait_for_all()
    started_s = time.monotonic()
    summary = stage.run(context)
    wait_for_all()
    record = replace(fresh, finished=True, time_s=spent_s + time.monotonic() - started_s, summary=summary)
    _write_records(context, {**records, stage.name: record})
    wait_for_all()
    logger.info("%s: done in %s (%s)", stage.name, format_duration(record.time_s), summary)
    return record


def _require_finished(context: Context, stage: Stage, records: Mapping[str, StageRecord]) -> None:
    for name in stage.needs:
        record = records.get(name)
        if record is None or not record.finished:
            raise ArtifactError(
                f"stage '{stage.name}' needs the finished stage '{name}' in {context.folder.root}; "
                f"run 'weakseg {name} {context.folder.root}' first, or 'weakseg run' for the whole chain"
            )


def _write_records(context: Context, records: Mapping[str, StageRecord]) -> None:
    if rank() == 0:
        versions = {
            "weakseg": weakseg.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
        stages = {name: record.to_json() for name, record in records.items()}
        write_json(context.folder.state, {"versions": versions, "stages": stages})


def _remove_results(
    folder: RunFolder, stages: Sequence[Stage], records: Mapping[str, StageRecord]
) -> dict[str, StageRecord]:
    wait_for_all()
    if rank() == 0:
        for stage in stages:
            for output in stage.outputs:
                path = folder.root / output
                if path.is_dir():
                    shutil.rmtree(path)
                path.unlink(missing_ok=True)
    wait_for_all()
    removed = {stage.name for stage in stages}
    return {name: record for name, record in records.items() if name not in removed}


def _remove_partial_files(folder: RunFolder, stage: Stage) -> None:
    """Delete what a killed process left half-written."""
    if rank() == 0:
        for output in stage.outputs:
            path = folder.root / output
            pattern, parent = (".*.partial", path) if path.is_dir() else (f".{path.name}.*.partial", path.parent)
            for partial in parent.rglob(pattern) if path.is_dir() else parent.glob(pattern):
                partial.unlink(missing_ok=True)


def _digest(value: Mapping[str, JsonValue]) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _flatten(prefix: str, value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {path: item for key, child in value.items() for path, item in _flatten(f"{prefix}.{key}", child).items()}
