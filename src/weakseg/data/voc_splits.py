"""Split lists of the VOC layout: which image ids belong to `train`, `train_aug`, `val`, `test` or another list."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weakseg.data.base import Problem
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.lists import read_lines, read_text
from weakseg.data.scan import image_id, list_files
from weakseg.errors import DataError

_LIST_FOLDERS = ("ImageSets/Segmentation", "ImageSets/Main")
_AUGMENTED_NAMES = ("train_aug", "trainaug")
_AUGMENTED_MASKS = "SegmentationClassAug"
_IMAGES_PREFIX = "JPEGImages/"
_MASK_SUFFIX = ".png"
_FLAG = re.compile(r"\s+-?[01]$")
_FLAGGED_VOC = re.compile(r"\d{4}_\d{6}\s+-?[01]")
"""VOC's own ids, which hold no space."""
_GAP = re.compile(r"\s*[,;]\s*|\s+")


@dataclass(frozen=True)
class VocSplit:
    """A resolved split.

    Args:
        name: Its name, as metrics print it.
        ids: Distinct image ids in the order of the list, as the keys of a dict for quick look-up.
        augmented: Whether it is VOC's augmented training set, whose masks are in `SegmentationClassAug`.
        problems: Repeated and malformed entries.
    """

    name: str
    ids: dict[str, None]
    augmented: bool
    problems: tuple[Problem, ...]


def find_split(base: Path, split: str, *, present: Collection[str]) -> VocSplit:
    """Resolve a split of the VOC folder `base`.

    A line of a list is an id (`2007_000032`), or an image and perhaps its mask as the lists of the augmented set have
    them (`/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png`). A whole line that is the id of an image
    is taken for it, spaces and all. Where every line ends with -1, 0 or 1, as in VOC's lists of one class, that is no
    part of the id. No other line is cut: an image that is not listed is never taken.

    Args:
        base: The folder with `ImageSets`.
        present: Ids of the images that are there.
        split: Name of a list, or path of a list file.

    Raises:
        DataError: If there is no such list, it is empty or unreadable.
    """
    augmented = split in _AUGMENTED_NAMES
    for name in _AUGMENTED_NAMES if augmented else (split,):
        for folder in _LIST_FOLDERS:
            path = base / folder / f"{name}.txt"
            if path.is_file():
                return _read_list(path, split, present, augmented=augmented)
    if augmented and (base / _AUGMENTED_MASKS).is_dir():
        return _augmented_from_masks(base, split, present)
    if Path(split).is_file():
        return _read_list(Path(split), Path(split).stem, present, augmented=Path(split).stem in _AUGMENTED_NAMES)
    known = sorted({path.stem for folder in _LIST_FOLDERS for path in (base / folder).glob("*.txt")})
    raise DataError(
        f"no split '{split}' in {base}: expected {_LIST_FOLDERS[0]}/{split}.txt or the path of a list file; "
        f"lists found: {', '.join(known[:12]) or 'none'}"
    )


def _read_list(path: Path, name: str, present: Collection[str], *, augmented: bool) -> VocSplit:
    read_lines(path)  # complains about an empty list, but drops spaces that may belong to an id
    lines = [line for line in re.split(r"[\r\n]+", read_text(path)) if line.strip()]
    reader = _LineReader(present, flagged=_has_flags(lines))
    ids: dict[str, None] = {}
    problems = []
    for line in lines:
        entry = reader.read(line)
        if entry in ids:
            problems.append(Problem("warning", "same-id", entry, f"listed more than once in {path}; it is used once"))
        elif not entry or ".." in entry.split("/"):
            problems.append(
                Problem("warning", "bad-id", line.strip(), f"an entry of {path} that names no image; left out")
            )
        else:
            ids[entry] = None
    return VocSplit(name, ids, augmented, tuple(problems))


class _LineReader:
    """Finds the image that a line means, among those that are there.

    Args:
        present: Ids of the images that are there.
        flagged: Whether every line ends with a flag.
    """

    def __init__(self, present: Collection[str], *, flagged: bool) -> None:
        self._present = present
        self._composed: dict[str, str] | None = None
        self._flagged = flagged

    def read(self, line: str) -> str:
        """Return the id that a line means, or one that is not there."""
        line = line.replace("\\", "/")
        bare = line.strip()
        entries = [line.rpartition(_IMAGES_PREFIX)[2], bare, bare.strip("\"'")]
        if self._flagged or _FLAGGED_VOC.fullmatch(bare):
            entries.append(_FLAG.sub("", bare))
        entries += _image_of_pair(bare)
        ids = [_to_id(entry) for entry in entries]
        found = next((key for key in map(self._find, ids) if key is not None), None)
        return found if found is not None else ids[-1]

    def _find(self, entry: str) -> str | None:
        if entry in self._present:
            return entry
        if self._composed is None:
            self._composed = {unicodedata.normalize("NFC", key): key for key in self._present}
            self._folded: defaultdict[str, list[str]] = defaultdict(list)
            for composed, key in self._composed.items():
                self._folded[composed.casefold()].append(key)
        composed = unicodedata.normalize("NFC", entry)
        alike = self._folded.get(composed.casefold(), [])
        return self._composed.get(composed, alike[0] if len(alike) == 1 else None)


def _to_id(entry: str) -> str:
    """Return the id of an image as a list has it; unlike in a table, spaces at its ends may belong to it."""
    written = entry.rpartition(_IMAGES_PREFIX)[2]
    if written == written.strip():
        return image_id(written)
    stem, suffix = os.path.splitext(written)
    return stem if suffix.strip().lower() in IMAGE_SUFFIXES else written


def _has_flags(lines: Sequence[str]) -> bool:
    """Say whether every line is an id and -1, 0 or 1, as in VOC's lists of one class."""
    bare = [line.strip() for line in lines]
    ids = {_FLAG.sub("", line) for line in bare}
    return len(ids) == len(bare) and all(map(_FLAG.search, bare))


def _image_of_pair(line: str) -> list[str]:
    """Return the image of a line that names an image and its mask; nothing else is ever cut at a space.

    The two have the same name, or the image's ends as those of images do, and the mask's in `.png`.
    """
    pairs = [(line[: gap.start()], line[gap.end() :]) for gap in _GAP.finditer(line)]
    same = [image for image, mask in pairs if PurePosixPath(image_id(image)).name == PurePosixPath(image_id(mask)).name]
    named = [
        image
        for image, mask in pairs
        if image.lower().endswith(IMAGE_SUFFIXES) and mask.lower().endswith(_MASK_SUFFIX) and not _GAP.search(mask)
    ]
    return (same or named)[:1]


def _augmented_from_masks(base: Path, name: str, present: Collection[str]) -> VocSplit:
    held_out = find_split(base, "val", present=present).ids
    folder = base / _AUGMENTED_MASKS
    names = sorted(path.with_suffix("").as_posix() for path in list_files(folder) if path.suffix == _MASK_SUFFIX)
    message = f"there is no list of this split; it is made of the masks in {folder} without the images of 'val'"
    return VocSplit(
        name=name,
        ids={entry: None for entry in names if entry not in held_out},
        augmented=True,
        problems=(Problem("note", "made-split", name, message),),
    )
