"""Rows that name a picture by another suffix than that of the image which they fit: `a.heic` of `a.jpg`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.formats import JPEG_SUFFIXES
from weakseg.data.images import IMAGE_SUFFIXES, OTHER_PICTURES
from weakseg.data.matching import Closeness, ImageNames, plain_name
from weakseg.data.scan import FoundImages

_ALIKE = {**dict.fromkeys(JPEG_SUFFIXES, ".jpg"), ".tiff": ".tif", ".apng": ".png", ".dib": ".bmp"}
"""Suffixes by which people call one format."""

_SHOWN = 3  # rows in a message


def part_unread(
    names: Iterable[str], images: ImageNames, found: FoundImages, *, source: str
) -> tuple[list[str], list[Problem]]:
    """Part names of a table from those of files that are there, but not read: no other file is meant by these.

    Args:
        names: Names as written.
        images: The images.
        found: What was found beside them.
        source: Where the names are written, for messages.

    Returns:
        The other names, and a problem for each that is left out.
    """
    unread: defaultdict[str, list[str]] = defaultdict(list)
    for there in (*found.others, *(problem.where for problem in found.problems if problem.kind == "not-a-file")):
        if _suffix(there):
            unread[_last_part(there).casefold()].append(there)
    kept, problems = [], []
    for name in names:
        is_unread = any(_is_path_of(name, path) for path in unread.get(_written_file(name), ()))
        match = images.find(name) if is_unread else None
        # A name that fits no image is told by whoever looks it up; one that fits an image by its suffix is that image.
        if match is None or match.closeness is not Closeness.LOOSE:
            kept.append(name)
            continue
        message = f"{source} names '{name}': this file is there, but it is not read here; the row is left out"
        if match.ids:
            message += f" (and not taken for {images.path_of(match.ids[0])})"
        problems.append(Problem("warning", "missing-image", name, message))
    return kept, problems


def doubt_suffixes(ids: Mapping[str, str], paths: Mapping[str, Path], found: FoundImages, source: str) -> list[Problem]:
    """Warn of rows whose suffix no file of their image has; they may mean one that was converted, or another picture.

    Args:
        ids: Image id by name as written.
        paths: Image file by id.
        found: What was found, with all files of each id.
        source: Where the names are written, for messages.
    """
    others = []
    for name, key in ids.items():
        suffix = _suffix(name)
        if not suffix or key not in paths or _last_part(key).casefold() == _written_file(name):
            continue
        files = found.rivals.get(key, (paths[key],))
        if suffix not in {_suffix(path.name) for path in files}:
            others.append(f"{_last_part(name)} for {paths[key].name}")
    if not others:
        return []
    examples = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
    told = "1 row names another suffix than its file" if len(others) == 1 else ""
    told = told or f"{len(others)} rows name other suffixes than the files"
    message = f"{told} ({examples}); if another picture is meant, add it, or remove the row"
    return [Problem("warning", "other-suffix", source, message)]


def _last_part(name: str) -> str:
    return plain_name(name).rpartition("/")[2].strip()


def _written_file(name: str) -> str:
    return _last_part(name).casefold()


def _suffix(name: str) -> str:
    """Return the suffix of a picture in one writing; empty where there is none that is known."""
    last = _last_part(name)
    for form in (last, last.partition("?")[0].partition("#")[0]):
        suffix = os.path.splitext(form.strip(" '\"`"))[1].lower()
        if suffix in IMAGE_SUFFIXES or suffix in OTHER_PICTURES:
            return _ALIKE.get(suffix, suffix)
    return ""


def _is_path_of(name: str, path: str) -> bool:
    written, there = plain_name(name).strip().casefold(), plain_name(path).casefold()
    return written == there or written.endswith(f"/{there}") or there.endswith(f"/{written}")
