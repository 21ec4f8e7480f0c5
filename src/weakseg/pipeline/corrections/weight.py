"""How often a corrected image is drawn while the segmenter learns: it must not drown among masks that are bad."""

from __future__ import annotations

from weakseg.files import JsonValue
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.judges import ENOUGH_MASKS
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.pseudo_masks import corrected_images
from weakseg.refine.health_words import MaskHealth

WEIGHT_AMONG_BAD = 20
"""Measured on steel, mean IoU of the segmenter: 25 of 624 images corrected and drawn 20 times as often 32.1, none 23.5;
100 of them 33.2, drawn once each 22.7. On animals, whose masks are good, three times taught worse than once."""

WEIGHT_RULE = "rule of corrected_weight auto"
"""Its part of a fingerprint."""

WEIGHT_RULE_VERSION = 1
"""Raised when `auto` weighs the same corrections otherwise."""


def settle_weight(context: Context) -> int:
    """Return how many times as often as others a corrected image is drawn; all processes call this, and all agree.

    Args:
        context: A run whose stage `refine` has made its masks.

    Returns:
        The recipe's `segmenter.corrected_weight`; with `auto` 20 where most classes are in doubt, corrected masks
        included, and enough masks are corrected for it; else 1.
    """
    given = context.config.segmenter.corrected_weight
    if not isinstance(given, str):
        return given
    if len(corrected_images(context)) < ENOUGH_MASKS:
        return 1
    return WEIGHT_AMONG_BAD if is_mostly_doubtful(check_masks(context).health) else 1


def is_mostly_doubtful(health: MaskHealth) -> bool:
    """Say whether more than half of the classes that have images are doubtful or bad."""
    tagged = sum(item.verdict != "no images" for item in health.classes)
    return 2 * len(health.troubled) > tagged


def name_weight(context: Context) -> dict[str, JsonValue]:
    """Name the setting, and the rule it stands for, for the fingerprint of a segmenter that corrected masks teach."""
    given = context.config.segmenter.corrected_weight
    rule: dict[str, JsonValue] = {WEIGHT_RULE: WEIGHT_RULE_VERSION} if given == "auto" else {}
    return {"segmenter.corrected_weight": given, **rule}


def tell_weight(context: Context, weight: int) -> str:
    """Say how often corrected images were drawn, and why: `, drawn 20 times as often, since ...`; nothing for once."""
    if weight == 1:
        return ""
    why = ", since most classes are in doubt" if context.config.segmenter.corrected_weight == "auto" else ""
    return f", drawn {weight} times as often{why}"
