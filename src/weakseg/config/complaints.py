"""Settings of a recipe by dotted path, and complaints about them: `path: expected ..., got ...; did you mean ...?`."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from functools import cache

from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError
from weakseg.files import JsonValue
from weakseg.spelling import nearest


def explain(error: Exception) -> ConfigError:
    """Reword a complaint of jsonargparse as one line: path, what was expected, what arrived, nearest valid name."""
    text = str(error)
    unknown = re.search(r"(?:[Uu]nrecognized arguments:|does not accept option)\s+'?(?:--)?([\w.]+)'?=?\s*(.*)", text)
    if unknown:
        group = re.search(r"Group '([\w.]+)'", text)
        path = f"{group.group(1)}.{unknown.group(1)}" if group else unknown.group(1)
        return unknown_key(path, unknown.group(2).strip() or None)
    named = re.findall(r'key "([\w.]+)"', text)
    if named and named[-1] in field_types():
        path = named[-1]  # the innermost of nested complaints
        # A setting of several types has a complaint for each, and the value after the last one.
        arrived = re.search(r".*(?:Got|Given) value: (.*?)\s*$", text, re.DOTALL)
        got = " ".join(arrived.group(1).split()) if arrived else "something else"
        return ConfigError(f"{path}: expected {describe_type(field_types()[path])}, got {got}")
    loaded = re.search(r"Unable to load config '(.*?)'", text, re.DOTALL)
    if named and loaded:
        return unknown_key(named[-1], loaded.group(1))
    return ConfigError(" ".join(text.split()))


def unknown_key(path: str, value: JsonValue) -> ConfigError:
    """Return the complaint about a setting that does not exist, with the nearest that does.

    Args:
        path: Its dotted path.
        value: What it was to be, or None if that is not known.
    """
    if any(known.startswith(f"{path}.") for known in field_types()):
        return ConfigError(f"{path}: expected a section with settings of its own, got {value}")
    got = "" if value is None else f" (got {value})"
    same_leaf = [known for known in field_types() if known.split(".")[-1] == path.split(".")[-1]]
    hint = f"did you mean '{same_leaf[0]}'?" if len(same_leaf) == 1 else nearest(path, field_types())
    return ConfigError(f"{path}: no such setting{got}; {hint}")


@cache
def field_types() -> dict[str, object]:
    """Map the dotted path of every setting to its annotation."""
    return dict(_walk_types(RunConfig, ""))


def _walk_types(section: type, prefix: str) -> Iterator[tuple[str, object]]:
    for name, annotation in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield from _walk_types(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", annotation


def describe_type(annotation: object) -> str:
    """Say an annotation in words a user knows."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal and len(arguments) == 1:
        return str(arguments[0])
    if origin is typing.Literal:
        return f"one of {', '.join(str(argument) for argument in arguments)}"
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {describe_type(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(describe_type(argument) for argument in arguments)}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    words: dict[object, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(annotation, "null" if annotation is type(None) else str(annotation))
