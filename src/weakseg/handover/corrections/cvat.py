"""Corrected masks as CVAT exports them: "Segmentation mask 1.1" and "CVAT for images 1.1".

The attributes of the latter: https://docs.cvat.ai/docs/other/xml_format . Its run lengths begin with background and go
through the rectangle of the mask row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from weakseg.data.label_maps import LABELMAP_FILE
from weakseg.data.lists import read_text
from weakseg.errors import DataError
from weakseg.handover.corrections.folder import list_masks, read_code, read_one
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.handover.corrections.shapes import Shape, fill_polygon, paint, pair_up

MASK_FOLDER, XML_FILE = "SegmentationClass", "annotations.xml"

_PASSED_OVER = ("tag", "attribute")
"""What says something of the whole image."""


def read_cvat_masks(root: Path, known: KnownImages) -> Iterator[Brought]:
    """Read an unpacked "Segmentation mask 1.1": `SegmentationClass/<name>.png` in the colours of `labelmap.txt`.

    Raises:
        DataError: If there are no masks or no label map, or a label is no class of the run.
    """
    folder, labelmap = root / MASK_FOLDER, root / LABELMAP_FILE
    files = list_masks(folder)
    if not files:
        raise DataError(f"{root} holds no {MASK_FOLDER}/*.png; export the task as 'Segmentation mask 1.1'")
    if not labelmap.is_file():
        raise DataError(f"{root} holds no {LABELMAP_FILE}, which says what the colours mean; export the task again")
    code = read_code(labelmap, known)
    for path in files:
        yield read_one(path, path.relative_to(folder).with_suffix("").as_posix(), code=code)


def read_cvat_shapes(path: Path, known: KnownImages) -> Iterator[Brought]:
    """Read the masks and polygons of `annotations.xml`; a higher `z_order` lies on top.

    Nothing is said of an image without a shape.

    Raises:
        DataError: If the file is no such XML.
    """
    text = read_text(path)
    if "<!ENTITY" in text:  # a few lines of these fill any memory, and CVAT writes none
        raise DataError(f"{path} defines entities, which CVAT does not write; export the task again")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no readable XML ({error}); export the task again") from None
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise DataError(f"{path}: expected images of 'CVAT for images 1.1'; videos and other formats have none")
    for image in images:
        name = image.get("name", "")
        where = f"{path}: image {image.get('id', '?')}"
        shapes = [shape for shape in image if shape.tag not in _PASSED_OVER]
        if not shapes:
            continue
        try:
            size_hw = known.size_of(known.find(name))
            told_hw = (_integer(image, "height"), _integer(image, "width"))
            if told_hw != size_hw:
                raise DataError(
                    f"expected an image of {size_hw[1]} x {size_hw[0]} pixels, got {told_hw[1]} x {told_hw[0]}"
                )
            yield Brought(where, name, paint([_read_shape(shape, known, size_hw) for shape in shapes], size_hw))
        except DataError as error:
            yield Brought(where, name, fault=str(error))


def _read_shape(shape: ElementTree.Element, known: KnownImages, size_hw: tuple[int, int]) -> Shape:
    label, layer = known.label_of(shape.get("label", "")), _integer(shape, "z_order", default="0")
    if shape.tag == "mask":
        return Shape(label, _read_mask(shape, size_hw), layer)
    if shape.tag != "polygon":
        raise DataError(f"expected masks and polygons, got a {shape.tag}, which is no mask; redraw or remove it")
    try:
        values = [float(part) for corner in shape.get("points", "").split(";") for part in corner.split(",")]
    except ValueError:
        raise DataError(f"expected the corners of a polygon 'x,y;x,y', got '{shape.get('points', '')[:60]}'") from None
    return Shape(label, fill_polygon(pair_up(values, what="a polygon"), size_hw), layer)


def _read_mask(shape: ElementTree.Element, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    left, top, width, height = (_integer(shape, name) for name in ("left", "top", "width", "height"))
    if min(left, top, width, height) < 0 or top + height > size_hw[0] or left + width > size_hw[1]:
        raise DataError(f"a mask of {width} x {height} pixels at {left}, {top} does not fit into the image")
    try:
        runs = np.array([int(part) for part in shape.get("rle", "").split(",")], np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"expected the run lengths of a mask, got '{shape.get('rle', '')[:60]}'") from None
    if runs.min() < 0 or runs.max() > width * height or int(runs.sum()) != width * height:
        raise DataError(f"the run lengths of a mask cover {runs.sum()} pixels, not {width} x {height}")
    pixels = np.zeros(size_hw, np.bool_)
    values = [value for value, _ in zip(cycle((False, True)), runs, strict=False)]
    pixels[top : top + height, left : left + width] = np.repeat(values, runs).reshape(height, width)
    return pixels


def _integer(element: ElementTree.Element, name: str, *, default: str = "") -> int:
    text = element.get(name, default)
    try:
        return int(text.removesuffix(".0"))  # as programs write it that make numbers of all columns
    except ValueError:
        raise DataError(f"expected a whole number as {name} of a {element.tag}, got '{text}'") from None
