"""The part of `weakseg check` that says how values of more than 8 bits are scaled."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.checks.files import SampleFacts
from weakseg.data.base import Dataset, Problem, Severity
from weakseg.data.depth import PixelRange, find_range

DARK_SHARE = 1 / 16
"""An image that stays below this share of the range is all but black beside the others."""


def judge_depth(datasets: Sequence[Dataset], facts: Sequence[Sequence[SampleFacts]]) -> list[Problem]:
    """State the range that a run would use, and name images that are far darker or beyond it.

    Args:
        datasets: The splits, which share one range.
        facts: What was found about each of their samples.
    """
    spans = {
        sample.id: found.image.span
        for number, (dataset, split) in enumerate(zip(datasets, facts, strict=True))
        for sample, found in zip(dataset, split, strict=True)
        # As a run does, without training images of which nothing is known.
        if found.image.span is not None and (number > 0 or sample.known.any())
    }
    asked = datasets[0].pixel_range
    finding = find_range(list(spans.values()), None if asked is None else (asked.low, asked.high))
    if finding is None:
        return []
    severity: Severity = "warning" if finding.guessed else "note"
    found = [Problem(severity, "pixel-range", datasets[0].name, f"{finding}{finding.advice}")]
    return [
        *found,
        *(problem for key, span in spans.items() for problem in _judge_span(key, span, finding.pixel_range)),
    ]


def _judge_span(key: str, span: PixelRange, used: PixelRange) -> list[Problem]:
    dark = used.low + DARK_SHARE * (used.high - used.low)
    if span.high < dark:
        message = (
            f"its values {span} are dark beside the range {used} of all images; keep other depths in a set of theirs"
        )
        return [Problem("warning", "dark-image", key, message)]
    if span.low > used.high or span.high < used.low:
        message = f"its values {span} lie beyond the range {used}, so that it is all white or black"
        return [Problem("warning", "dark-image", key, message)]
    return []
