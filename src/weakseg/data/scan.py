"""Finding the image files below a folder and giving each an id."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.errors import DataError

_OTHER_PICTURES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".dng", ".raw", ".nef", ".cr2", ".cr3", ".arw", ".svg")
"""Suffixes of pictures that are not read; a folder of them deserves a word, unlike text files that lie around."""


@dataclass(frozen=True)
class FoundImages:
    """The images below a folder.

    Args:
        paths: Image file by id, in sorted order of the ids. The id is the path relative to the folder without its
            suffix, with `/` between its parts.
        problems: `same-id` where two files differ in their suffix only (the first in sorted order is kept), `bad-id`
            for names that cannot be ids, and one `other-format` per suffix of pictures that cannot be read.
    """

    paths: dict[str, Path]
    problems: tuple[Problem, ...]


def find_images(folder: Path, *, skip: tuple[str, ...] = ()) -> FoundImages:
    """List the images anywhere below a folder.

    Files and folders whose names start with a dot are skipped, and links to folders are not followed (they may loop).

    Args:
        folder: The folder.
        skip: Paths below it, `/` between their parts, of folders that are left out.

    Raises:
        DataError: If `folder` is not a folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected a folder with images")
    relative_paths: list[Path] = []
    others: Counter[str] = Counter()
    for parent, folder_names, file_names in os.walk(folder):
        here = Path(parent).relative_to(folder)
        folder_names[:] = [n for n in folder_names if not n.startswith(".") and (here / n).as_posix() not in skip]
        for name in file_names:
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in IMAGE_SUFFIXES:
                relative_paths.append(here / name)
            elif suffix in _OTHER_PICTURES:
                others[suffix] += 1
    return _name_images(folder, relative_paths, others)


def image_id(entry: str) -> str:
    """Turn a relative path as people write it into an id: `/` between parts, no leading `./` or `/`, no suffix."""
    entry = entry.strip().replace("\\", "/").removeprefix("./").lstrip("/")
    stem, suffix = os.path.splitext(entry)
    return stem if suffix.lower() in IMAGE_SUFFIXES else entry


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # Python stands in surrogates for bytes that it cannot decode
        return False
    return True


def _name_images(folder: Path, relative_paths: list[Path], others: Counter[str]) -> FoundImages:
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in sorted(relative_paths):
        name = path.with_suffix("").as_posix()
        if "\\" in name or not _is_text(name):
            message = "its name holds a backslash or bytes that are not UTF-8; it is left out, rename it"
            problems.append(Problem("warning", "bad-id", ascii(name), message))
        elif name in paths:
            message = f"{path.as_posix()} has the same id as {paths[name].name}; the latter is used, rename one of them"
            problems.append(Problem("warning", "same-id", name, message))
        else:
            paths[name] = folder / path
    for suffix, count in sorted(others.items()):
        what = "1 file ends" if count == 1 else f"{count} files end"
        message = f"{what} in {suffix}, which is not read; convert {'it' if count == 1 else 'them'} to JPEG or PNG"
        problems.append(Problem("warning", "other-format", str(folder), message))
    return FoundImages(dict(sorted(paths.items())), tuple(problems))
