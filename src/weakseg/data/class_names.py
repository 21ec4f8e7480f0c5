"""What a class may be called, and names that are probably slips."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from weakseg.data.base import Problem
from weakseg.errors import DataError

BACKGROUND_ADVICE = "label 0 is the background of every mask; remove it, or let --data.background_tag drop pass over it"

_BACKGROUND = "background"
_EMPTY_WORDS = frozenset({"nan", "none", "null", "nil", "n/a", "na", "#n/a", "undefined", "-", "--", "."})
_NEGATIVE_WORDS = frozenset(
    (
        *("negative", "negatives", "nothing", "empty", "no finding", "no label", "unlabeled", "unlabelled"),
        *("no object", "no objects", "no class", "none of these", "other", "others", "rest", "misc"),
        *("bg", "hintergrund", "fond", "arri\u00e8re plan", "fondo", "sfondo", "fundo", "achtergrond", "bakgrund"),
        *("\u0444\u043e\u043d", "\u80cc\u666f", "\ubc30\uacbd"),
    )
)
_UNKNOWN_WORDS = frozenset({"unknown", "unclear", "unsure", "not sure", "void", "ignore", "ignored", "todo", "tbd"})
_MARK_PAIRS = (
    *({"0", "1"}, {"no", "yes"}, {"false", "true"}, {"n", "y"}, {"f", "t"}, {"nein", "ja"}, {"absent", "present"}),
)
QUOTES = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
"""Quotation marks that people put around names."""

_NOT = re.compile(r"(?:no|not|non|without|kein|keine)[\s_-]+(.+)")
_SCORED = re.compile(r".*(?:[:=]\s*(?:[01]|[01]?[.,][0-9]+)|\(\s*[01]?[.,][0-9]+\s*\))")
_WHOLE = re.compile(r"[0-9]+\.0")
_SHOWN = 8  # names in a message
_ONE_HOT = re.compile(r"[01]{2,}")
_BRACKETS = re.compile(r"[\[\]{}<>]")


def compose_name(name: str) -> str:
    """Trim a class name and compose its accents (NFC), since macOS writes them decomposed."""
    return unicodedata.normalize("NFC", name.strip())


def is_background(name: str) -> bool:
    """Say whether a name means what is none of the classes."""
    return re.sub(r"[\s_-]", "", name.casefold()) == _BACKGROUND


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
        slip = _find_slip(name, names)
        if slip is not None:
            message = f"the class {_visible(name)} {slip}; correct {source} if it is a slip"
            problems.append(Problem("warning", "odd-class-name", source, message))
    return (*problems, *_only_marks(names, source), *_similar_names(names, source))


def _only_marks(names: list[str], source: str) -> list[Problem]:
    """Say that the only classes are 0 and 1, or 010 and 100, which look like marks of classes without a name."""
    shown = ", ".join(names[:_SHOWN])
    if {name.casefold() for name in names} in _MARK_PAIRS:
        message = f"the only classes are {shown}, which look like marks: call their column after the class (image,cat)"
    elif len(names) > 1 and all(map(_ONE_HOT.fullmatch, names)) and len({len(name) for name in names}) == 1:
        message = f"the classes {shown} look like marks of several classes: write a column per class with its name"
    else:
        return []
    return [Problem("warning", "odd-class-name", source, message)]


def _find_slip(name: str, names: list[str]) -> str | None:
    if any(unicodedata.category(letter) == "Cf" for letter in name):
        return "holds a character that cannot be seen"
    word = re.sub(r"[\s_-]+", " ", name.casefold()).strip()
    if name.casefold() in _EMPTY_WORDS or word in _EMPTY_WORDS:
        return "looks like an empty cell; an empty cell says that an image shows none of the classes"
    if word in _UNKNOWN_WORDS:
        return "seems to say that it is not known what an image shows; '?' before the name of a class says that"
    denied = _NOT.fullmatch(word)
    if word in _NEGATIVE_WORDS or (denied is not None and denied.group(1) in {fold_name(other) for other in names}):
        return "seems to say that an image shows none of the classes; an empty cell or the folder _none says that"
    if _BRACKETS.search(name) or name.count("(") != name.count(")"):
        return "holds a bracket, as if a list had not been read"
    if _SCORED.fullmatch(name):
        return "ends in a number, as if a score or a mark were meant"
    if name[:1] in QUOTES or name[-1:] in QUOTES:
        return "begins or ends with a quotation mark"
    return None


def _similar_names(names: Iterable[str], source: str) -> list[Problem]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[fold_name(name)].append(name)
    message = "these are different classes, since they are spelled differently; use one spelling if that is not meant"
    return [
        Problem("warning", "similar-tags", source, f"{', '.join(map(_visible, group))}: {message}")
        for group in groups.values()
        if len(group) > 1
    ]


def fold_name(name: str) -> str:
    """Write a class name so that those which differ only in case, spaces, invisible letters or as 1 and 1.0 agree."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    folded = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", seen.casefold())).strip()
    return folded.removesuffix(".0") if _WHOLE.fullmatch(folded) else folded


def _visible(name: str) -> str:
    """Write a name so that what cannot be seen in it can."""
    return "".join(
        ascii(letter)[1:-1] if unicodedata.category(letter) == "Cf" or (letter.isspace() and letter != " ") else letter
        for letter in name
    )
