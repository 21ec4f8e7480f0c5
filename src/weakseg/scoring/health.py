"""The health of a run's masks as files: a section of `metrics.json`, and `mask_health.csv` with a row per tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from weakseg.csv_cells import to_csv
from weakseg.files import JsonValue, write_text
from weakseg.refine.health import CauseCount, ClassCounts, TagHealth
from weakseg.refine.health_words import HEALTH_VERSION, ClassHealth, MaskHealth, MaskMethod

COLUMNS = ("id", "split", "class", "share", "trouble", "cause", "taken_by")
"""Columns of `mask_health.csv`; the last three are empty where nothing is wrong, `taken_by` if nothing took it."""

Record = TypeVar("Record")


def plain_health(health: MaskHealth) -> dict[str, JsonValue]:
    """Return the section `health` of `metrics.json`; class and verdict come first in each entry."""
    document = asdict(health)
    document["classes"] = [
        {"name": item.name, "verdict": item.verdict, **asdict(item.counts), "finding": item.finding}
        | {"remedy": item.remedy}
        for item in health.classes
    ]
    return document


def read_health(section: object) -> MaskHealth | None:
    """Read what `plain_health` returned; None for a run without it, or one of another version of the section.

    Raises:
        KeyError, TypeError: If something is missing or of another kind.
    """
    if section is None:
        return None
    document = _entry(section)
    if document["version"] != HEALTH_VERSION:
        return None
    classes = tuple(_read_class(_entry(entry)) for entry in _entries(document.pop("classes")))
    method = _build(MaskMethod, _entry(document.pop("method")))
    return _build(MaskHealth, {**document, "classes": classes, "method": method})


def _read_class(entry: dict[str, object]) -> ClassHealth:
    name, finding, remedy = (str(entry.pop(key)) for key in ("name", "finding", "remedy"))
    causes = tuple(_build(CauseCount, _entry(cause)) for cause in _entries(entry.pop("causes")))
    return ClassHealth(name, _build(ClassCounts, {**entry, "causes": causes}), finding, remedy)


def write_tag_rows(path: Path, found: Sequence[TagHealth], names: Sequence[str]) -> None:
    """Write one row per tag of every image, for a person to sort.

    Args:
        path: The CSV file.
        found: The tags.
        names: The classes by their index.
    """
    rows = []
    for item in found:
        rival = "" if item.rival is None else names[item.rival]
        rows.append((item.id, item.split, names[item.key], f"{item.share:.4f}", item.trouble, item.cause, rival))
    write_text(path, to_csv(COLUMNS, rows))


def _build(kind: Callable[..., Record], entry: dict[str, object]) -> Record:
    """Build a frozen record; JSON has lists where it has tuples."""
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})


def _entries(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list in the section 'health', got {value!r}")
    return value


def _entry(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object in the section 'health', got {value!r}")
    return dict(value)
