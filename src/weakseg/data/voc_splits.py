"""Split lists of the VOC layout: which image ids belong to `train`, `train_aug`, `val`, `test` or another list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.lists import read_lines
from weakseg.data.scan import image_id
from weakseg.errors import DataError

_LIST_FOLDERS = ("ImageSets/Segmentation", "ImageSets/Main")
_AUGMENTED_NAMES = ("train_aug", "trainaug")
_AUGMENTED_MASKS = "SegmentationClassAug"
_IMAGES_PREFIX = "JPEGImages/"


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
    is taken for it, spaces and all; else what follows the first space is not read.

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
    ids: dict[str, None] = {}
    problems = []
    for line in read_lines(path):
        entry = image_id(line.rpartition(_IMAGES_PREFIX)[2])
        if entry not in present:
            entry = image_id(line.split()[0].rpartition(_IMAGES_PREFIX)[2])
        if entry in ids:
            problems.append(Problem("warning", "same-id", entry, f"listed more than once in {path}; it is used once"))
        elif not entry or ".." in entry.split("/"):
            problems.append(Problem("warning", "bad-id", line, f"an entry of {path} that names no image; left out"))
        else:
            ids[entry] = None
    return VocSplit(name, ids, augmented, tuple(problems))


def _augmented_from_masks(base: Path, name: str, present: Collection[str]) -> VocSplit:
    held_out = find_split(base, "val", present=present).ids
    folder = base / _AUGMENTED_MASKS
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.png"))
    message = f"there is no list of this split; it is made of the masks in {folder} without the images of 'val'"
    return VocSplit(
        name=name,
        ids={entry: None for entry in names if entry not in held_out},
        augmented=True,
        problems=(Problem("note", "made-split", name, message),),
    )
