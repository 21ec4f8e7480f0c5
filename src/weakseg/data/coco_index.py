"""Reading COCO `instances` JSON: tags of every image, and where in the file its objects are described.

An official file holds 300 to 470 MB of outlines. They are neither needed for training nor kept: the file is decoded
one annotation at a time, and only the byte range of each annotation stays in memory (12 bytes), from which
`weakseg.data.coco` reads the outlines of one image again when its mask is asked for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Problem, SourceId
from weakseg.data.coco_categories import as_id, as_number, read_categories
from weakseg.data.coco_outlines import is_in_shares, outline_fault, rle_size_hw
from weakseg.data.json_stream import JsonStream, PlacedValue
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.types import ClassSet

_EXAMPLES = 3


@dataclass(frozen=True)
class CocoImage:
    """An image as the file describes it.

    Args:
        id: Its id in the file.
        file_name: Its path relative to the folder of images.
        size_hw: (height, width) in pixels, or None where the file does not tell.
        outlined: Whether every object has a usable outline, so that a mask can be drawn.
    """

    id: SourceId
    file_name: str
    size_hw: tuple[int, int] | None
    outlined: bool


@dataclass(frozen=True, eq=False)
class CocoIndex:
    """A COCO file without its outlines.

    Args:
        path: The file.
        classes: Its categories in the order of their ids, with the ids as `source_ids`.
        class_of: Class index by category id; several ids may be one class.
        images: Its N images in the order of the file.
        tags: (N, C) uint8, read-only, 1 where the image has an object (or crowd) of the class.
        first: (N + 1,) int64; the annotations of image n are those from `first[n]` up to, not including, `first[n+1]`.
        spans: (A, 2) int64 first byte and length in bytes of every annotation, grouped by image.
        problems: What is wrong with the file.
    """

    path: Path
    classes: ClassSet
    class_of: Mapping[int, int]
    images: tuple[CocoImage, ...]
    tags: NDArray[np.uint8]
    first: NDArray[np.int64]
    spans: NDArray[np.int64]
    problems: tuple[Problem, ...]


def read_coco_index(path: Path, *, drop_background: bool = False) -> CocoIndex:
    """Read a COCO `instances` file (or any JSON with `images`, `categories` and `annotations`).

    Annotations with an unknown image or category are left out. Objects without a usable outline keep their tag.
    Ids such as 1.0 are integers, and backslashes in file names part folders.

    Args:
        path: The file.
        drop_background: Whether a category `background` is passed over, see `weakseg.data.coco_categories`.

    Raises:
        DataError: If the file cannot be read, is not JSON, lacks one of the three lists, or its categories do not
            make a class set.
    """
    document = _read_document(path)
    used = {annotation.category_id for annotation in document.annotations if isinstance(annotation.category_id, int)}
    classes, class_of, found = read_categories(document.categories, path, used=used, drop_background=drop_background)
    indexer = _Indexer(path, classes, class_of, document.images)
    indexer.problems.extend(found)
    return indexer.build(document.annotations)


class _Annotation(NamedTuple):
    """What stays of one annotation."""

    image_id: JsonValue
    category_id: JsonValue
    start: int
    length: int
    fault: str | None
    size_hw: tuple[int, int] | None
    in_shares: bool | None


@dataclass(frozen=True)
class _Document:
    images: list[JsonValue]
    categories: list[JsonValue]
    annotations: list[_Annotation]


class _Indexer:
    """Joins annotations to images and gathers problems."""

    def __init__(self, path: Path, classes: ClassSet, class_of: Mapping[int, int], images: list[JsonValue]) -> None:
        self.path = path
        self.classes = classes
        self.class_of = class_of
        self.problems: list[Problem] = []
        self.images: list[tuple[SourceId, str, tuple[int, int] | None]] = []
        self.row_of: dict[SourceId, int] = {}
        for entry in images:
            self._add_image(entry)

    def build(self, annotations: list[_Annotation]) -> CocoIndex:
        tags = np.zeros((len(self.images), len(self.classes)), np.uint8)
        of_image: list[list[_Annotation]] = [[] for _ in self.images]
        lost_images: list[JsonValue] = []
        lost_categories: Counter[str] = Counter()
        for annotation in annotations:
            row = self._find_row(annotation.image_id)
            category = annotation.category_id
            k = self.class_of.get(category) if isinstance(category, int) else None
            if row is None:
                lost_images.append(annotation.image_id)
            elif k is None:
                lost_categories[str(category)] += 1
            else:
                tags[row, k] = 1
                of_image[row].append(annotation)
        tags.setflags(write=False)
        self._report_lost(lost_images, lost_categories)
        outlined = self._check_outlines(of_image)
        counts = np.array([len(group) for group in of_image], np.int64)
        spans = [(annotation.start, annotation.length) for group in of_image for annotation in group]
        return CocoIndex(
            path=self.path,
            classes=self.classes,
            class_of=self.class_of,
            images=tuple(CocoImage(*image, ok) for image, ok in zip(self.images, outlined, strict=True)),
            tags=tags,
            first=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
            spans=np.array(spans, np.int64).reshape(-1, 2),
            problems=tuple(self.problems),
        )

    def _find_row(self, key: JsonValue) -> int | None:
        """Return the number of the image with an id, which one list may write as 7 and the other as "7"."""
        if not isinstance(key, int | str):
            return None
        if key in self.row_of:
            return self.row_of[key]
        other = str(key) if isinstance(key, int) else as_number(key)
        return self.row_of.get(other) if isinstance(other, int | str) else None

    def _add_image(self, entry: JsonValue) -> None:
        key = as_id(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(key, int | str) or not isinstance(name, str) or not name:
            self._warn("bad-image-entry", str(entry)[:60], "expected an image with 'id' and 'file_name'; left out")
            return
        if key in self.row_of:
            self._warn("same-id", name, f"the image id {key} occurs more than once; the first is used")
            return
        size_hw = _size_hw(entry)
        if size_hw is None:
            self._warn("no-size", name, "'height' and 'width' are missing or not positive; no mask can be drawn")
        self.row_of[key] = len(self.images)
        self.images.append((key, name.replace("\\", "/"), size_hw))

    def _check_outlines(self, of_image: list[list[_Annotation]]) -> list[bool]:
        if all(annotation.fault for group in of_image for annotation in group) and any(of_image):
            message = "no object has a usable outline (segmentation): there are tags, but no truth masks"
            self.problems.append(Problem("note", "no-outlines", str(self.path), message))
            return [False] * len(of_image)
        drawn = [annotation for group in of_image for annotation in group if annotation.fault is None]
        shares = {annotation.in_shares for annotation in drawn}
        if True in shares and False not in shares and any(max(size or (0,)) > 1 for _, _, size in self.images):
            message = (
                "outlines have corners between 0 and 1, shares of the size, where pixels are expected: no truth masks"
            )
            self._warn("bad-outline", str(self.path), message)
            return [False] * len(of_image)
        outlined = []
        for (_, name, size_hw), group in zip(self.images, of_image, strict=True):
            faults = [a.fault for a in group if a.fault is not None]
            if size_hw is not None:
                sizes = {a.size_hw for a in group if a.size_hw is not None}
                faults += [f"its RLE is for {size} pixels, the image has {size_hw}" for size in sizes - {size_hw}]
            for fault in faults[:1]:
                message = (
                    f"{len(faults)} of {len(group)} outlines cannot be drawn ({fault}); the image has no truth mask"
                )
                self._warn("bad-outline", name, message)
            outlined.append(not faults and size_hw is not None)
        return outlined

    def _report_lost(self, image_ids: list[JsonValue], categories: Counter[str]) -> None:
        if image_ids:
            some = ", ".join(str(key) for key in image_ids[:_EXAMPLES])
            message = (
                f"{len(image_ids)} annotations belong to images that the file does not list (ids {some}); left out"
            )
            self._warn("unknown-image", str(self.path), message)
        for category, count in sorted(categories.items()):
            self._warn(
                "unknown-tag", f"category {category}", f"{count} annotations of a category without a name; left out"
            )

    def _warn(self, kind: str, where: str, message: str) -> None:
        self.problems.append(Problem("warning", kind, where, message))


def _size_hw(entry: dict[str, JsonValue]) -> tuple[int, int] | None:
    height, width = as_number(entry.get("height")), as_number(entry.get("width"))
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _read_document(path: Path) -> _Document:
    """Decode the three lists; each annotation is reduced as soon as it is decoded."""
    try:
        stream = JsonStream(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); expected COCO-style JSON") from error
    lists: dict[str, list[JsonValue]] = {}
    annotations: list[_Annotation] | None = None
    try:
        for name in stream.members():
            if name == "annotations" and stream.at_list():
                annotations = [_reduce(placed) for placed in stream.items()]
                continue
            value = stream.value()
            if isinstance(value, list):
                lists[name] = value
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not a COCO file, a JSON object: {error}") from error
    missing = [name for name in ("images", "categories") if name not in lists]
    if missing or annotations is None:
        missing += ["annotations"] if annotations is None else []
        raise DataError(f"{path} is not a COCO file: it lacks {', '.join(missing)}")
    return _Document(lists["images"], lists["categories"], annotations)


def _reduce(placed: PlacedValue) -> _Annotation:
    entry = placed.value if isinstance(placed.value, dict) else {}
    outline = entry.get("segmentation")
    return _Annotation(
        image_id=as_id(entry.get("image_id")),
        category_id=as_number(entry.get("category_id")),
        start=placed.start,
        length=placed.length,
        fault=outline_fault(outline),
        size_hw=rle_size_hw(outline),
        in_shares=is_in_shares(outline),
    )
