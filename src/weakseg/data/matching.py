"""Finding the images that people mean by the names they write into tables and lists, and by those of their masks."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath
from urllib.parse import unquote

from weakseg.data.base import Problem
from weakseg.data.images import IMAGE_SUFFIXES, OTHER_PICTURES

NUM_NEAREST = 3
"""Files that are named beside a name that fits none, or several."""

_NUMBER = re.compile(r"([0-9]{1,18})(?:\.0)?")
_MAX_SUGGESTIONS = 20  # comparing a name with every file is slow, and nobody reads thousands of such lines


class Closeness(IntEnum):
    """How a name was found to mean an image; the smaller, the surer."""

    WHOLE = 0
    ENDING = 1
    LOOSE = 2
    """By a longer path, another suffix, or a stem in another spelling."""
    NONE = 3


@dataclass(frozen=True)
class Match:
    """The images that a name may mean.

    Args:
        closeness: How they were found.
        ids: Their ids. Only a single one is meant; several are ambiguous.
    """

    closeness: Closeness
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Matches:
    """What a list of names means.

    Args:
        ids: Image id by the name as written, for every name that means one; several names may mean one image.
        problems: `ambiguous-image` and `missing-image` for the other names.
    """

    ids: dict[str, str]
    problems: tuple[Problem, ...]


class ImageNames:
    """Looks up images by names with or without folders and suffix.

    Args:
        paths: Paths of each image relative to the root, `/` between their parts, by image id. The first is the image's;
            others are files that differ from it in the suffix only.
    """

    def __init__(self, paths: Mapping[str, tuple[str, ...]]) -> None:
        self._paths = {key: files[0] for key, files in paths.items()}
        self._whole: dict[str, str] = {}
        self._by_last_part: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for key, files in paths.items():
            for form in (plain_name(name) for name in (key, *files)):
                self._whole.setdefault(form, key)
                self._by_last_part[_last_part(form)][form] = key
            self._by_stem[_fold(_last_part(key))].append(key)
        self._by_number: defaultdict[int, list[str]] = defaultdict(list)
        for key in paths:
            number = _NUMBER.fullmatch(_last_part(key))
            if number is not None:
                self._by_number[int(number.group(1))].append(key)
        self._folders: defaultdict[str, set[str]] = defaultdict(set)
        holders = {path.rpartition("/")[0] for path in self._paths.values()}
        for holder in map(PurePosixPath, holders):
            for folder in [place for place in (holder, *holder.parents) if place.name]:
                self._folders[folder.parent.as_posix() if folder.parent.name else ""].add(folder.name)

    def find(self, written: str) -> Match:
        """Find what a name means: by its whole path, else by the ending of a path, else by its stem.

        Either path may be the longer one: `a.jpg` is the ending of `images/a.jpg`, and `images/a.jpg` that of
        `C:/photos/images/a.jpg`. Stems are compared without regard to case and to how Unicode writes their letters;
        then without quotation marks, `%20` and `?w=200` of addresses, and zeros before a number.
        """
        name = plain_name(written)
        names = dict.fromkeys((name, name.strip()))
        stems = [_without_suffix(form) for form in names if _without_suffix(form) != form]
        for forms, sure in ((names, Closeness.WHOLE), (stems, Closeness.LOOSE)):
            for form in forms:
                if form in self._whole:
                    return Match(sure, (self._whole[form],))
        for forms, sure in ((names, Closeness.ENDING), (stems, Closeness.LOOSE)):
            for form in forms:
                ids = self._with_ending(form)
                if ids:
                    return Match(sure, ids)
        for form in (*names, *stems):
            ids = self._within(form)
            if ids:
                return Match(Closeness.LOOSE, ids)
        ids = next((found for found in map(self._with_stem, (name, *_spellings(name))) if found), ())
        return Match(Closeness.LOOSE if ids else Closeness.NONE, ids)

    def nearest(self, written: str) -> tuple[str, ...]:
        """Return the paths of the files whose names are spelt most like a name, the nearest first."""
        by_name: dict[str, str] = {}
        for path in self._paths.values():
            by_name.setdefault(_fold(_last_part(path)), path)
        wanted = _fold(_last_part(plain_name(written)))
        return tuple(by_name[name] for name in difflib.get_close_matches(wanted, by_name, n=NUM_NEAREST, cutoff=0.0))

    def is_spelling_of(self, written: str, key: str) -> bool:
        """Say whether a name is that of an image but for upper and lower case and accents, its suffix included."""
        name, path = _fold(plain_name(written).strip()), _fold(self._paths[key])
        return path == name or path.endswith(f"/{name}") or name.endswith(f"/{path}")

    def path_of(self, key: str) -> str:
        """Return the path of an image relative to the root."""
        return self._paths[key]

    def folders_in(self, parent: str) -> tuple[str, ...]:
        """Return the names of the folders directly below a folder (the root is '') that hold images, sorted."""
        return tuple(sorted(self._folders.get(parent, ())))

    def _with_stem(self, form: str) -> tuple[str, ...]:
        ids = tuple(self._by_stem.get(_stem(form), ()))
        number = None if ids else _NUMBER.fullmatch(_without_suffix(_last_part(form)).strip())
        return ids if number is None else tuple(self._by_number.get(int(number.group(1)), ()))

    def _with_ending(self, form: str) -> tuple[str, ...]:
        namesakes = self._by_last_part.get(_last_part(form), {})
        return tuple(sorted({key for path, key in namesakes.items() if path.endswith(f"/{form}")}))

    def _within(self, form: str) -> tuple[str, ...]:
        """Return the image whose whole path is the longest ending of a longer one."""
        namesakes = self._by_last_part.get(_last_part(form), {})
        shorter = [path for path in namesakes if form.endswith(f"/{path}")]
        return (namesakes[max(shorter, key=len)],) if shorter else ()


def plain_name(written: str) -> str:
    """Write a relative path in one way: `/` between parts, no leading `./` or `/`, accents composed (NFC)."""
    return unicodedata.normalize("NFC", written.replace("\\", "/").removeprefix("./").lstrip("/"))


def match_names(names: Iterable[str], images: ImageNames, *, source: str) -> Matches:
    """Find the image that each name means.

    A name that fits an image loosely means nothing where another name fits that image surely, or just as loosely;
    but for one that differs in upper and lower case only.

    Args:
        names: Names as written, distinct.
        images: The images.
        source: Where the names are written, for messages.

    Returns:
        The ids, and what is wrong.
    """
    found = {name: images.find(name) for name in names}
    single = {name: match.ids[0] for name, match in found.items() if len(match.ids) == 1}
    sure = {key for name, key in single.items() if found[name].closeness is not Closeness.LOOSE}
    claims = Counter(single.values())
    ids: dict[str, str] = {}
    problems: list[Problem] = []
    for name, match in found.items():
        key = single.get(name)
        is_sure = match.closeness is not Closeness.LOOSE or (key is not None and images.is_spelling_of(name, key))
        if key is not None and (is_sure or (key not in sure and claims[key] == 1)):
            ids[name] = key
        else:
            suggest = len(problems) < _MAX_SUGGESTIONS
            problems.append(_explain(name, match, images, source, suggest=suggest))
    return Matches(ids, tuple(problems))


def _explain(name: str, match: Match, images: ImageNames, source: str, *, suggest: bool) -> Problem:
    if len(match.ids) > 1:
        paths = ", ".join(images.path_of(key) for key in match.ids[:NUM_NEAREST])
        message = (
            f"{source} names '{name}', which may be any of {len(match.ids)} images ({paths}"
            f"{', ...' if len(match.ids) > NUM_NEAREST else ''}); it is left out, write its folder too"
        )
        return Problem("warning", "ambiguous-image", name, message)
    message = f"{source} names '{name}', but there is no such image below the root; it is left out"
    if suggest:
        message += f" (nearest: {', '.join(images.nearest(name))})"
    return Problem("warning", "missing-image", name, message)


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]


def _without_suffix(path: str) -> str:
    stem, suffix = os.path.splitext(path)
    return stem if suffix.strip().lower() in (*IMAGE_SUFFIXES, *OTHER_PICTURES) else path


def _stem(path: str) -> str:
    return _fold(_without_suffix(_last_part(path)))


def _spellings(name: str) -> tuple[str, ...]:
    """Return what else a name may stand for: one in quotation marks, or an address with `%20` or `?w=200` in it."""
    name = _without_unseen(name)
    last = _last_part(name).strip().strip("'\"`")
    bare = _last_part(name.partition("?")[0].partition("#")[0])
    return tuple(dict.fromkeys((last, bare, unquote(last), unquote(bare))))


def _fold(name: str) -> str:
    """Drop what file systems and people write in different ways: case, outer spaces, forms of a letter, the unseen."""
    name = _without_unseen(name)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def _without_unseen(name: str) -> str:
    return name if name.isascii() else "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
