"""What a source says about the classes of images, before it is known which classes there are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from weakseg.data.base import Problem
from weakseg.data.class_names import BACKGROUND_ADVICE, fold_name, is_background
from weakseg.errors import DataError

_NUMBER = re.compile(r"[0-9]{1,4}(?:\.0)?")
_SHOWN = 6  # names in a message


@dataclass(frozen=True)
class ImageTags:
    """What is said about one image.

    Args:
        present: Names of its classes.
        unknown: Names of classes of which neither presence nor absence is known; none is in `present`.
        rest_absent: Whether every other class is known to be absent; else it is unknown too.
    """

    present: frozenset[str]
    unknown: frozenset[str] = frozenset()
    rest_absent: bool = True


@dataclass(frozen=True)
class TagTable:
    """The tags of many images.

    Args:
        source: Where they come from, for messages.
        names: Class names that occur: sorted, or in the order of the JSON's category ids.
        entries: Tags by image, which is named as in the source: a path with or without suffix.
        problems: What is wrong with the source.
        parts: Part of the data set (`train`, `val`, `test`) by image, where the source tells.
    """

    source: str
    names: tuple[str, ...]
    entries: dict[str, ImageTags]
    problems: tuple[Problem, ...]
    parts: Mapping[str, str] = field(default_factory=dict)


def spell_as_listed(table: TagTable, known: Collection[str]) -> TagTable:
    """Take tags that are spelled otherwise than a name of a list, as `Cat` or `living_room`, for that name.

    A tag is left as it is if the list has it, or several names are alike. Where all tags are numbers, they are places
    in the list, if they tell whether these are counted from 0 or 1.

    Args:
        table: The tags.
        known: The class names that a list fixes.
    """
    known = tuple(known)
    numbers = _number_places(table.names, known)
    if numbers:
        first = min(numbers, key=lambda name: int(float(name)))
        return _respell(table, numbers, f"tags are numbers, taken for places in the list: {first} is {numbers[first]}")
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in known:
        alike[fold_name(name)].append(name)
    found = {name: alike[fold_name(name)] for name in table.names if name not in known and fold_name(name) in alike}
    spelled = {name: names[0] for name, names in found.items() if len(names) == 1}
    if not spelled:
        return table
    told = ", ".join(f"'{name}' for '{listed}'" for name, listed in list(spelled.items())[:_SHOWN])
    message = f"tags spelled otherwise than in the list of classes are taken for those of the list: {told}"
    return _respell(table, spelled, message)


def _number_places(names: tuple[str, ...], known: tuple[str, ...]) -> dict[str, str]:
    """Return the name at the place that each tag is the number of; empty where numbers do not tell."""
    if not known or not names or not all(map(_NUMBER.fullmatch, names)) or set(names) & set(known):
        return {}
    places = {name: int(float(name)) for name in names}
    start = 0 if 0 in places.values() else 1
    if max(places.values()) >= len(known) + start or (start and max(places.values()) < len(known)):
        return {}
    return {name: known[place - start] for name, place in places.items()}


def _respell(table: TagTable, spelled: Mapping[str, str], message: str) -> TagTable:
    entries = {}
    for image, tags in table.entries.items():
        present, unknown = (frozenset(spelled.get(n, n) for n in names) for names in (tags.present, tags.unknown))
        entries[image] = ImageTags(present - unknown, unknown, tags.rest_absent)
    names = tuple(dict.fromkeys(spelled.get(name, name) for name in table.names))
    problem = Problem("warning", "similar-tags", table.source, message)
    return replace(table, names=names, entries=entries, problems=(*table.problems, problem))


def map_background(table: TagTable, *, drop: bool) -> TagTable:
    """Take a tag `background` for what it means: that an image shows none of the classes besides its other tags.

    Args:
        table: The tags.
        drop: Whether that is wanted.

    Raises:
        DataError: If there is such a tag and it is not wanted.
    """
    named = [name for name in table.names if is_background(name)]
    if not named:
        return table
    if not drop:
        raise DataError(f"{table.source} has the tag '{named[0]}', which is no class: {BACKGROUND_ADVICE}")
    entries = {}
    for image, tags in table.entries.items():
        empty = not tags.present.isdisjoint(named)
        present, unknown = tags.present.difference(named), tags.unknown.difference(named)
        entries[image] = ImageTags(present, unknown, tags.rest_absent or (empty and not present))
    names = tuple(name for name in table.names if name not in named)
    return replace(table, names=names, entries=entries)
