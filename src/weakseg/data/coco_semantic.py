"""COCO as the authors of RIB lay it out: `JPEGImages/` for all splits, semantic masks of others in `coco_seg_anno/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset, Problem
from weakseg.data.coco_index import CocoIndex, read_coco_index
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.coco_semantic_splits import ImageNumbers, ListedImages, find_listed, number_images, number_of
from weakseg.data.mask_codes import distrust_masks
from weakseg.data.mask_numbering import Numbering, SeenMask, code_of, find_numbering
from weakseg.data.masks import MatchedMasks, read_mask
from weakseg.data.scan import FoundImages, find_images, list_files
from weakseg.errors import DataError
from weakseg.types import IGNORE_LABEL, ClassSet, Sample

_IMAGES = "JPEGImages"
_MASK_FOLDERS = ("coco_seg_anno", "coco_annotations_semantic/coco_seg_anno")
_BASES = ("", "coco_2017", "coco_2014")
_NUM_LOOKED_AT = 500  # masks that tell the numbering where tags come from elsewhere
_THREADS = 4  # Pillow decodes outside the interpreter lock


@dataclass(frozen=True)
class SemanticFolder:
    """Where such a data set lies.

    Args:
        base: The folder with `JPEGImages`.
        masks: The folder of masks.
    """

    base: Path
    masks: Path


def find_semantic_folder(root: Path) -> SemanticFolder | None:
    """Return the data set in a root such as `Dataset/coco_2017` or `Dataset`; None if it is laid out otherwise."""
    for base in (root / name for name in _BASES):
        for folder in (base / name for name in _MASK_FOLDERS):
            if (base / _IMAGES).is_dir() and folder.is_dir():
                return SemanticFolder(base, folder)
    return None


def open_coco_semantic(place: SemanticFolder, *, split: str, drop_background: bool = False) -> Dataset:
    """Open a split of COCO with masks drawn by others.

    Tags come from instances files where there are some (`annotations/instances_*.json`), else from the masks. Whether
    masks number classes in a row or by category ids is found out, see `weakseg.data.mask_numbering`.

    Args:
        place: Where it lies.
        split: `train`, `val`, `train2014`, ..., or the path of a list of numbers or names. Images are chosen by a list
            (`train14.txt`, also in `coco14/` of the released code), else by their names, else by the instances file.
        drop_background: Whether a category `background` is passed over.

    Raises:
        DataError: If nothing tells the split, it is empty, or the masks' numbers fit no classes.
    """
    found = find_images(place.base / _IMAGES)
    images, odd = number_images(found.paths)
    files = _find_json(place.base, split)
    listed = find_listed(place.base, split, images)
    indexes = _read_indexes(files, listed, images, split, drop_background=drop_background)
    listed = listed or _listed_by_json(indexes, images)
    if listed is None or not listed.ids:
        raise DataError(
            f"nothing tells which images of {place.base / _IMAGES} are '{split}': expected {split}14.txt (the released "
            f"code has coco14/{split}14.txt), names such as COCO_{split}2014_000000000009.jpg, or "
            f"annotations/instances_{split}2014.json; --data.{split} takes the path of a list, too"
        )
    return _build(place, split, found, images, listed, indexes, odd)


def _build(
    place: SemanticFolder,
    split: str,
    found: FoundImages,
    images: ImageNumbers,
    listed: ListedImages,
    indexes: Sequence[CocoIndex],
    odd: tuple[Problem, ...],
) -> Dataset:
    classes = indexes[0].classes if indexes else COCO_CLASSES
    paths = _find_masks(place.masks, images)
    told = _tags_by_id(indexes, images)
    seen = {key: values for key, values in _look(paths, _to_look_at(listed.ids, paths, told))}
    numbering = find_numbering(
        (SeenMask(values, _keys(told.get(key))) for key, values in seen.items()), classes, where=str(place.masks)
    )
    if not numbering.is_sure:  # a small split may hold no number that tells
        others = [key for key in paths if key not in seen]
        more = (SeenMask(values, _keys(told.get(key))) for key, values in _look(paths, _some(others)))
        numbering = find_numbering(more, classes, where=str(place.masks)) if others else numbering
    problems = [*odd, *listed.problems, Problem("note", "split", split, f"its images are told by {listed.how}")]
    problems.append(Problem("note", "mask-numbering", str(place.masks), numbering.message))
    problems += [problem for index in indexes for problem in index.problems if problem.kind != "missing-image"]
    samples, untagged = _make_samples(listed.ids, found.paths, classes, told, seen, numbering)
    if not indexes:
        message = f"there is no instances file; the tags of {len(samples) - len(untagged)} images are those of masks"
        problems.append(Problem("note", "tags-from-masks", str(place.base), message))
    reader = MatchedMasks(
        {key: paths[key] for key in listed.ids if key in paths}, code=code_of(numbering, _ids(classes))
    )
    doubt = distrust_masks(reader, samples, classes) if indexes else None
    return Dataset(
        name="coco",
        split=Path(split).stem,
        classes=classes,
        samples=samples,
        mask_reader=reader if reader.paths and doubt is None else None,
        problems=(*problems, *untagged, *(() if doubt is None else (doubt,))),
        source_ids={key: images.numbers[key] for key in listed.ids},
    )


def _ids(classes: ClassSet) -> tuple[int, ...]:
    return classes.source_ids or tuple(range(1, classes.num_labels))


def _find_json(base: Path, split: str) -> list[Path]:
    """List the instances files, those of the split first."""
    files = sorted({path for folder in (base, base / "annotations") for path in folder.glob("*instances*.json")})
    if split.endswith(".json"):
        own = [path for path in (Path(split), base / split) if path.is_file()][:1]
        return own + [path for path in files if path not in own]
    return sorted(files, key=lambda path: f"_{split}" not in path.stem)


def _read_indexes(
    files: Sequence[Path], listed: ListedImages | None, images: ImageNumbers, split: str, *, drop_background: bool
) -> list[CocoIndex]:
    """Read instances files until the tags of all images are known; only that of the split where it tells the images."""
    if listed is None:
        named = [path for path in files if f"_{split}" in path.stem or split.endswith(".json")][:2]
        if len(named) > 1 and not split.endswith(".json"):
            raise DataError(f"split '{split}' is ambiguous: write the year, {' or '.join(path.stem for path in named)}")
        return [read_coco_index(path, drop_background=drop_background) for path in named[:1]]
    wanted = {images.numbers[key] for key in listed.ids}
    indexes: list[CocoIndex] = []
    for path in files:
        if wanted:
            index = read_coco_index(path, drop_background=drop_background)
            if indexes and index.classes != indexes[0].classes:
                raise DataError(f"{path} and {indexes[0].path} list other categories; keep the files that belong here")
            indexes.append(index)
            wanted -= _rows_by_number(index).keys()
    return indexes


def _listed_by_json(indexes: Sequence[CocoIndex], images: ImageNumbers) -> ListedImages | None:
    if not indexes:
        return None
    numbers = _rows_by_number(indexes[0])
    missing = [
        Problem("warning", "missing-image", str(number), f"listed in {indexes[0].path.name}, but not there; left out")
        for number in numbers
        if number not in images.ids
    ]
    ids = tuple(sorted(images.ids[number] for number in numbers if number in images.ids))
    return ListedImages(ids, indexes[0].path.name, tuple(missing))


def _rows_by_number(index: CocoIndex) -> dict[int, int]:
    numbers = ((number_of(image.file_name), row) for row, image in enumerate(index.images))
    return {number: row for number, row in numbers if number is not None}


def _tags_by_id(indexes: Sequence[CocoIndex], images: ImageNumbers) -> dict[str, NDArray[np.uint8]]:
    tags: dict[str, NDArray[np.uint8]] = {}
    for index in indexes:
        for number, row in _rows_by_number(index).items():
            if number in images.ids:
                tags.setdefault(images.ids[number], index.tags[row])
    return tags


def _keys(tags: NDArray[np.uint8] | None) -> frozenset[int] | None:
    return None if tags is None else frozenset(int(key) for key in np.flatnonzero(tags))


def _find_masks(folder: Path, images: ImageNumbers) -> dict[str, Path]:
    """Return the mask of each image by its id; masks are called by the image's number, however it is written."""
    masks = {number_of(path.stem): folder / path for path in list_files(folder) if path.suffix.lower() == ".png"}
    return {key: masks[number] for number, key in images.ids.items() if number in masks}


def _to_look_at(ids: Sequence[str], paths: Mapping[str, Path], told: Mapping[str, NDArray[np.uint8]]) -> list[str]:
    """Choose some masks of tagged images, and all of images that only their mask tells about."""
    needed = [key for key in ids if key in paths and key not in told]
    return needed + _some([key for key in ids if key in paths and key in told])


def _some(ids: Sequence[str]) -> list[str]:
    return list(ids[:: max(1, len(ids) // _NUM_LOOKED_AT)][:_NUM_LOOKED_AT])


def _look(paths: Mapping[str, Path], ids: Sequence[str]) -> Iterator[tuple[str, frozenset[int]]]:
    """Yield the stored numbers of masks; those that cannot be read are named where every mask is looked at."""

    def look(key: str) -> frozenset[int] | None:
        try:
            counts = np.bincount(read_mask(paths[key]).ravel(), minlength=IGNORE_LABEL + 1)
        except DataError:
            return None
        return frozenset(int(value) for value in np.flatnonzero(counts))

    with ThreadPoolExecutor(_THREADS) as pool:
        for key, values in zip(ids, pool.map(look, ids), strict=True):
            if values is not None:
                yield key, values


def _make_samples(
    ids: Sequence[str],
    paths: Mapping[str, Path],
    classes: ClassSet,
    told: Mapping[str, NDArray[np.uint8]],
    seen: Mapping[str, frozenset[int]],
    numbering: Numbering,
) -> tuple[tuple[Sample, ...], list[Problem]]:
    meaning = {key: k for k, key in enumerate(_ids(classes) if numbering.by_id else range(1, classes.num_labels))}
    all_known = np.ones(len(classes), np.bool_)  # shared by the samples, hence read-only
    all_known.setflags(write=False)
    samples = []
    problems = []
    for key in ids:
        tags, known = told.get(key), all_known
        if tags is None:
            tags = np.zeros(len(classes), np.uint8)
            if key in seen:
                tags[[meaning[value] for value in seen[key] if value in meaning]] = 1
            else:
                known = np.zeros(len(classes), np.bool_)
                message = "neither an instances file nor a mask tells its classes; all are unknown"
                problems.append(Problem("warning", "untagged", key, message))
        samples.append(Sample(key, paths[key], tags, known))
    return tuple(samples), problems
