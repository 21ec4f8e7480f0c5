"""The classifier of a run, which most studies begin with."""

from __future__ import annotations

from weakseg.chain import CHAIN
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.records import read_records
from weakseg.pipeline.runner import run_stages


def ensure_classifier(context: Context, *, may_train: bool) -> str:
    """Make sure that a run has the classifier its recipe asks for.

    Args:
        context: The run. Settings of later stages may differ from those the run was made with.
        may_train: Whether to train one if there is none.

    Returns:
        The fingerprint of the stage `classify`.

    Raises:
        ArtifactError: If there is none and none may be trained.
        ConfigError: If it was trained with other settings, or the run's localiser needs none.
    """
    require_classifier(context)
    record = read_records(context.folder).get("classify")
    planned = plan_records(context, CHAIN)["classify"]
    is_there = record is not None and record.finished and context.folder.network("classifier").model.is_file()
    if not is_there and not may_train:
        root = context.folder.root
        raise ArtifactError(f"{root} has no trained classifier; run 'weakseg classify {root}' first")
    # For a finished stage the runner is not called: it would write this recipe over that of the run.
    if record is None or not is_there or record.fingerprint != planned.fingerprint:
        run_stages(context, CHAIN, only="classify")
    return planned.fingerprint


def require_classifier(context: Context) -> None:
    """Raise a `ConfigError` if the run's localiser needs no classifier, so that there is none to look at."""
    reason = why_no_classifier(context)
    if reason:
        raise ConfigError(f"{reason}, which this study looks at; choose another one, such as --localize.method cam")
