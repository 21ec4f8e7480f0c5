"""Folders that are no classes: those of images, and those of the parts of a data set (`train/`, `val/`, `test/`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
"""Names, in small letters, of folders of images."""

_PARTS = {
    **{"train": "train", "training": "train", "trn": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
    **{"test": "test", "testing": "test"},
}
_PART = re.compile(r"([a-z]+?)(?:[ _-]?(?:set|data|images|imgs|split))?(?:[ _-]?20[0-9]{2})?")


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
    outer = len(_common_folders(ids))
    places = {image: _part_of(image, outer) for image in ids}
    if not any(places.values()):
        within = {image: _part_within(image, outer) for image in ids}
        places = within if all(within.values()) else places
    if len(set(places.values()) - {None}) < 2 or "train" not in places.values():
        return {}
    return {image: part or "train" for image, part in places.items()}


def container_folders(ids: Iterable[str]) -> frozenset[str]:
    """Return the names of folders that are no classes: those of parts, and those around all classes.

    Args:
        ids: Image ids, `/` between folders.
    """
    ids = tuple(ids)
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
