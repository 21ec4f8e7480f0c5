"""Reader of COCO: the official folders of 2014 and 2017, and a flat folder with one `instances.json`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weakseg.data.base import Dataset, Problem
from weakseg.data.coco_index import CocoIndex, read_coco_index
from weakseg.data.coco_semantic import find_semantic_folder, open_coco_semantic
from weakseg.data.coco_truth import CocoInstances, CocoMasks, CocoOutlines
from weakseg.data.folder_parts import part_of_name
from weakseg.data.matching import ImageNames, match_names
from weakseg.data.scan import find_images, image_id
from weakseg.errors import DataError
from weakseg.types import Sample

_YEARS = ("2014", "2017")
_FLAT_FILE = "instances.json"
_SHOWN = 3
_SAMPLED_NAMES = 50
"""So many file names are tried to find the folder of images, since some images may be missing."""


def open_coco(root: Path, *, split: str, drop_background: bool = False) -> Dataset:
    """Open a split of COCO.

    A class is tagged where the image has an object or a crowd of it; an image without any has all tags 0. Classes are
    the categories in the order of their ids, which `ClassSet.source_ids` keeps.

    Args:
        root: The folder with `annotations/instances_<split>.json` and `<split>/`, or with `instances.json` and
            `images/`. A folder with `JPEGImages/` and `coco_seg_anno/` is read by `weakseg.data.coco_semantic`.
        split: `train` or `val` of the year that is there, `train2014`, `val2014`, `train2017`, `val2017`, any name
            for the flat folder, or the path of a JSON file.
        drop_background: Whether a category `background` is passed over; else it is an error where objects are of it.

    Returns:
        The images that exist, sorted by id. The id is the image's path without its suffix, such as `000000000061`.
        Truth masks and instances are drawn from the outlines, see `weakseg.data.coco_outlines`; an image with an
        outline that cannot be drawn has none. `source_ids` holds the images' ids in the file.

    Raises:
        DataError: If the file is missing, ambiguous or not COCO, or none of its images is found.
    """
    semantic = find_semantic_folder(root)
    if semantic is not None:
        return open_coco_semantic(semantic, split=split, drop_background=drop_background)
    json_path, name = _find_json(root, split)
    index = read_coco_index(json_path, drop_background=drop_background)
    folder = _find_image_folder(root, json_path, name, index)
    rows, problems = _find_images(index, folder)
    paths = {sample_id: folder / index.images[row].file_name for sample_id, row in rows.items()}
    if len(rows) < len(index.images):
        rows, paths, problems = _match_images(index, root, folder, rows, paths, problems)
    if not rows:
        raise DataError(f"{json_path} lists {len(index.images)} images, but none of them is usable in {folder}")
    known = np.ones(len(index.classes), np.bool_)  # shared by the samples, hence read-only
    known.setflags(write=False)
    samples = tuple(
        Sample(sample_id, paths[sample_id], index.tags[row], known) for sample_id, row in sorted(rows.items())
    )
    outlines = CocoOutlines.of(index, rows) if any(image.outlined for image in index.images) else None
    return Dataset(
        name="coco",
        split=name,
        classes=index.classes,
        samples=samples,
        mask_reader=None if outlines is None else CocoMasks(outlines),
        problems=(*index.problems, *problems),
        instance_reader=None if outlines is None else CocoInstances(outlines),
        source_ids={sample_id: index.images[row].id for sample_id, row in rows.items()},
    )


def _find_images(index: CocoIndex, folder: Path) -> tuple[dict[str, int], list[Problem]]:
    """Return the number of each usable image by sample id."""
    present = _FolderContent(folder)
    rows: dict[str, int] = {}
    problems = []
    for row, image in enumerate(index.images):
        sample_id = image_id(image.file_name)
        if ".." in sample_id.split("/"):
            message = f"a file name of {index.path.name} must be a plain relative path; it is left out"
            problems.append(Problem("warning", "bad-id", image.file_name, message))
        elif not present.has(image.file_name):
            message = f"listed in {index.path.name}, but there is no {folder / image.file_name}; it is left out"
            problems.append(Problem("warning", "missing-image", sample_id, message))
        elif sample_id in rows:
            message = f"{image.file_name} and another image of {index.path.name} share an id; the first is used"
            problems.append(Problem("warning", "same-id", sample_id, message))
        else:
            rows[sample_id] = row
    return rows, problems


def _match_images(
    index: CocoIndex, root: Path, folder: Path, rows: dict[str, int], paths: dict[str, Path], problems: list[Problem]
) -> tuple[dict[str, int], dict[str, Path], list[Problem]]:
    """Find the images that are not where the file says, as rows of a table find theirs (`weakseg.data.matching`).

    So names in another case, with another suffix, `../images/a.jpg` and `C:/set/a.jpg` find their images.
    """
    told = {p.where for p in problems if p.kind in ("missing-image", "bad-id")}
    lost = {
        image.file_name: row
        for row, image in enumerate(index.images)
        if image.file_name in told or image_id(image.file_name) in told
    }
    if not lost:
        return rows, paths, problems
    found = find_images(folder)
    names = ImageNames({key: (path.relative_to(folder).as_posix(),) for key, path in found.paths.items()})
    taken = {path: key for key, path in paths.items()}
    matched = match_names(lost, names, source=index.path.name).ids
    rows, paths = dict(rows), dict(paths)
    for name, key in matched.items():
        path = found.paths[key]
        if path not in taken and key not in rows:
            rows[key], paths[key], taken[path] = lost[name], path, key
            told -= {name, image_id(name)}
    kept = [p for p in problems if p.kind not in ("missing-image", "bad-id") or p.where in told]
    return rows, paths, kept


class _FolderContent:
    """Tells which files exist by listing the folder once; 82 783 separate look-ups take long on a network disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = {entry.name for entry in os.scandir(folder)}

    def has(self, file_name: str) -> bool:
        return file_name in self._names or ("/" in file_name and (self._folder / file_name).is_file())


def _find_json(root: Path, split: str) -> tuple[Path, str]:
    """Return the annotation file of a split and the split's full name."""
    if split.endswith(".json"):
        for path in (Path(split), root / split):
            if path.is_file():
                return path, path.stem.removeprefix("instances_")
        raise DataError(f"there is no file {split}, nor {root / split}; expected COCO-style JSON")
    names = [split, *(f"{split}{year}" for year in _YEARS)]
    found = [name for name in names if _official_json(root, name).is_file()]
    if len(found) > 1:
        raise DataError(f"split '{split}' is ambiguous in {root}: write {' or '.join(found)}")
    if found:
        return _official_json(root, found[0]), found[0]
    if (root / _FLAT_FILE).is_file():
        return root / _FLAT_FILE, split
    other = _find_other_json(root, names)
    if other is not None:
        return other, split
    looked_for = ", ".join(str(_official_json(root, name)) for name in names)
    there = sorted(
        {path.relative_to(root).as_posix() for place in ("", "annotations") for path in _list_json(root / place)}
    )
    hint = f"; there is {', '.join(there[:_SHOWN])}: --data.{split} {there[0]} reads it" if there else ""
    raise DataError(f"no split '{split}' in {root}: expected one of {looked_for}, or {root / _FLAT_FILE}{hint}")


def _find_other_json(root: Path, names: Sequence[str]) -> Path | None:
    """Return the file of a split as other tools name it, whatever the case: those of a split, then those of all."""
    wanted = [
        *(f"{start}{name}.json" for name in names for start in ("instances_", "", "annotations_")),
        *("instances.json", "instances_default.json", "annotations.json", "_annotations.coco.json", "result.json"),
    ]
    part = part_of_name(names[0])
    own = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and part and part_of_name(entry.name) == part]
    for folder in own:  # Roboflow's: each split has a folder with its images and its file
        files = {path.name.lower(): path for path in _list_json(folder)}
        found = next((files[name] for name in ("_annotations.coco.json", "annotations.json") if name in files), None)
        if found is not None:
            return found
    for folder in (root / "annotations", root):
        files = {path.name.lower(): path for path in _list_json(folder)}
        found = next((files[name.lower()] for name in wanted if name.lower() in files), None)
        if found is not None:
            return found
    return None


def _list_json(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.is_file()) if folder.is_dir() else []


def _official_json(root: Path, name: str) -> Path:
    return root / "annotations" / f"instances_{name}.json"


def _find_image_folder(root: Path, json_path: Path, name: str, index: CocoIndex) -> Path:
    """Return the first folder that holds one of the images."""
    bases = dict.fromkeys((root, json_path.parent))
    candidates = [base / sub for base in bases for sub in (name, f"images/{name}", "images", ".")]
    some_names = [image.file_name for image in index.images[:_SAMPLED_NAMES]]
    for folder in candidates:
        if folder.is_dir() and any((folder / file_name).is_file() for file_name in some_names):
            return folder
    if not some_names:
        raise DataError(f"{json_path} lists no image with 'id' and 'file_name'")
    for folder in candidates:
        if folder.is_dir():
            found = find_images(folder).paths
            names = ImageNames({key: (path.relative_to(folder).as_posix(),) for key, path in found.items()})
            if match_names(some_names, names, source=json_path.name).ids:
                return folder
    looked_in = ", ".join(str(folder) for folder in candidates)
    raise DataError(f"found none of the images of {json_path} (such as {some_names[:1]}); looked in {looked_in}")
