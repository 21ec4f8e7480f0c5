"""The localisers of a run, each as one call per image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from weakseg.localize.method import ImageLocalizer, LocalizeContext, find_localizer
from weakseg.localize.method import Localized as Localized
from weakseg.localize.rib import RIB
from weakseg.models.classifier import Classifier
from weakseg.pipeline.artifacts import load_stop_reason
from weakseg.pipeline.runner import Context


def open_localizer(context: Context, classifier: Classifier) -> AbstractContextManager[ImageLocalizer]:
    """Open the recipe's localisation method for a block of calls.

    Raises:
        ConfigError: If there is none of that name, or its package cannot be imported.
    """
    return find_localizer(context.config.localize.method).open(_describe(context, classifier))


def open_rib(context: Context, classifier: Classifier) -> AbstractContextManager[ImageLocalizer]:
    """Open RIB for a block of calls, whichever method the recipe has."""
    return RIB.open(_describe(context, classifier))


def count_stops(seeds: Iterable[Path]) -> Counter[str]:
    """Count why the adaptations behind seed files have ended."""
    return Counter(reason for path in seeds if (reason := load_stop_reason(path)) is not None)


def describe_stops(reasons: Counter[str]) -> str:
    """Say which share of the adaptations each rule has ended; empty without any."""
    total = sum(reasons.values())
    shares = ", ".join(f"{reason} {100 * count / total:.0f} %" for reason, count in reasons.most_common())
    return f"; adaptations ended: {shares}" if total else ""


def _describe(context: Context, classifier: Classifier) -> LocalizeContext:
    return LocalizeContext(classifier, context.config.localize, context.train, context.config.runtime)
