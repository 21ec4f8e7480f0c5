"""Parting a cell of a table into tags: `cat;dog`, `cat|dog`, `['cat', 'dog']`, and what only looks like several."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from weakseg.data.base import Problem
from weakseg.data.class_names import QUOTES
from weakseg.data.tag_lists import read_list
from weakseg.errors import DataError

SEPARATOR = ";"
UNKNOWN_MARK = "?"

_SURE_MARKS = (";", "|", "\uff1b", "\uff5c", "\t", "\n", "\r")
"""No class is called so; `\uff1b` and `\uff5c` are the wide forms of East Asian keyboards."""

_SURE = re.compile(f"[{re.escape(''.join(_SURE_MARKS))}]")

_LIKELY_MARKS = ("/", ",", "#", "+", "&", "\uff0c", "\u3001", "\uff0f")
"""They part tags where the parts occur as tags of their own."""

_BLANK = " "
_OTHER_BLANKS = ("\u00a0", "\u3000")
_WIDE_BLANK = re.compile(f"[{''.join(_OTHER_BLANKS)}]")
_RARE_MARKS = (
    *(" and ", " or ", " und ", " oder ", " et ", " ou ", " y ", " e ", " en ", " och ", " og ", " \u0438 "),
    *("\\", ":", "~", "*", "^", "$", "!", "@", "=", ">", "<", "%", "\u2022", "\u00b7", "-", "_", "."),
    _BLANK,
)
"""They are part of names, too: only where a list fixes the names do they part tags."""
_ANY_MARK = re.compile(
    "[" + re.escape("".join((*_SURE_MARKS, *_LIKELY_MARKS, *_RARE_MARKS, *_OTHER_BLANKS))) + r"\[({]"
)
_NO_PARTS = re.compile(r"n/a|/[a-z]/[a-z0-9_]+", re.IGNORECASE)
"""Names with a mark that parts nothing, such as `/m/01yrx` of Open Images."""

_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{2,4});")
_HASHTAGS = re.compile(r"(?:#[^\W\d][\w-]*[\s,;]*)+")
_SHOWN = 60  # letters of a cell in a message
_MAX_COMPARED = 1000  # names; a data set has at most 254 classes


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
        separator: What parts tags; nothing else does then, but for lists. None finds it out. One that occurs in no
            cell is told, but for `;`, which messages advise for keeping every name as one.
        known: The class names, where a list fixes them.

    Raises:
        DataError: If a name looks like several tags, and nothing tells whether it is one.
    """
    names_known = frozenset(known)
    tokens = {cell: _first_parts(cell, separator, names_known) for cell in dict.fromkeys(cells)}
    if separator is not None:
        return PartedCells(tokens, _doubt_separator(separator, tokens, source))
    problems: list[Problem] = []
    names = _names_of(tokens)
    for mark in (*_LIKELY_MARKS, *_RARE_MARKS):
        parted = _names_to_part(names, mark, source=source, known=names_known, problems=problems)
        if parted:
            tokens = {cell: _part(found, mark, parted) for cell, found in tokens.items()}
            names = _names_of(tokens)
    doubted = " ".join(problem.message for problem in problems)
    joined = (find_joined(name, names) for name in names if name not in known and f"'{name}'" not in doubted)
    for name, parts, mark in filter(None, joined if len(names) <= _MAX_COMPARED else ()):
        if not any(map(str.isalnum, mark)):
            raise DataError(f"{source}: {_doubt(name, parts, mark)}")
        problems.append(Problem("warning", "several-in-one", source, f"{_doubt(name, parts, mark)}; it is one now"))
    return PartedCells(tokens, tuple(problems))


def _names_of(tokens: Mapping[str, tuple[str, ...]]) -> Collection[str]:
    return dict.fromkeys(_bare(token) for found in tokens.values() for token in found)


def _first_parts(cell: str, separator: str | None, known: frozenset[str]) -> tuple[str, ...]:
    listed = read_list(cell.strip()) if cell.strip() not in known else None  # a class may be called `(cat)`
    if listed is not None:
        return _clean(listed)
    cell = _without_quotes(html.unescape(cell) if _ENTITY.search(cell) else cell)
    if _HASHTAGS.fullmatch(cell):
        return _clean(part.rstrip(",; ") for part in cell.split("#"))
    if separator is not None:
        return _clean(cell.split() if not separator.strip() else cell.split(separator))
    return _clean(_SURE.split(cell))


def _doubt_separator(separator: str, cells: Collection[str], source: str) -> tuple[Problem, ...]:
    """Warn of a separator that occurs nowhere: it parts nothing, and keeps every doubt about names from being told."""
    filled = [cell for cell in (html.unescape(cell).strip() for cell in cells) if cell]
    is_blank = not separator.strip()
    occurs = any(len(cell.split()) > 1 if is_blank else separator in cell for cell in filled)
    if occurs or not filled or separator == SEPARATOR:
        return ()
    message = (
        f"data.tag_separator '{separator}' occurs in no cell of tags, such as '{filled[0][:_SHOWN]}', so that each is "
        "one tag; write the mark that parts them, or leave the setting out"
    )
    return (Problem("warning", "unused-separator", source, message),)


def _clean(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for part in (_without_quotes(part) for part in parts) if part)


def _without_quotes(text: str) -> str:
    """Trim a text, and take off quotation marks around it."""
    text = text.strip()
    inner = text[1:-1]
    around = len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES and not set(inner) & {text[0], text[-1]}
    return inner.strip() if around else text


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


def find_joined(name: str, names: Collection[str]) -> tuple[str, list[str], str] | None:
    """Find two names of others at the ends of a name, and what joins them, whatever it is: `cat<br>dog`.

    Returns:
        The name, the two others and what stands between them; None where there are none.
    """
    alike = {other.casefold() for other in names if other != name}
    folded = name.casefold()
    for end in range(1, len(folded)):
        if folded[end].isalnum() or folded[:end] not in alike:
            continue
        for start in range(end + 1, len(folded)):
            if folded[start:] in alike:
                return name, [name[:end], name[start:]], name[end:start]
    return None


def _names_to_part(
    names: Collection[str], mark: str, *, source: str, known: frozenset[str], problems: list[Problem]
) -> frozenset[str]:
    """Decide which names a mark parts; the doubtful are told, or refused where their parts are tags elsewhere."""
    marked = [name for name in names if mark in name]
    if mark == _BLANK:
        marked += [name for name in names if mark not in name and _WIDE_BLANK.search(name)]
    parts = {name: [_bare(part) for part in _split(name, mark)] for name in marked}
    parts = {name: found for name, found in parts.items() if len(found) > 1 and not _NO_PARTS.fullmatch(name)}
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
