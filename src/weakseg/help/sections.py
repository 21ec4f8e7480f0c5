"""Sections and settings described by their classes: docstrings, types, bounds; those of strangers' methods, too."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import docstring_parser

from weakseg.config.bounds import Bounds
from weakseg.config.complaints import describe_type, field_types
from weakseg.config.ranges import setting_ranges
from weakseg.config.schema import RunConfig
from weakseg.registry import LOCALIZERS, REFINERS, Registry


@cache
def section_classes() -> dict[str, type]:
    """Map the dotted path of every section, such as `localize.rib`, to its class, in the order of the schema."""
    return dict(_walk(RunConfig, ""))


def _walk(kind: type, prefix: str) -> Iterator[tuple[str, type]]:
    for name, annotation in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield f"{prefix}{name}", annotation
            yield from _walk(annotation, f"{prefix}{name}.")


def parent(path: str) -> str:
    """Return the section that a setting or section is in; empty for the topmost."""
    return path.rpartition(".")[0]


def settings_in(section: str, *, nested: bool) -> tuple[str, ...]:
    """Return the paths of a section's settings, with or without those of the sections in it."""
    within = (path for path in field_types() if path.startswith(f"{section}."))
    return tuple(path for path in within if nested or parent(path) == section)


def sections_in(section: str) -> tuple[str, ...]:
    """Return the paths of the sections right within one; those of the stages for an empty path."""
    return tuple(path for path in section_classes() if parent(path) == section)


def summarize_section(path: str) -> str:
    """Say what a section is about, in half a sentence."""
    registries: dict[str, Registry[Any]] = {"localize": LOCALIZERS, "refine": REFINERS}
    registry, name = registries.get(parent(path)), path.rpartition(".")[2]
    if registry is not None and name in registry.names():
        return str(registry.load(name).summary)
    text = _parse(section_classes()[path])[0] if parent(path) == "" else explain_setting(path)
    half = text.split(". ")[0].rstrip(".")
    return half[:1].lower() + half[1:] if half[1:2].islower() else half


def explain_setting(path: str) -> str:
    """Return what the docstring of its class says of a setting, or of a section within one, in one line."""
    kind = section_classes()[parent(path)] if parent(path) else RunConfig
    return _parse(kind)[1].get(path.rpartition(".")[2], "")


def describe_values(path: str) -> str:
    """Say which values a setting takes: `a whole number, at least 1`."""
    words, bounds = describe_type(field_types()[path]), setting_ranges().get(path)
    return words if bounds is None else f"{words}, {_describe_bounds(bounds)}"


def _describe_bounds(bounds: Bounds) -> str:
    if not isinstance(bounds, tuple):
        return str(bounds)
    return f"{', '.join(map(str, bounds))} in turn"


@cache
def _parse(kind: type) -> tuple[str, dict[str, str]]:
    """Return the summary of a class's docstring, and what it says of each field."""
    parsed = docstring_parser.parse(kind.__doc__ or "")
    texts = {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
    return " ".join((parsed.short_description or "").split()), texts
