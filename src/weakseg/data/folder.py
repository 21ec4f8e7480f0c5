"""Reader of any folder of tagged images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, Problem
from weakseg.data.folder_splits import ALL, PARTS, choose_split
from weakseg.data.folder_tags import FolderReading, find_tags, match_entries, name_images
from weakseg.data.image_tags import ImageTags, TagTable
from weakseg.data.lists import CLASSES_FILE, find_class_list, read_class_set
from weakseg.data.mask_codes import distrust_masks, find_mask_code
from weakseg.data.mask_folders import find_mask_folders, match_masks, take_companions
from weakseg.data.scan import find_images
from weakseg.errors import ConfigError, DataError
from weakseg.types import ClassSet, Sample

__all__ = ["FolderReading", "open_folder", "open_folder_splits"]

_SHOWN = 3  # examples in messages


_AS_IT_IS = FolderReading()


def open_folder(
    root: Path, *, split: str, tags: Path | None, val_fraction: float, reading: FolderReading = _AS_IT_IS
) -> Dataset:
    """Open a split of a folder with images anywhere below it, see `open_folder_splits`."""
    return open_folder_splits(root, splits=(split,), tags=tags, val_fraction=val_fraction, reading=reading)[0]


def open_folder_splits(
    root: Path, *, splits: Sequence[str], tags: Path | None, val_fraction: float, reading: FolderReading = _AS_IT_IS
) -> list[Dataset]:
    """Open splits of a folder with images anywhere below it; it is looked through once.

    An image's id is its path relative to the root without its suffix. Images without tags are left out of every split.

    Args:
        root: The folder. Truth masks in it are found by `weakseg.data.mask_folders`; hidden folders are skipped.
        splits: `train`, `val`, `all`, or the path of a list with one name a line, see `weakseg.data.folder_splits`.
        tags: Tag file, `.csv`, `.tsv` or `.json`, absolute or relative to the working folder or to the root. None takes
            the first of `TAG_FILES` in the root, or else the names of the sub-folders, see
            `weakseg.data.tag_files.tags_from_folders`.
        val_fraction: Share of the tagged images that make up `val`, 0 up to but not including 1. They are those with
            the smallest hash of their id, rounded to a whole number: adding an image moves at most one other.
        reading: How tags are understood.

    Returns:
        The splits, sorted by id. The classes are those of `classes.txt` in the root, or else all that occur.

    Raises:
        ConfigError: If `val_fraction` is out of range.
        DataError: If there are no images, no tags, no such split, or a split is empty.
    """
    if not 0.0 <= val_fraction < 1.0:
        raise ConfigError(f"val_fraction is a share of the images from 0 to below 1, got {val_fraction}")
    mask_folders = find_mask_folders(root)
    found, companions, beside = take_companions(find_images(root, skip=mask_folders))
    if not found.paths:
        if found.problems:
            raise DataError(f"{root} holds no images that are read: {found.problems[0].message}")
        raise DataError(f"{root} holds no images; expected .jpg, .png, ... anywhere below it")
    listed = _read_classes(root, reading)
    table, told = find_tags(root, tags, found.paths, reading=reading, known=listed.names if listed is not None else ())
    classes = _choose_classes(root, table, listed)
    images = name_images(found)
    matched = match_entries(table, images, found)
    _require_matches(matched.entries, table, matched.paths, matched.problems)
    samples, misfits = _make_samples(matched.entries, matched.paths, classes, table)
    unfit = [p for p in matched.problems if p.kind in ("ambiguous-image", "missing-image")]
    code, coded = find_mask_code(root, classes, values=reading.mask_values)
    reader, strays = match_masks(root, mask_folders, images, code=code, companions=companions)
    opened = []
    for split in splits:
        chosen = choose_split(
            samples, images, root, split=split, val_fraction=val_fraction, told=matched.parts, untagged=unfit
        )
        doubt = None if reader is None else distrust_masks(reader, chosen.samples, classes)
        found_of_masks = (*beside, *strays, *coded, *(() if doubt is None else (doubt,)))
        name = split if split in (*PARTS, ALL) else Path(split).stem
        problems = (*told, *table.problems, *matched.problems, *misfits, *chosen.problems, *found_of_masks)
        masks = None if doubt is not None else reader
        opened.append(Dataset("folder", name, classes, chosen.samples, masks, problems))
    return opened


def _require_matches(
    entries: dict[str, ImageTags], table: TagTable, paths: dict[str, Path], problems: Sequence[Problem]
) -> None:
    if table.entries and not entries:
        doubts = [problem.message for problem in problems if problem.kind == "ambiguous-image"]
        if doubts:
            raise DataError(f"no row of {table.source} fits one image alone: {doubts[0]} ({len(doubts)} such rows)")
        rows, ids = (", ".join(list(names)[:_SHOWN]) for names in (table.entries, paths))
        raise DataError(
            f"no row of {table.source} fits an image: {len(table.entries)} rows ({rows}, ...), {len(paths)} images "
            f"({ids}, ...); write the image's path below the root, or its file name"
        )


def _read_classes(root: Path, reading: FolderReading) -> ClassSet | None:
    path = find_class_list(root)
    return None if path is None else read_class_set(path, drop_background=reading.drop_background)


def _choose_classes(root: Path, table: TagTable, listed: ClassSet | None) -> ClassSet:
    if listed is not None:
        return listed
    if not table.names:
        raise DataError(f"{table.source} of {root} names no class: every image is without tags; write what images show")
    try:
        return ClassSet(table.names)
    except DataError as error:
        raise DataError(f"{table.source} of {root}: {error}") from error


def _make_samples(
    entries: dict[str, ImageTags], paths: dict[str, Path], classes: ClassSet, table: TagTable
) -> tuple[list[Sample], list[Problem]]:
    samples = []
    problems = []
    strangers: defaultdict[str, list[str]] = defaultdict(list)
    encoded: dict[ImageTags, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}  # most images share theirs with others
    for key, path in paths.items():
        image_tags = entries.get(key)
        if image_tags is None:
            message = f"{table.source} says nothing about it; it is left out"
            problems.append(Problem("warning", "untagged", key, message))
            continue
        for name in sorted((image_tags.present | image_tags.unknown).difference(classes)):
            strangers[name].append(key)
        if image_tags not in encoded:
            encoded[image_tags] = _encode(image_tags, classes)
        tags, known = encoded[image_tags]
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
