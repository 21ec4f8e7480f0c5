"""Reader of any folder of tagged images."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, Problem
from weakseg.data.folder_splits import ALL, PARTS, choose_split
from weakseg.data.lists import CLASSES_FILE, read_class_set
from weakseg.data.mask_folders import find_mask_folders, match_masks
from weakseg.data.matching import ImageNames, match_names
from weakseg.data.scan import find_images
from weakseg.data.tag_files import ImageTags, TagTable, read_tags, tags_from_folders
from weakseg.errors import ConfigError, DataError
from weakseg.types import ClassSet, Sample

TAG_FILES = ("tags.csv", "tags.json", "instances.json", "annotations.json")
"""Looked for in the root in this order."""

_SHOWN = 3  # examples in messages


def open_folder(root: Path, *, split: str, tags: Path | None, val_fraction: float) -> Dataset:
    """Open a split of a folder with images anywhere below it.

    An image's id is its path relative to the root without its suffix. Images without tags are left out of every split.

    Args:
        root: The folder. `masks/<id>.png` in it holds truth masks, if there are any; hidden folders are skipped.
        split: `train`, `val`, `all`, or the path of a list with one id or relative path a line.
        tags: Tag file, `.csv` or `.json`, absolute or relative to the working folder or to the root. None takes
            `tags.csv`, `tags.json`, `instances.json` or `annotations.json` in the root, or else the names of the
            sub-folders, see `weakseg.data.tag_files.tags_from_folders`.
        val_fraction: Share of the tagged images that make up `val`, 0 up to but not including 1. They are those with
            the smallest hash of their id, rounded to a whole number: adding an image moves at most one other.

    Returns:
        The split, sorted by id. The classes are those of `classes.txt` in the root, or else all that occur.

    Raises:
        ConfigError: If `val_fraction` is out of range.
        DataError: If there are no images, no tags, no such split, or the split is empty.
    """
    if not 0.0 <= val_fraction < 1.0:
        raise ConfigError(f"val_fraction is a share of the images from 0 to below 1, got {val_fraction}")
    mask_folders = find_mask_folders(root)
    found = find_images(root, skip=mask_folders)
    if not found.paths:
        raise DataError(f"{root} holds no images; expected .jpg, .png, ... anywhere below it")
    table = _find_tags(root, tags, found.paths)
    classes = _choose_classes(root, table)
    problems = [*found.problems, *table.problems]
    images = ImageNames({key: path.relative_to(root).as_posix() for key, path in found.paths.items()})
    entries, unmatched = _match_entries(table, images)
    problems.extend(unmatched)
    _require_matches(entries, table, found.paths)
    samples, misfits = _make_samples(entries, found.paths, classes, table)
    problems.extend(misfits)
    chosen = choose_split(samples, images, root, split=split, val_fraction=val_fraction)
    problems.extend(chosen.problems)
    reader, strays = match_masks(root, mask_folders, images)
    problems.extend(strays)
    name = split if split in (*PARTS, ALL) else Path(split).stem
    return Dataset("folder", name, classes, chosen.samples, reader, tuple(problems))


def _require_matches(entries: dict[str, ImageTags], table: TagTable, paths: dict[str, Path]) -> None:
    if table.entries and not entries:
        rows, ids = (", ".join(list(names)[:_SHOWN]) for names in (table.entries, paths))
        raise DataError(
            f"no row of {table.source} fits an image: {len(table.entries)} rows ({rows}, ...), {len(paths)} images "
            f"({ids}, ...); write the image's path below the root, or its file name"
        )


def _find_tags(root: Path, tags: Path | None, paths: dict[str, Path]) -> TagTable:
    if tags is not None:
        for path in (tags, root / tags):
            if path.is_file():
                return read_tags(path)
        raise DataError(f"there is no tag file {tags}, nor {root / tags}")
    for name in TAG_FILES:
        if (root / name).is_file():
            return read_tags(root / name)
    table = tags_from_folders(paths)
    if not table.names:
        raise DataError(
            f"{root} says nothing about its {len(paths)} images: write {TAG_FILES[0]} with the header 'image,tags', "
            f"add a COCO-style {TAG_FILES[1]}, or sort the images into one folder per class"
        )
    return table


def _choose_classes(root: Path, table: TagTable) -> ClassSet:
    if (root / CLASSES_FILE).is_file():
        return read_class_set(root / CLASSES_FILE)
    if not table.names:
        raise DataError(f"{table.source} of {root} names no class: every image is without tags; write what images show")
    try:
        return ClassSet(table.names)
    except DataError as error:
        raise DataError(f"{table.source} of {root}: {error}") from error


def _match_entries(table: TagTable, images: ImageNames) -> tuple[dict[str, ImageTags], tuple[Problem, ...]]:
    """Give each image id its entry of the tag table."""
    matches = match_names(table.entries, images, source=table.source)
    return {key: table.entries[name] for name, key in matches.ids.items()}, matches.problems


def _make_samples(
    entries: dict[str, ImageTags], paths: dict[str, Path], classes: ClassSet, table: TagTable
) -> tuple[list[Sample], list[Problem]]:
    samples = []
    problems = []
    strangers: defaultdict[str, list[str]] = defaultdict(list)
    for key, path in paths.items():
        image_tags = entries.get(key)
        if image_tags is None:
            message = f"{table.source} says nothing about it; it is left out"
            problems.append(Problem("warning", "untagged", key, message))
            continue
        for name in sorted((image_tags.present | image_tags.unknown).difference(classes)):
            strangers[name].append(key)
        tags, known = _encode(image_tags, classes)
        if known.any():
            samples.append(Sample(key, path, tags, known))
        else:
            message = f"{table.source} tells nothing about any class of the set; it is left out"
            problems.append(Problem("warning", "untagged", key, message))
    for name, keys in sorted(strangers.items()):
        message = f"'{name}' of {len(keys)} images (such as {keys[0]}) is not in {CLASSES_FILE}; it is ignored"
        problems.append(Problem("warning", "unknown-tag", name, message))
    return samples, problems


def _encode(image_tags: ImageTags, classes: ClassSet) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the tags (C,) of 0 and 1, and where they are known (C,); names that are no class are passed over."""
    tags = np.array([name in image_tags.present for name in classes], np.uint8)
    unknown = np.array([name in image_tags.unknown for name in classes], np.bool_)
    return tags, (image_tags.rest_absent | (tags == 1)) & ~unknown
