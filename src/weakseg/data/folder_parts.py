"""Folders that are no classes: those of images, and those of the parts of a data set (`train/`, `val/`, `test/`)."""

from __future__ import annotations

from collections.abc import Iterable

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
"""Names, in small letters, of folders of images."""

PART_OF_FOLDER = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
"""Part of a data set by the name, in small letters, of its folder."""


def find_parts(ids: Iterable[str]) -> dict[str, str]:
    """Return the part (`train`, `val`, `test`) of each image, where folders part a data set; else nothing.

    That is so where there is a folder of training images beside one of validation or test images: `train/...`,
    `val/...`, or `images/train/...`, `images/val/...`. Images in other folders, such as `_none`, are training images.

    Args:
        ids: Image ids, `/` between folders.
    """
    places = {image: _part_of(image) for image in ids}
    if len(set(places.values()) - {None}) < 2 or "train" not in places.values():
        return {}
    return {image: part or "train" for image, part in places.items()}


def container_folders(ids: Iterable[str]) -> frozenset[str]:
    """Return the names of folders that are no classes: those of parts, and of images where nothing else is beside them.

    Args:
        ids: Image ids, `/` between folders.
    """
    ids = tuple(ids)
    folders = {image: image.split("/")[:-1] for image in ids}
    containers = set()
    parts = find_parts(ids)
    in_parts = [names for names in folders.values() if _part_of("/".join([*names, ""]))]
    # Parts without classes in them are parts all the same where there is nothing else that could be a class.
    if parts and (any(map(_has_class, in_parts)) or len(in_parts) == len(folders)):
        containers |= {name for names in folders.values() for name in names[:2] if name.lower() in PART_OF_FOLDER}
    tops = {names[0] for names in folders.values() if names}
    if len(tops) == 1 and {name.lower() for name in tops} <= set(IMAGE_FOLDERS):
        containers |= tops
    if parts:
        containers |= {name for names in folders.values() for name in names[:2] if name.lower() in IMAGE_FOLDERS}
    return frozenset(containers)


def _part_of(image: str) -> str | None:
    folders = [name.lower() for name in image.split("/")[:-1]]
    if folders and folders[0] in IMAGE_FOLDERS:
        folders = folders[1:]
    return PART_OF_FOLDER.get(folders[0]) if folders else None


def _has_class(folders: list[str]) -> bool:
    return any(name.lower() not in PART_OF_FOLDER and name.lower() not in IMAGE_FOLDERS for name in folders)
