"""Parting a cell of a table into tags: `cat;dog`, `cat|dog`, `['cat', 'dog']`, and what only looks like several."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from weakseg.data.base import Problem
from weakseg.errors import DataError

SEPARATOR = ";"
UNKNOWN_MARK = "?"

_SURE_MARKS = (";", "|")
"""No class is called so."""

_LIKELY_MARKS = ("/", ",", "#", "+", "&")
"""They part tags where the parts occur as tags of their own."""

_BLANK = " "
_NO_PARTS = frozenset({"n/a"})
_LIST = re.compile(r"^(?:set|frozenset|array)?\s*\(?\s*[\[({](.*?)[\])}]\s*(?:,\s*dtype=\w+)?\)?$", re.DOTALL)
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


@dataclass(frozen=True)
class PartedCells:
    """The tags of many cells.

    Args:
        tokens: By cell as written, its tags; those that begin with `?` are not known.
        problems: Cells that may hold several tags and are taken as one.
    """

    tokens: dict[str, tuple[str, ...]]
    problems: tuple[Problem, ...]


def part_cells(
    cells: Iterable[str], *, source: str, separator: str | None = None, known: Collection[str] = ()
) -> PartedCells:
    """Part cells into tags.

    Lists in Python's and JSON's writing are read as such. `;` and `|` always part; `/ , # + &` where the parts are tags
    of their own elsewhere. A name of `known` is never parted, and a space parts only names of `known`.

    Args:
        cells: The cells of all rows, since only all of them tell what a mark means.
        source: Where they are written, for messages.
        separator: What parts tags; nothing else does then, but for lists. None finds it out.
        known: The class names, where a list fixes them.

    Raises:
        DataError: If a name looks like several tags, and nothing tells whether it is one.
    """
    tokens = {cell: _first_parts(cell, separator) for cell in dict.fromkeys(cells)}
    if separator is not None:
        return PartedCells(tokens, ())
    problems: list[Problem] = []
    for mark in (*_LIKELY_MARKS, _BLANK):
        names = dict.fromkeys(_bare(token) for found in tokens.values() for token in found)
        parted = _names_to_part(names, mark, source=source, known=frozenset(known), problems=problems)
        if parted:
            tokens = {cell: _part(found, mark, parted) for cell, found in tokens.items()}
    return PartedCells(tokens, tuple(problems))


def _first_parts(cell: str, separator: str | None) -> tuple[str, ...]:
    listed = _read_list(cell.strip())
    if listed is not None:
        return _clean(listed)
    if separator is not None:
        return _clean(cell.split() if not separator.strip() else cell.split(separator))
    return _clean(re.split(f"[{re.escape(''.join(_SURE_MARKS))}]", cell))


def _read_list(cell: str) -> list[str] | None:
    """Read `['a', "b"]`, `('a',)`, `{'a'}`, `set()`, `['a' 'b']` (NumPy) or `[a, b]`; None for anything else."""
    if cell in ("set()", "frozenset()"):
        return []
    match = _LIST.match(cell)
    if match is None or ";" in match.group(1):
        return None
    quoted = [one or other for one, other in _QUOTED.findall(match.group(1))]
    if len(quoted) > 1 and "," not in _QUOTED.sub("", match.group(1)):
        return quoted  # Python itself would join 'a' 'b' to one
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list | tuple | set) and all(isinstance(part, str) for part in value):
            return [str(part) for part in (sorted(value) if isinstance(value, set) else value)]
    if quoted:
        return quoted
    return match.group(1).split(",") if cell.startswith("[") else None


def _clean(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in parts) if part)


def _bare(token: str) -> str:
    return token.removeprefix(UNKNOWN_MARK).strip()


def _part(tokens: tuple[str, ...], mark: str, parted: Collection[str]) -> tuple[str, ...]:
    parts: list[str] = []
    for token in tokens:
        parts += _clean(token.split(mark)) if _bare(token) in parted else [token]
    return tuple(parts)


def _names_to_part(
    names: Collection[str], mark: str, *, source: str, known: frozenset[str], problems: list[Problem]
) -> frozenset[str]:
    """Decide which names a mark parts; the doubtful are told, or refused where their parts are tags elsewhere."""
    parts = {name: [_bare(part) for part in _clean(name.split(mark))] for name in names if mark in name}
    parts = {name: found for name, found in parts.items() if len(found) > 1 and name.casefold() not in _NO_PARTS}
    alone = {name for name in names if name not in parts} | known
    uses = Counter(part for found in parts.values() for part in set(found))
    chosen = []
    for name, found in parts.items():
        if name in known:
            continue
        num_alone = sum(part in alone for part in found)
        if mark == _BLANK:
            sure = bool(known) and num_alone == len(found)
            doubtful = num_alone == len(found)
            odd = all(part in alone or uses[part] > 1 for part in found)
        else:
            sure = num_alone == len(found) or (mark == "/" and num_alone > 0)
            doubtful = num_alone > 0 or any(uses[part] > 1 for part in found)
            odd = mark == "/"
        if sure:
            chosen.append(name)
        elif doubtful:
            raise DataError(f"{source}: {_doubt(name, found, mark)}")
        elif odd:
            problems.append(Problem("warning", "several-in-one", source, f"{_doubt(name, found, mark)}; it is one now"))
    return frozenset(chosen)


def _doubt(name: str, parts: list[str], mark: str) -> str:
    listed = " and ".join(f"'{part}'" for part in parts)
    return (
        f"the tag '{name}' looks like several ({listed}): --data.tag_separator '{mark}' parts such tags, "
        f"--data.tag_separator '{SEPARATOR}' keeps each as one"
    )
