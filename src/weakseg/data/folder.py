"""Reader of any folder of tagged images."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, Problem
from weakseg.data.lists import CLASSES_FILE, read_class_set, read_lines
from weakseg.data.masks import PngMasks
from weakseg.data.scan import find_images, image_id
from weakseg.data.tag_files import ImageTags, TagTable, normalise_name, read_tags, tags_from_folders
from weakseg.errors import ConfigError, DataError
from weakseg.types import ClassSet, Sample

MASKS_FOLDER = "masks"
TAG_FILES = ("tags.csv", "tags.json", "instances.json", "annotations.json")
"""Looked for in the root in this order."""

_HASH_BYTES = 8


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
    found = find_images(root, skip=(MASKS_FOLDER,))
    if not found.paths:
        raise DataError(f"{root} holds no images; expected .jpg, .png, ... anywhere below it")
    table = _find_tags(root, tags, found.paths)
    classes = _choose_classes(root, table)
    problems = [*found.problems, *table.problems]
    entries, unmatched = _match_entries(table, found.paths)
    problems.extend(unmatched)
    samples, misfits = _make_samples(entries, found.paths, classes, table)
    problems.extend(misfits)
    chosen, missing = _choose_split(samples, root, split, val_fraction)
    problems.extend(missing)
    masks = root / MASKS_FOLDER
    reader = PngMasks((masks,)) if masks.is_dir() else None
    name = split if split in ("train", "val", "all") else Path(split).stem
    return Dataset("folder", name, classes, chosen, reader, tuple(problems))


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


def _match_entries(table: TagTable, paths: dict[str, Path]) -> tuple[dict[str, ImageTags], list[Problem]]:
    """Give each image id its entry of the tag table."""
    by_name = {normalise_name(key): key for key in paths}
    by_last_part: defaultdict[str, list[str]] = defaultdict(list)
    for name, key in by_name.items():
        by_last_part[PurePosixPath(name).name].append(key)
    entries: dict[str, ImageTags] = {}
    problems = []
    for written, image_tags in table.entries.items():
        stem = image_id(normalise_name(written))
        # The name as written comes first: the image may be called `a.png.jpg`. A bare file name is enough where only
        # one image has it.
        namesakes = by_last_part[stem] if "/" not in stem else []
        found = by_name.get(normalise_name(written)) or by_name.get(stem)
        key_or_none = namesakes[0] if found is None and len(namesakes) == 1 else found
        if key_or_none is None:
            message = f"{table.source} names '{written}', but there is no such image below the root; it is left out"
            problems.append(Problem("warning", "missing-image", written, message))
        elif key_or_none in entries:
            message = f"{table.source} has several entries for this image, such as '{written}'; the first is used"
            problems.append(Problem("warning", "same-id", key_or_none, message))
        else:
            entries[key_or_none] = image_tags
    return entries, problems


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


def _choose_split(
    samples: list[Sample], root: Path, split: str, val_fraction: float
) -> tuple[tuple[Sample, ...], list[Problem]]:
    problems: list[Problem] = []
    if split == "all":
        chosen = tuple(samples)
    elif split in ("train", "val"):
        held_out = _held_out(samples, val_fraction)
        chosen = tuple(sample for sample in samples if (sample.id in held_out) == (split == "val"))
    else:
        lists = [path for path in (Path(split), root / split) if path.is_file()]
        if not lists:
            raise DataError(f"no split '{split}': a folder has 'train', 'val', 'all', or takes the path of a list file")
        chosen, problems = _choose_listed(samples, lists[0])
    if not chosen:
        raise DataError(
            f"split '{split}' is empty: {len(samples)} tagged images, of which {val_fraction:.0%} are held out as "
            "'val'; set data.val_fraction so that both splits get some, or data.val to null for no validation"
        )
    return chosen, problems


def _choose_listed(samples: list[Sample], path: Path) -> tuple[tuple[Sample, ...], list[Problem]]:
    by_name = {normalise_name(sample.id): sample for sample in samples}
    wanted = dict.fromkeys(image_id(normalise_name(line)) for line in read_lines(path))
    message = f"listed in {path}, but there is no such tagged image below the root; it is left out"
    problems = [Problem("warning", "missing-image", name, message) for name in wanted if name not in by_name]
    return tuple(by_name[name] for name in sorted(wanted) if name in by_name), problems


def _held_out(samples: Sequence[Sample], val_fraction: float) -> set[str]:
    """Choose ids by their hash, so that the choice depends neither on the order nor on the platform."""
    ranked = sorted(hashlib.blake2b(s.id.encode(), digest_size=_HASH_BYTES).digest() + s.id.encode() for s in samples)
    count = round(val_fraction * len(samples))
    return {entry[_HASH_BYTES:].decode() for entry in ranked[:count]}
