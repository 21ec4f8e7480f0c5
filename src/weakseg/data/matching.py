"""Finding the images that people mean by the names they write into tables and lists, and by those of their masks."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath

from weakseg.data.base import Problem
from weakseg.data.scan import image_id

NUM_NEAREST = 3
"""Files that are named beside a name that fits none, or several."""

_MAX_SUGGESTIONS = 20  # comparing a name with every file is slow, and nobody reads thousands of such lines


class Closeness(IntEnum):
    """How a name was found to mean an image; the smaller, the surer."""

    WHOLE = 0
    ENDING = 1
    STEM = 2
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
        ids: Image id by the name as written, for every name that means one.
        problems: `ambiguous-image` and `missing-image` for the others, and `same-id` where several names mean one image
            (the first, or the surest, is kept).
    """

    ids: dict[str, str]
    problems: tuple[Problem, ...]


class ImageNames:
    """Looks up images by names with or without folders and suffix.

    Args:
        paths: Path of each image relative to the root, `/` between its parts, by image id.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = dict(paths)
        self._whole: dict[str, str] = {}
        for key, path in paths.items():
            self._whole.setdefault(plain_name(path), key)
            self._whole.setdefault(plain_name(key), key)
        self._folders: defaultdict[str, set[str]] = defaultdict(set)
        for path in paths.values():
            for folder in [parent for parent in PurePosixPath(path).parents if parent.name]:
                self._folders[folder.parent.as_posix() if folder.parent.name else ""].add(folder.name)
        self._by_last_part: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for key, path in paths.items():
            for form in (plain_name(path), plain_name(key)):
                self._by_last_part[PurePosixPath(form).name][form] = key
            self._by_stem[_fold(PurePosixPath(key).name)].append(key)

    def find(self, written: str) -> Match:
        """Find what a name means: by its whole path, else by the ending of a path, else by its stem.

        Either path may be the longer one: `a.jpg` is the ending of `images/a.jpg`, and `images/a.jpg` that of
        `C:/photos/images/a.jpg`. Stems are compared without regard to case and to how Unicode writes their letters.
        """
        name = plain_name(written)
        forms = dict.fromkeys((name, image_id(name)))
        for form in forms:
            if form in self._whole:
                return Match(Closeness.WHOLE, (self._whole[form],))
        for form in forms:
            ids = self._with_ending(form)
            if ids:
                return Match(Closeness.ENDING, ids)
        ids = tuple(self._by_stem.get(_fold(PurePosixPath(image_id(name)).name), ()))
        return Match(Closeness.STEM if ids else Closeness.NONE, ids)

    def nearest(self, written: str) -> tuple[str, ...]:
        """Return the paths of the files whose names are spelt most like a name, the nearest first."""
        by_name: dict[str, str] = {}
        for path in self._paths.values():
            by_name.setdefault(_fold(PurePosixPath(path).name), path)
        wanted = _fold(PurePosixPath(plain_name(written)).name)
        return tuple(by_name[name] for name in difflib.get_close_matches(wanted, by_name, n=NUM_NEAREST, cutoff=0.0))

    def path_of(self, key: str) -> str:
        """Return the path of an image relative to the root."""
        return self._paths[key]

    def folders_in(self, parent: str) -> tuple[str, ...]:
        """Return the names of the folders directly below a folder (the root is '') that hold images, sorted."""
        return tuple(sorted(self._folders.get(parent, ())))

    def _with_ending(self, form: str) -> tuple[str, ...]:
        namesakes = self._by_last_part.get(PurePosixPath(form).name, {})
        longer = {key for path, key in namesakes.items() if path.endswith(f"/{form}")}
        if longer:
            return tuple(sorted(longer))
        shorter = [path for path in namesakes if form.endswith(f"/{path}")]
        return (namesakes[max(shorter, key=len)],) if shorter else ()


def plain_name(written: str) -> str:
    """Write a relative path in one way: `/` between parts, no leading `./` or `/`, accents composed (NFC)."""
    return unicodedata.normalize("NFC", written.strip().replace("\\", "/").removeprefix("./").lstrip("/"))


def match_names(names: Iterable[str], images: ImageNames, *, source: str) -> Matches:
    """Find the image that each name means; a name that fits an image surely comes before one that fits it loosely.

    Args:
        names: Names as written, distinct.
        images: The images.
        source: Where the names are written, for messages.

    Returns:
        The ids, and what is wrong.
    """
    found = {name: images.find(name) for name in names}
    stems = Counter(_fold(PurePosixPath(image_id(plain_name(name))).name) for name in found)
    owners: dict[str, str] = {}
    for name, match in sorted(found.items(), key=lambda item: item[1].closeness):
        loose = match.closeness is Closeness.STEM
        if len(match.ids) == 1 and not (loose and stems[_fold(PurePosixPath(image_id(plain_name(name))).name)] > 1):
            owners.setdefault(match.ids[0], name)
    problems = []
    unlucky = 0
    for name, match in found.items():
        if len(match.ids) == 1 and owners.get(match.ids[0]) == name:
            continue
        if len(match.ids) == 1 and match.closeness is not Closeness.STEM:
            first = owners[match.ids[0]]
            message = f"{source} has several entries for this image, '{first}' and '{name}'; '{first}' is used"
            problems.append(Problem("warning", "same-id", match.ids[0], message))
            continue
        unlucky += 1
        problems.append(_explain(name, match, images, source, suggest=unlucky <= _MAX_SUGGESTIONS))
    return Matches({name: key for key, name in owners.items()}, tuple(problems))


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


def _fold(name: str) -> str:
    """Drop what file systems and people write in different ways: case, and forms of the same letter."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
