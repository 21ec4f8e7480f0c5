"""Reading what the words of a study choose: names, seeds, thresholds and a split.

A value that is given twice is a slip: it would be computed once, and the table would tell of fewer repetitions than
were asked for. All studies refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, UsageError
from weakseg.pipeline.threshold import require_number

SPLITS = ("train", "val")

THRESHOLD_FACTORS = (0.5, 1.0, 2.0)
"""The usual background thresholds of the CRF, as multiples of the recipe's."""


def require_distinct(option: str, values: Sequence[float | str]) -> None:
    """Raise a `UsageError` that names a value which an option was given more than once; 0.3 and 0.30 are one value."""
    for place, value in enumerate(values):
        if value in values[:place]:
            shown = value if isinstance(value, str) else f"{value:g}"
            raise UsageError(f"{option}: expected every value once, got {shown} twice")


def choose_names(option: str, words: Sequence[str], known: Sequence[str] | Mapping[str, object]) -> tuple[str, ...]:
    """Return the names that were asked for in their usual order, all when none was.

    Raises:
        UsageError: If one is unknown, or given twice.
    """
    for word in words:
        if word not in known:
            raise UsageError(f"{option}: expected some of {', '.join(known)}, got '{word}'")
    require_distinct(option, words)
    return tuple(name for name in known if not words or name in words)


def choose_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds ascending.

    Raises:
        UsageError: If there is none, one is negative or one is given twice.
    """
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        shown = " ".join(map(str, seeds)) or "none"
        raise UsageError(f"--seeds: expected one or more whole numbers from 0 on without repeats, got {shown}")
    return tuple(sorted(seeds))


def choose_thresholds(config: RunConfig, thresholds: Sequence[float]) -> tuple[float, ...]:
    """Return the background thresholds of the CRF ascending, the recipe's among them.

    Raises:
        UsageError: If one is outside 0..1, or given twice.
        ConfigError: If the recipe's is `auto`.
    """
    own = require_number(config.refine)
    wanted = thresholds or tuple(factor * own for factor in THRESHOLD_FACTORS if factor * own <= 1)
    for threshold in wanted:
        if not 0 <= threshold <= 1:
            raise UsageError(f"--thresholds: expected values within 0..1, got {threshold:g}")
    require_distinct("--thresholds", thresholds)
    return tuple(sorted({*wanted, own}))


def require_split(config: RunConfig, split: str) -> None:
    """Raise a `UsageError` for an unknown split, a `ConfigError` for one that the recipe lacks."""
    if split not in SPLITS:
        raise UsageError(f"--split: expected one of {', '.join(SPLITS)}, got '{split}'")
    data = config.data
    if split == "val" and (data.val is None or (data.name == "critters" and data.critters.val_images == 0)):
        raise ConfigError("--split val: the recipe has no validation split; set data.val, or use --split train")
