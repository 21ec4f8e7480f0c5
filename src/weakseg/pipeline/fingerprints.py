"""Fingerprints: everything a stage's result depends on, by name.

They cover its own settings, its inputs (the images and tags, and the fingerprints of earlier stages) and its version.
`run.json` keeps the parts of every fingerprint, so that a change is reported by the name of the setting.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from weakseg.config.chosen import uncounted
from weakseg.config.load import to_plain
from weakseg.files import JsonValue
from weakseg.pipeline.context import Context
from weakseg.pipeline.records import RESULT, StageRecord, digest_parts, flatten_settings
from weakseg.pipeline.stage import Stage


def plan_records(context: Context, stages: Sequence[Stage]) -> dict[str, StageRecord]:
    """Return the record that each stage would begin with: fingerprints follow from settings and inputs alone.

    A stage that the run does without has none.
    """
    planned: dict[str, StageRecord] = {}
    for stage in stages:
        if stage.why_skipped(context):
            continue
        parts = fingerprint_parts(stage, context, planned)
        planned[stage.name] = StageRecord(finished=False, fingerprint=digest_parts(parts), parts=parts)
    return planned


def fingerprint_parts(stage: Stage, context: Context, planned: Mapping[str, StageRecord]) -> dict[str, JsonValue]:
    """Name everything a stage's result depends on; `planned` holds the stages before it."""
    parts: dict[str, JsonValue] = {f"version of {stage.name}": stage.version}
    for path in stage.settings:
        value = to_plain(operator.attrgetter(path)(context.config))
        if isinstance(value, dict):
            left_out = uncounted(context.config, path)
            value = {name: item for name, item in value.items() if name not in left_out}
        parts.update(flatten_settings(path, value))
    for path, without_effect in stage.added.items():
        if parts[path] == without_effect:
            del parts[path]
    for split, digest in context.digests.items():
        parts[f"images and tags of {split}"] = digest
    for name in stage.needs:
        if name in planned:
            parts[f"{RESULT}{name}"] = planned[name].fingerprint
    if stage.inputs is not None:
        parts.update(stage.inputs(context))
    return parts
