"""The background threshold of the masks: the recipe's number, or with `auto` one chosen on images that have tags alone.

`auto` refines some tagged training images at every candidate, measures what colours tell about the masks
(`weakseg.refine.threshold.colour`), and weighs that against how much of an image tagged objects usually take
(`weakseg.refine.threshold.choice`). `docs/threshold.md` compares it with other ways and with the truth. In a run that
learns from enough corrected masks these join in (`weakseg.pipeline.corrections.judges`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from weakseg.config.chosen import has_threshold, refiner_facts
from weakseg.config.schema import RefineConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.judges import ENOUGH_MASKS, choose_on_masks, list_judges
from weakseg.pipeline.cutters import Cutter, open_cutter
from weakseg.pipeline.judging import MAX_IMAGES, Judged, judge_on_tags
from weakseg.pipeline.threshold_file import load_choice, write_choice
from weakseg.refine.threshold.choice import (
    ThresholdChoice,
    choose_in_rounds,
    tell_support,
)
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

RULE_VERSION = 6
"""Raised when `auto` chooses otherwise on the same seeds. 1 took the best candidate; 2, among those about as good, the
nearest to 0.15; 3 the nearest to what is usual for seeds of their mean score; 4 weighs colours and areas; 5 does so
among more candidates above 0.4, of which it refines those whose seeds take about the usual area; 6 goes on with the
best of these after the first images."""

ASKED_BY = "refine.background_threshold"
"""The setting that is usually `auto`, for messages."""

CHOICE_RULE = "rule of background_threshold auto"
"""Its part of a fingerprint."""


MASKS_RULE_VERSION = 2
"""Raised when `auto` chooses otherwise on the same seeds and corrected masks."""

MASKS_RULE = f"{CHOICE_RULE}, on corrected masks"


@dataclass(frozen=True)
class MaskThreshold:
    """The background threshold that a run's masks were made with.

    Args:
        value: The threshold, 0..1.
        choice: `fixed`: the recipe says it; `label-free`: chosen by `choose_on_tags`; `corrected`: by corrected masks.
        images: By how many of these.
    """

    value: float
    choice: Literal["fixed", "label-free", "corrected"]
    images: int = 0

    def __str__(self) -> str:
        how = f"chosen on {self.images} corrected masks" if self.choice == "corrected" else self.choice
        return f"{self.value:g} ({how})"


def mask_threshold(context: Context) -> MaskThreshold | None:
    """Return the background threshold of a run's masks; None for a method that has none.

    Raises:
        ArtifactError: If it is chosen by `auto` and its file is missing or damaged.
    """
    config = context.config.refine
    is_kept = refiner_facts(config) is None and context.folder.threshold.is_file()  # by a method that is gone
    if not (has_threshold(config) or is_kept):
        return None
    if not isinstance(config.background_threshold, str):
        return MaskThreshold(config.background_threshold, "fixed")
    choice = load_choice(context.folder.threshold)
    if choice.corrected:
        return MaskThreshold(choice.threshold, "corrected", choice.corrected)
    return MaskThreshold(choice.threshold, "label-free")


def tell_of_no_threshold(config: RefineConfig) -> None:
    """Say that `auto` chooses nothing for a refiner without a threshold, and what weakens its background instead."""
    facts = refiner_facts(config)
    if facts is None or facts.has_threshold or config.background_threshold != "auto":
        return
    instead = f"; refine.{facts.name}.{facts.background} weakens its background" if facts.background else ""
    logger.warning(
        "refine.background_threshold: 'auto' has no effect, since '%s' has no such threshold%s", facts.name, instead
    )


def require_number(config: RefineConfig) -> float:
    """Return the background threshold of a recipe where only a number will do.

    Raises:
        ConfigError: If it is `auto`.
    """
    if isinstance(config.background_threshold, str):
        raise ConfigError(
            "refine.background_threshold: expected a number, since values around it are compared, got auto"
        )
    return config.background_threshold


def name_choice_rule(context: Context) -> dict[str, JsonValue]:
    """Name the version of the rule for the fingerprint of masks that depend on it."""
    config = context.config.refine
    is_chosen = has_threshold(config) and config.background_threshold == "auto"
    if not is_chosen:
        return {}
    rules: dict[str, JsonValue] = {CHOICE_RULE: RULE_VERSION}
    return rules | ({MASKS_RULE: MASKS_RULE_VERSION} if len(list_judges(context)) >= ENOUGH_MASKS else {})


def settle_threshold(context: Context) -> float:
    """Return the background threshold of the recipe, chosen now if it is `auto` and there is no choice yet.

    Rank 0 chooses and writes `threshold.json`; the other processes wait and read it. An interrupted stage keeps it.

    Raises:
        ConfigError: If the training images get no seeds.
        ArtifactError: If a seed, the refiner's network or the file is missing or damaged.
    """
    given = context.config.refine.background_threshold
    if not isinstance(given, str):
        return given
    path = context.folder.threshold
    if rank() == 0 and not path.exists():
        write_choice(path, _choose(context, open_cutter(context)))
    wait_for_all()
    return load_choice(path).threshold


def _choose(context: Context, cutter: Cutter) -> ThresholdChoice:
    """Choose on tags, and on corrected masks besides if there are enough of them."""
    judges = list_judges(context)[:MAX_IMAGES]
    judged = judge_on_tags(context, cutter)
    choice = None
    if len(judges) >= ENOUGH_MASKS:
        support = tell_support(judged.scores, judged.candidates, areas=judged.areas)
        choice = choose_on_masks(context, cutter, judges, judged.candidates, support=support)
    elif judges:
        logger.info(
            "refine.background_threshold: chosen without corrected masks: there are %d, and %d are needed to judge by",
            len(judges),
            ENOUGH_MASKS,
        )
    if choice is None:
        return _choose_judged(judged)
    logger.info("refine.background_threshold: %g, chosen on %d corrected masks", choice.threshold, choice.corrected)
    return choice


def choose_on_tags(context: Context, cutter: Cutter, *, asked_by: str = ASKED_BY) -> ThresholdChoice:
    """Choose the threshold by what colours tell about the masks of some training images, see `choose_threshold`.

    Where no image has a tag there is nothing to choose by, and every mask is background at any threshold.

    Args:
        context: The run; its seeds are there.
        cutter: Makes the masks.
        asked_by: The setting that is `auto`, for messages.

    Raises:
        ConfigError, ArtifactError: See `settle_threshold`.
    """
    return _choose_judged(judge_on_tags(context, cutter), asked_by)


def _choose_judged(judged: Judged, asked_by: str = ASKED_BY) -> ThresholdChoice:
    choice = choose_in_rounds(judged.scores, judged.candidates, areas=judged.areas)
    if not choice.is_clear:
        logger.warning(
            "%s: no candidate is better than another on %d tagged images, so 'auto' takes %g; %s",
            asked_by,
            choice.images,
            choice.threshold,
            "look at the seeds, which may be empty" if choice.images else "tag images, or give a number",
        )
    return choice
