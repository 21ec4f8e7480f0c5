"""Parting a cell of a table into tags: `cat;dog`, `cat|dog`, `['cat', 'dog']`, and what only looks like several."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from weakseg.data.base import Problem
from weakseg.errors import DataError

SEPARATOR = ";"
UNKNOWN_MARK = "?"

_SURE_MARKS = (";", "|", "\uff1b", "\uff5c")
"""No class is called so; the last two are the wide forms of East Asian keyboards."""

_SURE = re.compile(f"[{re.escape(''.join(_SURE_MARKS))}]")

_LIKELY_MARKS = ("/", ",", "#", "+", "&", "\uff0c", "\u3001", "\uff0f")
"""They part tags where the parts occur as tags of their own."""

_BLANK = " "
_OTHER_BLANKS = ("\u00a0", "\u3000")
_WIDE_BLANK = re.compile(f"[{''.join(_OTHER_BLANKS)}]")
_RARE_MARKS = (
    *("\\", ":", "~", " and ", "*", "^", "$", "!", "@", "=", ">", "<", "%", "\u2022", "\u00b7", "-", "_", "."),
    _BLANK,
)
"""They are part of names, too: only where a list fixes the names do they part tags."""
_ANY_MARK = re.compile(
    "[" + re.escape("".join((*_SURE_MARKS, *_LIKELY_MARKS, *_RARE_MARKS, *_OTHER_BLANKS))) + r"\[({]"
)
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


def is_one_tag(cell: str) -> bool:
    """Say whether a cell holds a single tag whatever others hold: it has no mark that may part tags."""
    return _ANY_MARK.search(cell) is None


def part_cells(
    cells: Iterable[str], *, source: str, separator: str | None = None, known: Collection[str] = ()
) -> PartedCells:
    """Part cells into tags.

    Lists in Python's and JSON's writing are read as such. `;` and `|` always part; `/ , # + &` where the parts are tags
    of their own elsewhere. A name of `known` is never parted, and a space, hyphen and the like part only names of
    `known`.

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
    names = _names_of(tokens)
    for mark in (*_LIKELY_MARKS, *_RARE_MARKS):
        parted = _names_to_part(names, mark, source=source, known=frozenset(known), problems=problems)
        if parted:
            tokens = {cell: _part(found, mark, parted) for cell, found in tokens.items()}
            names = _names_of(tokens)
    return PartedCells(tokens, tuple(problems))


def _names_of(tokens: Mapping[str, tuple[str, ...]]) -> Collection[str]:
    return dict.fromkeys(_bare(token) for found in tokens.values() for token in found)


def _first_parts(cell: str, separator: str | None) -> tuple[str, ...]:
    listed = _read_list(cell.strip())
    if listed is not None:
        return _clean(listed)
    if separator is not None:
        return _clean(cell.split() if not separator.strip() else cell.split(separator))
    return _clean(_SURE.split(cell))


def _read_list(cell: str) -> list[str] | None:
    """Read `['a', "b"]`, `('a',)`, `{'a'}`, `set()`, `['a' 'b']` (NumPy) or `[a, b]`; None for anything else."""
    if cell in ("set()", "frozenset()"):
        return []
    match = _LIST.match(cell)
    if match is None or any(bracket in match.group(1) for bracket in "[](){}" if not cell.startswith("{")):
        return None
    inner = match.group(1)
    quoted = [one or other for one, other in _QUOTED.findall(inner)]
    if len(quoted) > 1 and not set(",:") & set(_QUOTED.sub("", inner)):
        return quoted  # Python itself would join 'a' 'b' to one
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            return _read_mapping(value)
        if isinstance(value, list | tuple | set) and all(isinstance(part, str) for part in value):
            return [str(part) for part in (sorted(value) if isinstance(value, set) else value)]
    if quoted:
        return quoted
    return re.split("[,;]", inner) if cell[0] in "[{" and ":" not in inner else None


def _read_mapping(value: dict[object, object]) -> list[str] | None:
    """Read `{"cat": 1, "dog": 0}`, and `{"choices": ["cat"]}` as Label Studio writes it."""
    if all(isinstance(name, str) and mark in (0, 1) for name, mark in value.items()):
        return [str(name) for name, mark in value.items() if mark]
    listed = next(iter(value.values())) if len(value) == 1 else None
    if isinstance(listed, list) and all(isinstance(part, str) for part in listed):
        return [str(part) for part in listed]
    return None


def _clean(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in parts) if part)


def _bare(token: str) -> str:
    return token.removeprefix(UNKNOWN_MARK).strip()


def _split(name: str, mark: str) -> tuple[str, ...]:
    if mark == _BLANK:
        for wide in _OTHER_BLANKS:
            name = name.replace(wide, _BLANK)
    return _clean(name.split(mark)) if mark in name else (name,)


def _part(tokens: tuple[str, ...], mark: str, parted: Collection[str]) -> tuple[str, ...]:
    parts: list[str] = []
    for token in tokens:
        parts += _split(token, mark) if _bare(token) in parted else [token]
    return tuple(parts)


def _names_to_part(
    names: Collection[str], mark: str, *, source: str, known: frozenset[str], problems: list[Problem]
) -> frozenset[str]:
    """Decide which names a mark parts; the doubtful are told, or refused where their parts are tags elsewhere."""
    marked = [name for name in names if mark in name]
    if mark == _BLANK:
        marked += [name for name in names if mark not in name and _WIDE_BLANK.search(name)]
    parts = {name: [_bare(part) for part in _split(name, mark)] for name in marked}
    parts = {name: found for name, found in parts.items() if len(found) > 1 and name.casefold() not in _NO_PARTS}
    if not parts:
        return frozenset()
    alone = {name for name in names if name not in parts} | known
    alike = {name.casefold() for name in alone}
    uses = Counter(part for found in parts.values() for part in set(found))
    chosen = []
    for name, found in parts.items():
        if name in known:
            continue
        num_alone = sum(part in alone for part in found)
        if mark in _RARE_MARKS:
            sure = bool(known) and num_alone == len(found)
            doubtful = all(part.casefold() in alike for part in found)
            odd = mark == _BLANK and (num_alone > 0 or all(uses[part] > 1 for part in found))
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
