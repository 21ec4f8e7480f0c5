"""Classifiers of finished runs, taken by a study where all their settings agree: hours that need not be spent again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from weakseg.errors import ArtifactError
from weakseg.pipeline.context import Context
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.records import describe_changes, read_records
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.sharing import share_stages
from weakseg.pipeline.stages import STAGES

logger = logging.getLogger("weakseg")

CLASSIFY = STAGES[0]

SEED = "runtime.seed"
"""A run of another seed is offered for that one; nothing need be said of it."""


def open_offers(runs: Sequence[Path]) -> list[RunFolder]:
    """Return the run folders of a study's `--runs`.

    Raises:
        ArtifactError: If one is none, or has no finished classifier.
    """
    offers = [RunFolder(run) for run in runs]
    for offer in offers:
        record = read_records(offer).get(CLASSIFY.name)
        if record is None or not record.finished or not offer.network("classifier").model.is_file():
            raise ArtifactError(f"--runs: {offer.root} has no trained classifier; name runs that have, or leave it out")
    return offers


def take_classifier(context: Context, offers: Sequence[RunFolder]) -> None:
    """Link the classifier of the first run that has just the one that is to be trained; say why others have not.

    Args:
        context: The run that needs it; one that has begun its own keeps that.
        offers: Runs with classifiers.
    """
    if CLASSIFY.name in read_records(context.folder):
        return
    found = find_offer(context, offers)
    if found is not None:
        logger.info("the classifier of %s is taken: %s", found.root, read_records(found)[CLASSIFY.name].summary)
        share_stages(found, context.folder, [CLASSIFY])
    elif context.config.classifier.method == "plain":
        _tell_differences(context, offers)


def find_offer(context: Context, offers: Sequence[RunFolder]) -> RunFolder | None:
    """Return the first run whose classifier was trained on the same images with the same settings, or None."""
    planned = plan_records(context, STAGES)[CLASSIFY.name]
    return next(
        (offer for offer in offers if read_records(offer)[CLASSIFY.name].fingerprint == planned.fingerprint), None
    )


def _tell_differences(context: Context, offers: Sequence[RunFolder]) -> None:
    planned = plan_records(context, STAGES)[CLASSIFY.name]
    for offer in offers:
        record = read_records(offer)[CLASSIFY.name]
        if record.parts.get(SEED) == planned.parts.get(SEED):
            changes = describe_changes(record.parts, planned.parts)
            logger.info("the classifier of %s is not taken for %s: %s", offer.root, context.folder.root.name, changes)
