"""The one background threshold that all methods of a study are also cut at."""

from __future__ import annotations

from weakseg.config.schema import RunConfig
from weakseg.pipeline.threshold import require_number

FIXED = 0.4
"""Where the recipe says `auto`. Between what suits CAM's peaks and the higher feet of averaged maps on photographs."""


def is_automatic(config: RunConfig) -> bool:
    """Say whether the recipe leaves the threshold to `auto`, so that a study also tells what that takes."""
    return config.refine.background_threshold == "auto"


def fixed_threshold(config: RunConfig) -> float:
    """Return the recipe's number, or `FIXED` where it has none."""
    return FIXED if is_automatic(config) else require_number(config.refine)
