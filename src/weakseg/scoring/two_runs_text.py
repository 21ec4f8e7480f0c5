"""One run against another as text: `weakseg compare A B`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from weakseg.file_names import printable
from weakseg.files import JsonValue
from weakseg.pipeline.telling import format_duration
from weakseg.scoring.pairs import NumberPair, ScorePair, SettingPair
from weakseg.scoring.scores import percent
from weakseg.scoring.two_runs import TwoRuns

_DIGEST = re.compile("[0-9a-f]{24,}")

MAX_VALUE = 40
"""Characters of a setting's value that are shown."""


def describe_two_runs(found: TwoRuns, *, top: int) -> str:
    """Return a comparison as text: what differs in the recipes, then what came of it.

    Args:
        found: The comparison.
        top: How many images are listed, those whose masks differ most.
    """
    lines = [f"A: {printable(found.first.path)}", f"B: {printable(found.second.path)}", ""]
    lines += _list_settings(found) + _list_stages(found) + _list_scores(found) + _list_classes(found)
    lines += _list_health(found) + _list_images(found, top)
    lines += [f"note: {printable(note)}" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def show_value(value: JsonValue) -> str:
    """Return a setting's value for a table, as JSON has it but for texts, which have no quotes."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 3]}..."


def show_setting(pair: SettingPair) -> tuple[str, str]:
    """Return both values of what differs; of digests, which say nothing, only that they differ."""
    values = (pair.first, pair.second)
    if all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in values):
        return ("", "other")
    return (show_value(pair.first), show_value(pair.second))


def show_verdict(verdict: str | None, troubled: int, tagged: int) -> tuple[str, str]:
    """Return the verdict on a class and how many of its images are in trouble; dashes where it was not judged."""
    return ("–", "–") if verdict is None else (verdict, f"{troubled:,} of {tagged:,}")


def show_gain(pair: NumberPair) -> str:
    """Return how many points B is above A; empty where that is undefined."""
    return "" if pair.gain is None else f"{100 * pair.gain:+z.1f}"


def show_threshold(score: ScorePair) -> str:
    """Return the background thresholds of both, once where they are the same."""
    first, second = score.thresholds
    return (first or "none") if first == second else f"{first or 'none'} / {second or 'none'}"


def _list_settings(found: TwoRuns) -> list[str]:
    if not found.settings:
        return ["settings, images and tags: all the same", ""]
    rows = [(pair.name, *show_setting(pair)) for pair in found.settings]
    return [f"what differs: {len(rows)}", *_align([("", "A", "B"), *rows], "<<<"), ""]


def _list_stages(found: TwoRuns) -> list[str]:
    def time(value: float | None) -> str:
        return "not done" if value is None else format_duration(value)

    rows = [
        (pair.name, time(pair.first_s), time(pair.second_s), "same result" if pair.is_same else "")
        for pair in found.stages
    ]
    return ["time", *_align([("", "A", "B", ""), *rows], "<>><"), ""] if rows else []


def _list_scores(found: TwoRuns) -> list[str]:
    rows = [
        (
            score.subject,
            score.split,
            " / ".join(str(count) for count in dict.fromkeys(score.images)),
            show_threshold(score),
            percent(score.mean.first),
            percent(score.mean.second),
            show_gain(score.mean),
            _tell_truth(score),
        )
        for score in found.scores
    ]
    lines = []
    if rows:
        heading = ("", "split", "images", "threshold", "A", "B", "B - A", "")
        lines += ["mean IoU, %", *_align([heading, *rows], "<<><>>><")]
    if found.classifier.first is not None or found.classifier.second is not None:
        numbers = (percent(found.classifier.first), percent(found.classifier.second), show_gain(found.classifier))
        lines += ["", *_align([("", "A", "B", "B - A"), ("classifier, mAP, %", *numbers)], "<>>>")]
    return [*lines, ""] if lines else []


def _tell_truth(score: ScorePair) -> str:
    if score.same_truth:
        return ""
    return "not the same truth" if score.images[0] == score.images[1] else "not the same images"


def _list_classes(found: TwoRuns) -> list[str]:
    lines: list[str] = []
    for score in found.scores:
        if score.subject == "seeds":
            continue  # at thresholds that nobody could have chosen
        rows = [(pair.name, percent(pair.first), percent(pair.second), show_gain(pair)) for pair in score.classes]
        title = f"IoU per class, %: {score.subject} on {score.split}"
        lines += [title, *_align([("", "A", "B", "B - A"), *rows], "<>>>"), ""]
    return lines


def _list_health(found: TwoRuns) -> list[str]:
    rows = [
        (
            pair.name,
            *show_verdict(pair.first, pair.troubled[0], pair.tagged[0]),
            *show_verdict(pair.second, pair.troubled[1], pair.tagged[1]),
        )
        for pair in found.health
    ]
    heading = ("", "A", "in trouble", "B", "in trouble")
    return ["masks judged without truth", *_align([heading, *rows], "<<><>"), ""] if rows else []


def _list_images(found: TwoRuns, top: int) -> list[str]:
    lines = [
        f"{kind.kind} differ on {kind.share:.1%} of the pixels, mean over {kind.images:,} images"
        for kind in found.labels.kinds
    ]
    images = [image for image in found.labels.images[:top] if image.share > 0]
    if images:
        rows = [
            (f"{image.share:.1%}", printable(image.id), image.split, *(percent(value) for value in image.masks))
            for image in images
        ]
        heading = ("differs", "image", "split", "IoU A", "IoU B")
        lines += ["", "images whose masks differ most", *_align([heading, *rows], "><<>>")]
    return [*lines, ""] if lines else []


def _align(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Set the cells of each column to one width, at its left (`<`) or right (`>`)."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
