"""Folders that are no classes: those of images, and those of the parts of a data set (`train/`, `val/`, `test/`)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from weakseg.data.base import Problem

NO_CLASS_FOLDER = "_none"
"""Reserved name, in whatever case, of the sub-folder whose images are known to show no class."""

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
"""Names, in small letters, of folders of images."""

_PARTS = {
    **{"train": "train", "training": "train", "trn": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val", "eval": "val", "holdout": "val"},
    **{"test": "test", "testing": "test"},
}
_PART = re.compile(r"(?:[0-9]{1,2}[ _.-]+)?([a-z]+?)(?:[ _-]?(?:set|data|images|imgs|split))?(?:[ _-]?20[0-9]{2})?")
_SHOWN = 6  # folders in a message


def part_of_name(name: str) -> str | None:
    """Return the part of a data set that a folder or list is called after: `Train`, `val2017`, `test_set`, or None."""
    match = _PART.fullmatch(name.lower())
    return _PARTS.get(match.group(1)) if match is not None else None


def find_parts(ids: Iterable[str]) -> dict[str, str]:
    """Return the part (`train`, `val`, `test`) of each image, where folders part a data set; else nothing.

    That is so where there is a folder of training images beside one of validation or test images: `train/...`,
    `val/...`, or `images/train/...`, `images/val/...`, or such folders within every class, `cat/train/...`. Images in
    other folders, such as `_none`, are training images.

    Args:
        ids: Image ids, `/` between folders.
    """
    ids = tuple(ids)
    classed = _without_negatives(ids)
    outer = len(_common_folders(classed))
    places = {image: _part_of(image, outer) for image in classed}
    if not any(places.values()):
        within = {image: _part_within(image, outer) for image in classed}
        places = within if all(within.values()) else places
    if len(set(places.values()) - {None}) < 2 or "train" not in places.values():
        return {}
    return {image: places.get(image) or "train" for image in ids}


def container_folders(ids: Iterable[str]) -> frozenset[str]:
    """Return the names of folders that are no classes: those of parts, and those around all classes.

    Args:
        ids: Image ids, `/` between folders.
    """
    ids = _without_negatives(tuple(ids))
    folders = {image: image.split("/")[:-1] for image in ids}
    containers = set()
    parts = find_parts(ids)
    outer = _common_folders(ids)
    containers |= set(outer)
    in_parts = [names[len(outer) :] for image, names in folders.items() if _part_of(image, len(outer))]
    # Parts without classes in them are parts all the same where there is nothing else that could be a class.
    if parts and (any(map(_has_class, in_parts)) or len(in_parts) == len(folders)):
        containers |= {name for names in in_parts for name in names[:2] if part_of_name(name)}
    tops = {names[0] for names in folders.values() if names}
    if len(tops) == 1 and {name.lower() for name in tops} <= set(IMAGE_FOLDERS):
        containers |= tops
    if parts:
        inner = (names[len(outer) :] for names in folders.values())
        containers |= {name for names in inner for name in names[:2] if name.lower() in IMAGE_FOLDERS}
    return frozenset(containers)


def is_no_class(folder: str) -> bool:
    """Say whether a folder holds images that are known to show no class."""
    return folder.strip().casefold() == NO_CLASS_FOLDER


def doubt_folders(ids: Iterable[str], classes: Iterable[str]) -> list[Problem]:
    """Tell which folders that are taken for classes look like something else.

    Args:
        ids: Image ids, `/` between folders.
        classes: Names of the folders that are taken for classes.

    Returns:
        `split-folders` where names look like parts of a data set (`seg_train`, `seg_test`), and where folders hold
        sub-folders of the same names, so that these may be the classes.
    """
    problems = []
    ids, classes = tuple(ids), tuple(classes)
    named = {
        name: part for name in classes for word in re.split(r"[\W\d_]+", name.lower()) if (part := _PARTS.get(word))
    }
    if len(set(named.values())) > 1:
        message = (
            f"the classes {_list(named)} look like splits; call such folders train, val and test, with a folder per "
            "class in each, or write a tags.csv"
        )
        problems.append(Problem("warning", "split-folders", "the sub-folders", message))
    else:
        problems += _doubt_lone_part(ids, classes)
    inner: defaultdict[str, set[str]] = defaultdict(set)
    for image in ids:
        folders = image.split("/")[:-1]
        at = next((n for n, name in enumerate(folders) if name.strip() in classes), len(folders))
        if at < len(folders):
            inner[folders[at]].add("/".join(folders[at + 1 :]))
    held = [{path.split("/")[0] for path in paths} for paths in inner.values() if "" not in paths]
    shared = set.intersection(*held) if len(held) > 1 and len(held) == len(classes) and not problems else set()
    shared = {name for name in shared if part_of_name(name) is None and name.lower() not in IMAGE_FOLDERS}
    if len(shared) > 1:
        message = (
            f"each of {_list(inner)} is taken for a class and holds the folders {_list(shared)}: if these are the "
            "classes, move them to the top, or write a tags.csv"
        )
        problems.append(Problem("warning", "split-folders", "the sub-folders", message))
    return problems


def _doubt_lone_part(ids: Sequence[str], classes: Sequence[str]) -> list[Problem]:
    """Doubt a class that is called as the one part that somebody has put beside folders of classes.

    A train is also a thing that photographs show; so `train` is doubted only where it holds folders of other classes.
    """
    if len(classes) < 2:
        return []
    for name in sorted(filter(part_of_name, classes)):
        paths = [image.split("/")[:-1] for image in ids]
        held = {path[path.index(name) + 1] for path in paths if name in path[:-1]}
        if part_of_name(name) in ("val", "test") or held & set(classes):
            message = (
                f"the class '{name}' looks like a split; move its images elsewhere, put the others' folders into one "
                "called train, with a folder per class in each, or write a tags.csv"
            )
            return [Problem("warning", "split-folders", "the sub-folders", message)]
    return []


def _list(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")


def _without_negatives(ids: Sequence[str]) -> tuple[str, ...]:
    """Leave out what lies in `_none/` at the top: it says nothing of how the other folders are meant."""
    return tuple(image for image in ids if not ("/" in image and is_no_class(image.split("/")[0])))


def _common_folders(ids: Sequence[str]) -> tuple[str, ...]:
    """Return the folders around everything, as archives have them, but for the one that holds images itself."""
    folders = [image.split("/")[:-1] for image in ids]
    common: list[str] = []
    for names in zip(*folders, strict=False):
        if len(set(names)) > 1 or any(len(path) <= len(common) + 1 for path in folders):
            break
        common.append(names[0])
    return tuple(common)


def _part_of(image: str, num_outer: int) -> str | None:
    folders = image.split("/")[num_outer:-1]
    if folders and folders[0].lower() in IMAGE_FOLDERS:
        folders = folders[1:]
    return part_of_name(folders[0]) if folders else None


def _part_within(image: str, num_outer: int) -> str | None:
    folders = image.split("/")[num_outer:-1]
    return part_of_name(folders[1]) if len(folders) > 1 else None


def _has_class(folders: Sequence[str]) -> bool:
    return any(not part_of_name(name) and name.lower() not in IMAGE_FOLDERS for name in folders)
