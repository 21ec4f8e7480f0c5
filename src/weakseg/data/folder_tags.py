"""Tags of a folder of images: where they are written, and which image each entry means."""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.class_names import check_class_names
from weakseg.data.folder_parts import find_parts
from weakseg.data.image_tags import ImageTags, TagTable, map_background, spell_as_listed
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.lists import read_text
from weakseg.data.matching import ImageNames, match_names
from weakseg.data.part_tables import find_part_tables, read_part_tables
from weakseg.data.row_suffixes import doubt_suffixes, part_unread
from weakseg.data.scan import FoundImages, list_files
from weakseg.data.tag_files import join_tags, read_tags, tags_from_folders
from weakseg.errors import DataError

TAG_FILES = (
    *("tags.csv", "tags.tsv", "tags.json", "tags.jsonl", "instances.json", "annotations.json"),
    *("tags.csv.txt", "tags.tsv.txt", "tags.json.json", "tags.csv.csv"),
)
"""Looked for in the root in this order, whatever the case; Windows hides suffixes, so that some get a second one."""

_VOC_FOLDERS = ("Annotations", "ImageSets", "SegmentationClass", "SegmentationClassAug")
_TEXTS = (".csv", ".tsv", ".jsonl")
_NO_TABLES = frozenset({"classes", "readme", "license", "licence", "requirements", "train", "val", "valid", "test"})
"""Stems, in small letters, of texts that hold no tags."""

_SPREADSHEETS = (".xlsx", ".xls", ".ods")
_MAX_DEPTH = 3  # folders and name of a table that is looked for
_MAX_TABLES = 5
_PER_IMAGE = {".txt": "labels of YOLO?", ".xml": "as PASCAL VOC has them?", ".json": "of labelme?", ".npy": "arrays"}
"""What files of an image may be, by suffix."""


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
        parts: Part of the data set by image id, where the table tells.
    """

    entries: dict[str, ImageTags]
    paths: dict[str, Path]
    problems: tuple[Problem, ...]
    parts: dict[str, str] = field(default_factory=dict)


def name_images(found: FoundImages) -> ImageNames:
    """Make the images of a folder known by their names, with all suffixes that they are there in."""
    files = {key: found.rivals.get(key, (path,)) for key, path in found.paths.items()}
    # An id is the path below the root without its suffix.
    return ImageNames({key: tuple(key + path.suffix for path in paths) for key, paths in files.items()})


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
    part_tables = find_part_tables(root) if path is None else {}

    def read(file: Path) -> TagTable:
        return read_tags(file, separator=reading.tag_separator, known=known, drop_background=reading.drop_background)

    if path is not None:
        table = read(path)
    elif part_tables:
        table = read_part_tables(root, part_tables, read)
    else:
        _refuse_other_layouts(root)
        table = tags_from_folders(ids, only_class=reading.only_folder_class)
        tables = _other_tables(root)
        if not table.names:
            raise DataError(_say_nothing(root, ids, tables))
        problems = tuple(
            Problem("warning", "table-not-read", name, f"tags are taken from the sub-folders; {_how_to_read(name)}")
            for name in tables
        )
    table = map_background(spell_as_listed(table, known), drop=reading.drop_background)
    return table, (*problems, *check_class_names((*table.names, *known), source=table.source))


def match_entries(table: TagTable, images: ImageNames, found: FoundImages) -> MatchedEntries:
    """Give each image its entry; entries of one image are joined.

    Where files differ in their suffix only, the one that the table names is the image. A row of a file that is there
    but not read is left out; one whose suffix no file has is doubted.
    """
    written, left_out = part_unread(table.entries, images, found, source=table.source)
    matches = match_names(written, images, source=table.source)
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
    parts = {key: table.parts[name] for key, written in names.items() for name in written if name in table.parts}
    others = {name.rpartition("/")[2].casefold() for name in found.others}
    unread = tuple(_of_other_formats(problem, others) for problem in matches.problems)
    doubts = doubt_suffixes(matches.ids, paths, found, table.source)
    return MatchedEntries(entries, paths, (*problems, *left_out, *unread, *doubts), parts)


def _of_other_formats(problem: Problem, others: Collection[str]) -> Problem:
    """Say of an entry whose picture is there, but not read, just that."""
    name = problem.where.replace("\\", "/").rpartition("/")[2]
    if problem.kind != "missing-image" or name.strip().casefold() not in others:
        return problem
    return replace(problem, message=f"'{problem.where}' is there, but its format is not read here; it is left out")


def _find_file(root: Path, tags: Path | None) -> Path | None:
    if tags is None:
        there = {entry.name.casefold(): entry for entry in sorted(root.iterdir()) if entry.is_file()}
        return next((there[name] for name in TAG_FILES if name in there), None)
    for path in (tags, root / tags):
        if path.is_file():
            return path
    raise DataError(f"there is no tag file {tags}, nor {root / tags}")


def _refuse_other_layouts(root: Path) -> None:
    """Stop where sub-folders are those of a known data set, and no classes."""
    if (root / "JPEGImages").is_dir() and any((root / name).is_dir() for name in _VOC_FOLDERS):
        layout, name = "PASCAL VOC", "voc"
    elif any((root / "annotations").glob("instances*.json")):
        layout, name = "MS COCO", "coco"
    else:
        return
    raise DataError(
        f"{root} has no {TAG_FILES[0]} and is laid out as {layout}: take the recipe {name} (weakseg check {name} "
        f"--data.root ...) or add --data.name {name}"
    )


def _other_tables(root: Path) -> list[str]:
    """Name the tables below a folder that may hold tags, those of text first; only a few, since there may be many."""
    found = sorted(
        path.as_posix()
        for path in list_files(root, own=[])
        if path.suffix.lower() in (*_TEXTS, *_SPREADSHEETS) and len(path.parts) <= _MAX_DEPTH
    )
    found += [path.name for path in sorted(root.glob("*.[tT][xX][tT]")) if _is_table(path)]
    return sorted(found, key=lambda name: not name.lower().endswith(_TEXTS))[:_MAX_TABLES]


def _is_table(path: Path) -> bool:
    """Say whether a text may be a table of tags: lines with something behind the name of an image."""
    if path.stem.lower() in _NO_TABLES or not path.is_file():
        return False
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()][1:_MAX_TABLES]
    except DataError:
        return False
    return bool(lines) and all(re.search(r"\.[A-Za-z0-9]{2,5}[\"']?\s*[\s,;|]", line.strip()) for line in lines)


def _how_to_read(table: str) -> str:
    if table.lower().endswith((*_TEXTS, ".txt")):
        return f"--data.tags {shlex.quote(table)} reads it"
    return "save it as 'CSV UTF-8' under the name tags.csv"


def _labels_beside(root: Path) -> str | None:
    """Count the files that other tools write for each image: YOLO's `.txt`, `.xml`, `.json`; None without any."""
    stems = defaultdict(set)
    for path in list_files(root, own=[]):
        stems[path.suffix.lower()].add(path.stem)
    pictures = set().union(*(found for suffix, found in stems.items() if suffix in IMAGE_SUFFIXES))
    counts = {suffix: len(stems[suffix] & pictures) for suffix in _PER_IMAGE}
    suffix = max(counts, key=lambda key: counts[key])
    return f"{counts[suffix]} files {suffix} called like images ({_PER_IMAGE[suffix]})" if counts[suffix] > 1 else None


def _say_nothing(root: Path, ids: Collection[str], tables: list[str]) -> str:
    beside = _labels_beside(root)
    if beside:
        return (
            f"{root} has no {TAG_FILES[0]}; {beside} are not read: write {TAG_FILES[0]} with the header 'image,tags', "
            "or convert them to a COCO-style tags.json"
        )
    if tables:
        return f"{root} has no {TAG_FILES[0]}, but {', '.join(tables)}: {_how_to_read(tables[0])}"
    parts = sorted(set(find_parts(ids).values()))
    if parts:
        return (
            f"{root} says nothing about its {len(ids)} images: the folders of {', '.join(parts)} are taken for splits, "
            f"and hold no folder per class; add these, or write {TAG_FILES[0]} with the header 'image,tags'"
        )
    return (
        f"{root} says nothing about its {len(ids)} images: write {TAG_FILES[0]} with the header 'image,tags', "
        "add a COCO-style tags.json, or sort the images into one folder per class"
    )
