"""`auto` of a refiner's labels: where the run's own seeds would be cut, found out before any label is made.

The CRF refines some tagged training images at many thresholds; the one it would take for masks
(`weakseg.pipeline.threshold`) is the one that the labels' numbers stand around.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from weakseg.config.fits import fit_settings, list_fits
from weakseg.files import JsonValue
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import open_cutter
from weakseg.pipeline.threshold import RULE_VERSION, choose_on_tags
from weakseg.pipeline.threshold_file import load_choice, write_choice
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

FIT_RULE = "rule of auto in the refiner's settings"
"""Its part of a fingerprint."""

CUT_BY = "crf"
"""The refiner whose threshold tells where seeds are cut; labels are made by its settings as well."""


def name_fit_rule(context: Context) -> dict[str, JsonValue]:
    """Name the version of the rule for the fingerprint of masks that depend on it."""
    return {FIT_RULE: RULE_VERSION} if list_fits(context.config.refine) else {}


def settle_fits(context: Context) -> None:
    """Find out where the seeds would be cut, if a setting of the recipe's refiner says `auto` and it is not known.

    Rank 0 chooses and writes `seed_threshold.json`; the other processes wait. An interrupted stage keeps it.

    Raises:
        ConfigError: If the training images get no seeds.
        ArtifactError: If a seed is missing or damaged.
    """
    section, path = context.config.refine, context.folder.seed_threshold
    fits = list_fits(section)
    if not fits:
        return
    if rank() == 0:
        if not path.exists():
            by_crf = replace(context, config=replace(context.config, refine=replace(section, method=CUT_BY)))
            asked_by = f"refine.{section.method}.{fits[0].setting}"
            write_choice(path, choose_on_tags(by_crf, open_cutter(by_crf), asked_by=asked_by))
        threshold = load_choice(path).threshold
        own = getattr(fit_settings(section, threshold), section.method)
        numbers = ", ".join(f"{fit.setting} {getattr(own, fit.setting):.3g}" for fit in fits)
        logger.info("refine.%s: %s, since the CRF would cut the seeds at %g", section.method, numbers, threshold)
    wait_for_all()
