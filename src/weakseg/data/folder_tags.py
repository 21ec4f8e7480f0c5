"""Tags of a folder of images: where they are written, and which image each entry means."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.class_names import check_class_names
from weakseg.data.image_tags import ImageTags, TagTable, map_background
from weakseg.data.matching import ImageNames, match_names
from weakseg.data.scan import FoundImages
from weakseg.data.tag_files import join_tags, read_tags, tags_from_folders
from weakseg.errors import DataError

TAG_FILES = ("tags.csv", "tags.tsv", "tags.json", "instances.json", "annotations.json")
"""Looked for in the root in this order."""

_TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")


@dataclass(frozen=True)
class FolderReading:
    """How what a folder says is to be understood.

    Args:
        tag_separator: What parts the tags of a cell; None finds it out (`weakseg.data.tag_cells`).
        drop_background: Whether a tag `background` is passed over; else it is an error, since it is no class.
        only_folder_class: Whether images sorted into one folder per class show no other class.
        mask_values: What numbers in truth masks mean (`weakseg.data.mask_codes.parse_mask_values`); None for labels.
    """

    tag_separator: str | None = None
    drop_background: bool = False
    only_folder_class: bool = False
    mask_values: str | None = None


@dataclass(frozen=True)
class MatchedEntries:
    """Which image each entry of a tag table means.

    Args:
        entries: Tags by image id.
        paths: Image file by id, without images of which it is not clear which file is meant.
        problems: Entries without an image, and files without a say.
    """

    entries: dict[str, ImageTags]
    paths: dict[str, Path]
    problems: tuple[Problem, ...]


def name_images(root: Path, found: FoundImages) -> ImageNames:
    """Make the images of a folder known by their names, with all suffixes that they are there in."""
    files = {key: found.rivals.get(key, (path,)) for key, path in found.paths.items()}
    return ImageNames({key: tuple(path.relative_to(root).as_posix() for path in paths) for key, paths in files.items()})


def find_tags(
    root: Path, tags: Path | None, ids: Collection[str], *, reading: FolderReading, known: Collection[str]
) -> tuple[TagTable, tuple[Problem, ...]]:
    """Read the tags of a folder, see `weakseg.data.folder.open_folder`.

    Args:
        root: The folder.
        tags: The tag file, or None to look for one.
        ids: Image ids, whose folders are the tags where there is no file.
        reading: How tags are understood.
        known: The class names, where a list fixes them.

    Returns:
        The tags, and what is odd about the names of the classes and about files beside them.

    Raises:
        DataError: If there are no tags, or they cannot be read.
    """
    path = _find_file(root, tags)
    problems: tuple[Problem, ...] = ()
    if path is not None:
        table = read_tags(path, separator=reading.tag_separator, known=known)
    else:
        table = tags_from_folders(ids, only_class=reading.only_folder_class)
        tables = sorted(entry.name for entry in root.iterdir() if entry.suffix.lower() in _TABLES)
        if not table.names:
            raise DataError(_say_nothing(root, len(ids), tables))
        message = f"tags are taken from the sub-folders; --data.tags {next(iter(tables), '')} reads this table instead"
        problems = tuple(Problem("warning", "table-not-read", name, message) for name in tables)
    table = map_background(table, drop=reading.drop_background)
    return table, (*problems, *check_class_names((*table.names, *known), source=table.source))


def match_entries(table: TagTable, images: ImageNames, found: FoundImages) -> MatchedEntries:
    """Give each image its entry; entries of one image are joined.

    Where files differ in their suffix only, the one that the table names is the image.
    """
    matches = match_names(table.entries, images, source=table.source)
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, key in matches.ids.items():
        names[key].append(name)
    paths = dict(found.paths)
    problems = [problem for problem in found.problems if problem.kind != "same-id"]
    for key, files in found.rivals.items():
        suffixes = {os.path.splitext(name.strip())[1].lower() for name in names[key]}
        meant = [path for path in files if path.suffix.lower() in suffixes]
        shared = ", ".join(path.name for path in files)
        if len(meant) == 1:
            paths[key] = meant[0]
            message = f"{shared} share one id; {table.source} names {meant[0].name}, which is used"
            problems.append(Problem("note", "same-id", key, message))
        elif meant:
            del paths[key], names[key]
            message = f"{shared} share one id, and {table.source} names several of them; left out, rename one"
            problems.append(Problem("warning", "same-id", key, message))
        else:
            message = f"{shared} share one id; {files[0].name} is used, rename one of them"
            problems.append(Problem("warning", "same-id", key, message))
    entries: dict[str, ImageTags] = {}
    for key, written in names.items():
        for name in written:
            entry = table.entries[name]
            entries[key] = join_tags(entries[key], entry) if key in entries else entry
    unread = tuple(_of_other_formats(problem, found) for problem in matches.problems)
    return MatchedEntries(entries, paths, (*problems, *unread))


def _of_other_formats(problem: Problem, found: FoundImages) -> Problem:
    """Say of an entry whose picture is there, but not read, just that."""
    others = {name.rpartition("/")[2].casefold() for name in found.others}
    name = problem.where.replace("\\", "/").rpartition("/")[2]
    if problem.kind != "missing-image" or name.strip().casefold() not in others:
        return problem
    return replace(problem, message=f"'{problem.where}' is there, but its format is not read here; it is left out")


def _find_file(root: Path, tags: Path | None) -> Path | None:
    if tags is None:
        return next((root / name for name in TAG_FILES if (root / name).is_file()), None)
    for path in (tags, root / tags):
        if path.is_file():
            return path
    raise DataError(f"there is no tag file {tags}, nor {root / tags}")


def _say_nothing(root: Path, num_images: int, tables: list[str]) -> str:
    if tables:
        text = any(name.lower().endswith((".csv", ".tsv")) for name in tables)
        how = f"--data.tags {tables[0]} reads it" if text else "save it as 'CSV UTF-8' under the name tags.csv"
        return f"{root} has no {TAG_FILES[0]}, but {', '.join(tables)}: {how}"
    return (
        f"{root} says nothing about its {num_images} images: write {TAG_FILES[0]} with the header 'image,tags', "
        "add a COCO-style tags.json, or sort the images into one folder per class"
    )
