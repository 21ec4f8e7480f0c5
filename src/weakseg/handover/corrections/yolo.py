"""Corrected masks as a data set for YOLO's segmentation: a text file of polygons per image, and `data.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from weakseg.data.coco_categories import as_number
from weakseg.data.coco_outlines import Outline, draw_labels
from weakseg.data.lists import read_text
from weakseg.data.scan import list_files
from weakseg.errors import DataError
from weakseg.handover.corrections.folder import read_names
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.handover.corrections.shapes import pair_up, require_within
from weakseg.types import IGNORE_LABEL

DATA_FILES = ("data.yaml", "data.yml", "dataset.yaml")
CLASS_FILES = ("classes.txt", "obj.names")
"""Where a data set says what its numbers mean; the latter have a name a line."""

_FOLDERS = ("train", "val", "test", "valid", "labels")
_NOT_LABELS = (*CLASS_FILES, "train.txt", "val.txt", "test.txt", "readme.", "labelmap.txt")
"""What the names of other text files begin with; Roboflow writes `README.roboflow.txt`."""

_FARTHEST_SHARE = 2.0
"""Objects may reach beyond the image; corners farther out are pixels."""


def read_yolo(root: Path, known: KnownImages) -> Iterator[Brought]:
    """Read every text file of polygons below a folder; larger objects are drawn first. An empty file is background.

    Raises:
        DataError: If there is no such file, or nothing tells the names of the classes, or one is none of the run's.
    """
    source, classes = _read_classes(root)
    files = list_label_files(root)
    if not files:
        raise DataError(f"{root} holds no labels/*.txt; expected a text file of polygons per image")
    names = read_names(source.parent)
    for path in files:
        name = _image_name(path.relative_to(root))
        image = names.get(name, name)
        try:
            size_hw = known.size_of(known.find(image))
            yield Brought(str(path), image, _draw(read_text(path), classes, known, size_hw))
        except DataError as error:
            yield Brought(str(path), image, fault=str(error))


def list_label_files(root: Path) -> list[Path]:
    """Return the text files anywhere below a folder that may describe an image, sorted."""
    texts = (name for name in list_files(root) if name.suffix.lower() == ".txt")
    return sorted(root / name for name in texts if not name.name.lower().startswith(_NOT_LABELS))


def find_class_file(root: Path) -> Path | None:
    """Return the file that names the classes of a data set, in the folder or the one above; None without one."""
    places = [folder / name for folder in (root, root.parent) for name in (*DATA_FILES, *CLASS_FILES)]
    return next((path for path in places if path.is_file()), None)


def _read_classes(root: Path) -> tuple[Path, dict[int, str]]:
    """Return the file that names the classes, and the class of each number."""
    path = find_class_file(root)
    if path is None:
        raise DataError(f"{root} has neither data.yaml nor classes.txt; add one, which says what the numbers mean")
    try:
        return path, _read_class_names(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read_class_names(path: Path) -> dict[int, str]:
    text = read_text(path)
    if path.suffix not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"not readable YAML ({error})".replace("\n", " ")) from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    names = {as_number(number): name for number, name in names.items()} if isinstance(names, dict) else {}
    if not names or not all(isinstance(number, int) for number in names):
        raise DataError("expected 'names' with the class of every number 0, 1, ...")
    return {number: str(name) for number, name in names.items()}


def _image_name(relative: Path) -> str:
    """Return the image's name of `labels/train/<name>.txt`: without the folders of splits around it."""
    parts = list(relative.with_suffix("").parts)
    while len(parts) > 1 and parts[0] in _FOLDERS:
        del parts[0]
    return "/".join(parts)


def _draw(text: str, classes: dict[int, str], known: KnownImages, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    size_xy = np.array(size_hw[::-1])
    outlines = []
    for number, line in enumerate(text.splitlines()):
        if not line.strip():
            continue
        try:
            key, *values = (float(word) for word in line.split())
        except ValueError:
            raise DataError(f"line {number + 1}: expected numbers only, got '{line[:60]}'") from None
        if key not in classes:
            raise DataError(f"line {number + 1}: expected a class {min(classes)}..{max(classes)}, got {key:g}")
        if len(values) == len(("x", "y", "width", "height")):
            raise DataError(f"line {number + 1} is a box, which is no mask; export polygons (YOLO segmentation)")
        shares = pair_up(values, what=f"line {number + 1}")
        if np.abs(shares).max() > _FARTHEST_SHARE:
            raise DataError(
                f"line {number + 1}: expected corners as shares 0..1 of width and height, got {shares.max():g}; export "
                "them so"
            )
        corners = shares * size_xy
        require_within(corners, size_hw)
        label = known.label_of(classes[int(key)])
        polygon = [float(value) for value in corners.ravel()]
        outlines.append(Outline(label, crowd=label == IGNORE_LABEL, segmentation=[polygon]))
    return draw_labels(outlines, size_hw=size_hw)
