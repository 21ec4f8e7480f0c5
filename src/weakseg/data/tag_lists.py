"""Cells that hold a list, as programs write it: `['cat', 'dog']`, `["cat"]`, `{'cat': 1}`, `[{"name": "cat"}]`."""

from __future__ import annotations

import ast
import json
import re

_LIST = re.compile(
    r"^(?:set|frozenset|array|Index)?\s*\(?\s*[\[({](.*?)[\])}]\s*(?:,\s*dtype='?\w+'?)?\s*\)?$", re.DOTALL
)
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_NUMPY_TEXT = re.compile(r"""np\.str_\(('[^']*'|"[^"]*")\)""")
_CURLY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_OPENING = ("[", "{", "(", "set", "frozenset", "array", "Index")
_NAME_KEYS = ("name", "label", "class", "category", "tag", "title", "value", "class_name", "label_name")
"""Keys under which an object of a list has its tag."""


def read_list(cell: str) -> list[str] | None:
    """Read a trimmed cell that is a list; None for anything else.

    Read are lists, tuples and sets of Python, also within each other, arrays of NumPy, JSON, `[a, b]` and `(a, b)`
    without quotes, `{"cat": 1, "dog": 0}`, and objects that name a tag.
    """
    if not cell.startswith(_OPENING):
        return None
    in_parentheses = cell.startswith("(") and cell.endswith(")")
    if cell in ("set()", "frozenset()"):
        return []
    cell = _NUMPY_TEXT.sub(r"\1", cell.translate(_CURLY))
    match = _LIST.match(cell)
    inner = "" if match is None else match.group(1)
    quoted = [one or other for one, other in _QUOTED.findall(inner)]
    if len(quoted) > 1 and not set(",:[{\\") & set(_QUOTED.sub("", inner)):
        return quoted  # Python itself would join 'a' 'b' to one
    for read in (json.loads, ast.literal_eval):
        try:
            value: object = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        is_list = isinstance(value, list | tuple | set | dict)
        return _flatten(value) if is_list or in_parentheses else None  # `('cat')` is no tuple to Python
    if match is None or set("[](){}") & set(inner):
        return None
    if quoted or not inner.strip():
        return quoted
    return re.split("[,;]", inner) if (cell[0] in "[{" or in_parentheses) and ":" not in inner else None


def _flatten(value: object) -> list[str] | None:
    """Return the texts and numbers within lists and objects, or None where an object names no tag."""
    if isinstance(value, str | int | float):
        return [] if value != value else [str(value)]  # NaN is no tag
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode(errors="replace")]
    if isinstance(value, dict):
        return _read_mapping(value)
    if not isinstance(value, list | tuple | set):
        return None
    parts = [_flatten(part) for part in (sorted(value, key=str) if isinstance(value, set) else value)]
    return [name for part in parts for name in part or ()] if None not in parts else None


def _read_mapping(value: dict[object, object]) -> list[str] | None:
    """Read `{"cat": 1, "dog": 0}`, `{"choices": ["cat"]}` as Label Studio writes it, and `{"name": "cat", ...}`."""
    if all(isinstance(name, str) and mark in (0, 1) for name, mark in value.items()):
        return [str(name) for name, mark in value.items() if mark]
    named = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if named is not None:
        return [str(named)]
    only = next(iter(value.values())) if len(value) == 1 else None
    return _flatten(only) if isinstance(only, list | str | dict) else None
