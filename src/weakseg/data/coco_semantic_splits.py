"""Splits of COCO where images of all splits lie in one folder: lists, names such as `COCO_train2014_...`, or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weakseg.data.base import Problem
from weakseg.data.lists import read_lines
from weakseg.errors import DataError

_LIST_FOLDERS = ("", "ImageSets/Segmentation", "ImageSets/Main", "coco14", "../coco14", "../../coco14")
"""Where lists are looked for; the released RIB code has `coco14/train14.txt` beside `Dataset/`."""

_YEARS = ("", "14", "2014", "17", "2017")


@dataclass(frozen=True)
class ImageNumbers:
    """The images of COCO by the number in their names.

    Args:
        ids: Image id by number, such as 9 for `COCO_train2014_000000000009`.
        numbers: Number by image id; ids without a number are missing.
    """

    ids: Mapping[int, str]
    numbers: Mapping[str, int]


@dataclass(frozen=True)
class ListedImages:
    """Images of a split.

    Args:
        ids: Their ids, sorted.
        how: What chose them, for messages.
        problems: Entries without an image.
    """

    ids: tuple[str, ...]
    how: str
    problems: tuple[Problem, ...] = ()


def number_of(name: str) -> int | None:
    """Return the number at the end of a name without its suffix: 9 for `COCO_train2014_000000000009.jpg`."""
    found = re.search(r"([0-9]+)$", re.sub(r"\.[A-Za-z]+$", "", name.strip()))
    return int(found.group(1)) if found else None


def number_images(ids: Iterable[str]) -> tuple[ImageNumbers, tuple[Problem, ...]]:
    """Find the images' numbers; of two images with one number the first counts."""
    by_number: dict[int, str] = {}
    numbers: dict[str, int] = {}
    problems = []
    for key in ids:
        number = number_of(key)
        if number is None:
            problems.append(Problem("warning", "bad-id", key, "its name ends in no number, as COCO's do; left out"))
        elif number in by_number:
            message = f"it has the number of {by_number[number]}, which is used; remove one of them"
            problems.append(Problem("warning", "same-id", key, message))
        else:
            by_number[number], numbers[key] = key, number
    return ImageNumbers(by_number, numbers), tuple(problems)


def find_listed(base: Path, split: str, images: ImageNumbers) -> ListedImages | None:
    """Choose images by a list of the split, or else by the split's name in theirs; None if neither tells.

    Args:
        base: The folder with `JPEGImages`.
        split: `train`, `val2014`, or the path of a list.
        images: The images.

    Raises:
        DataError: If a list cannot be read, or none of its images is there.
    """
    path = _find_list(base, split)
    if path is not None:
        return _read_list(path, images)
    pattern = re.compile(rf"(?:^|[_/]){re.escape(split)}(?:20[0-9]{{2}})?[_/]")
    named = tuple(key for key in images.numbers if pattern.search(key))
    return ListedImages(named, f"images called {PurePosixPath(named[0]).name} and alike") if named else None


def _find_list(base: Path, split: str) -> Path | None:
    for path in (Path(split), base / split):
        if path.suffix == ".txt" and path.is_file():
            return path
    names = [f"{split}{year}" for year in _YEARS]
    names += [split.replace("20", "")] if split.endswith(("2014", "2017")) else []
    paths = (base / folder / f"{name}.txt" for folder in _LIST_FOLDERS for name in names)
    return next((path for path in paths if path.is_file()), None)


def _read_list(path: Path, images: ImageNumbers) -> ListedImages:
    lines = read_lines(path)
    chosen = []
    problems = []
    for line in dict.fromkeys(lines):
        number = number_of(line.split()[0])
        if number is not None and number in images.ids:
            chosen.append(images.ids[number])
        else:
            message = f"listed in {path.name}, but there is no such image; it is left out"
            problems.append(Problem("warning", "missing-image", line, message))
    if not chosen:
        raise DataError(f"none of the {len(lines)} images of {path} (such as {lines[0]}) is among {len(images.ids)}")
    return ListedImages(tuple(sorted(set(chosen))), str(path), tuple(problems))
