"""The version of a stage's method in its fingerprint: a higher one makes what is there out of date."""

from __future__ import annotations

from typing import Any

from weakseg.config.chosen import localizer_facts, refiner_facts
from weakseg.files import JsonValue
from weakseg.methods import MethodFacts
from weakseg.pipeline.context import Context
from weakseg.pipeline.fitting import FIT_RULE
from weakseg.pipeline.records import CONTENTS, read_records
from weakseg.pipeline.threshold import CHOICE_RULE

UNTOLD = 1
"""The first version of a method is not named, so that runs of weakseg 0.1 stay valid."""


def name_method_version(context: Context, stage: str) -> dict[str, JsonValue]:
    """Name the version of the method of `localize` or `refine` for the fingerprint, from the second on.

    A method whose package is gone counts as the one that was used, with all that only it could tell.
    """
    config = context.config
    facts: MethodFacts[Any] | None
    if stage == "localize":
        facts, name = localizer_facts(config.localize), config.localize.method
    else:
        facts, name = refiner_facts(config.refine), config.refine.method
    key = f"version of {stage}.method {name}"
    if facts is not None:
        return {} if facts.version == UNTOLD else {key: facts.version}
    own = read_records(context.folder).get(stage)
    kept = (key, CHOICE_RULE, FIT_RULE, f"{CONTENTS}{stage}.{name}.")
    return {} if own is None else {part: value for part, value in own.parts.items() if part.startswith(kept)}
