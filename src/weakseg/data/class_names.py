"""What a class may be called, and names that are probably slips."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from weakseg.data.base import Problem
from weakseg.errors import DataError

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__"})
"""Names, in small letters, that people give to what is none of the classes."""

BACKGROUND_ADVICE = "label 0 is the background of every mask; remove it, or let --data.background_tag drop pass over it"

_EMPTY_WORDS = frozenset({"nan", "none", "null", "nil", "n/a", "na", "#n/a", "undefined", "-", "--", "."})
_NEGATIVE_WORDS = frozenset({"negative", "negatives", "nothing", "empty", "no finding", "no label", "unlabeled"})
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"
_BRACKETS = re.compile(r"[\[\]{}<>]")


def compose_name(name: str) -> str:
    """Trim a class name and compose its accents (NFC), since macOS writes them decomposed."""
    return unicodedata.normalize("NFC", name.strip())


def is_background(name: str) -> bool:
    """Say whether a name means what is none of the classes."""
    return name.casefold() in BACKGROUND_NAMES


def check_class_names(names: Iterable[str], *, source: str) -> tuple[Problem, ...]:
    """Tell which class names look like slips.

    Returns:
        `odd-class-name` for names such as `[cat`, `nan` or ones with invisible characters, and `similar-tags` for those
        that differ only by case, by the form of their letters or by what cannot be seen.

    Raises:
        DataError: If a name has a line break or another control character in it.
    """
    names = list(dict.fromkeys(names))
    problems = []
    for name in names:
        if any(unicodedata.category(letter) == "Cc" for letter in name):
            raise DataError(
                f"{source}: a class name holds one line without control characters, got {name[:60]!a}; a quotation "
                "mark may be missing, or a tab stand where a separator should"
            )
        slip = _find_slip(name)
        if slip is not None:
            message = f"the class {_visible(name)} {slip}; correct {source} if it is a slip"
            problems.append(Problem("warning", "odd-class-name", source, message))
    return (*problems, *_similar_names(names, source))


def _find_slip(name: str) -> str | None:
    if any(unicodedata.category(letter) == "Cf" for letter in name):
        return "holds a character that cannot be seen"
    if name.casefold() in _EMPTY_WORDS:
        return "looks like an empty cell; an empty cell says that an image shows none of the classes"
    if re.sub(r"[\s_-]+", " ", name.casefold()) in _NEGATIVE_WORDS:
        return "seems to say that an image shows none of the classes; an empty cell or the folder _none says that"
    if _BRACKETS.search(name) or name.count("(") != name.count(")"):
        return "holds a bracket, as if a list had not been read"
    if name[0] in _QUOTES or name[-1] in _QUOTES:
        return "begins or ends with a quotation mark"
    return None


def _similar_names(names: Iterable[str], source: str) -> list[Problem]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_fold(name)].append(name)
    message = "these are different classes, since they are spelled differently; use one spelling if that is not meant"
    return [
        Problem("warning", "similar-tags", source, f"{', '.join(map(_visible, group))}: {message}")
        for group in groups.values()
        if len(group) > 1
    ]


def _fold(name: str) -> str:
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", seen.casefold())).strip()


def _visible(name: str) -> str:
    """Write a name so that what cannot be seen in it can."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) == "Cf" or (letter.isspace() and letter != " ") else letter
        for letter in name
    )
