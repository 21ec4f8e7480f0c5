"""Class-agnostic masks as files: parts of an image of which nobody says what they show.

For an image `<id>` a folder holds one of these, looked for in this order:

- `<id>.json`: what SAM's mask generators write with `coco_rle`, a list of objects with `segmentation`; also a list of
  RLEs alone, and one object with such a list in `annotations`, as SA-1B has it.
- `<id>.npz`: one array, or one called `masks`: (M, H, W) of 0 and 1, or (H, W) of integers as in the next form.
- `<id>.png`: a label map of 1 to 16 bits or in colours: every number or colour is a mask, 0 or black is none.
- `<id>/*.png`: a mask in each file, as SEPL's release has them: what is not 0.

What weakseg makes itself (`weakseg outlines`) it writes in the first form.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from weakseg.data.coco_outlines import Outline, draw_instances
from weakseg.data.png import is_png
from weakseg.data.regular_files import read_regular
from weakseg.documents import decode_json
from weakseg.errors import DataError, ShapeError
from weakseg.file_names import safe_path
from weakseg.files import JsonValue, write_bytes

SUFFIXES = (".json", ".npz", ".png", "")
"""Endings of a file or folder of masks, the first that is there counts."""

MAX_MASKS = 4096
"""With more masks a file is refused: at 500 x 375 px they would take 0.8 GB."""

_ARRAY_NAME = "masks"
_SCORE_DECIMALS = 4
_NUMBER_MODES = ("1", "L", "P", "I;16", "I;16B", "I")
_COLOUR_WEIGHTS = np.array([65536, 256, 1], np.int64)


@dataclass(frozen=True)
class AgnosticMasks:
    """The masks of many images.

    Args:
        folder: Holds them by image id; see the module.
    """

    folder: Path

    def find(self, sample_id: str) -> Path | None:
        """Return the file or folder of an image's masks, or None if there is none."""
        for name in dict.fromkeys((safe_path(sample_id), sample_id)):
            for suffix in SUFFIXES:
                path = self.folder / f"{name}{suffix}"
                if os.path.isfile(path) if suffix else os.path.isdir(path):
                    return path
        return None

    def missing(self, sample_ids: Iterable[str]) -> tuple[str, ...]:
        """Return those of some images that have no masks, in their order; nothing is read."""
        return tuple(sample_id for sample_id in sample_ids if self.find(sample_id) is None)

    def read(self, sample_id: str, *, size_hw: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Read the masks of an image: see `read_agnostic_masks`; None if there are none."""
        path = self.find(sample_id)
        return None if path is None else read_agnostic_masks(path, size_hw=size_hw)


def read_agnostic_masks(path: Path, *, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Read the masks of one image.

    Args:
        path: A file or folder as the module lists them.
        size_hw: (height, width) of the upright image in pixels, which the masks must have.

    Returns:
        (M, H, W) bool in the order of the file, of numbers, or of file names; they may overlap, and M may be 0.

    Raises:
        DataError: If a file is missing or damaged, of another kind or size, or holds more than `MAX_MASKS`.
    """
    try:
        if path.is_dir():
            return _read_folder(path, size_hw)
        content = read_regular(path)
        if path.suffix == ".json":
            return _read_json(content, size_hw)
        if path.suffix == ".npz":
            return _read_npz(content, size_hw)
        return _split(_read_png(content), size_hw)
    except OSError as error:
        raise DataError(f"cannot read masks {path}: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"masks {path}: {error}") from error


def write_agnostic_masks(path: Path, masks: NDArray[np.bool_], scores: Sequence[float] | None = None) -> None:
    """Write the masks of one image as SAM's generators do: COCO's RLE in JSON, whole or not at all.

    Args:
        path: A `.json` file; its folder is made if need be.
        masks: (M, H, W) bool, which may overlap; M may be 0.
        scores: How sure each is, 0..1, kept as `predicted_iou`; None for none.

    Raises:
        ShapeError: If the masks are not (M, H, W) bool, or scores are not one each.
        ArtifactError: If the file cannot be written.
    """
    if masks.ndim != 3 or masks.dtype != np.bool_ or (scores is not None and len(scores) != len(masks)):
        raise ShapeError(
            f"expected masks (M, H, W) bool, and as many scores or none, got {masks.dtype} {masks.shape} and "
            f"{'none' if scores is None else len(scores)}"
        )
    entries: list[JsonValue] = []
    for place, mask in enumerate(masks):
        (code,) = rle_tools.encode(np.asfortranarray(mask[..., None], np.uint8))
        segmentation: JsonValue = {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}
        entry: dict[str, JsonValue] = {"segmentation": segmentation, "area": int(mask.sum())}
        if scores is not None:
            entry["predicted_iou"] = round(float(scores[place]), _SCORE_DECIMALS)
        entries.append(entry)
    write_bytes(path, json.dumps(entries).encode())


def _read_json(content: bytes, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        document: JsonValue = decode_json(content)
    except ValueError as error:
        raise DataError(f"not readable as JSON ({error})") from None
    entries = document.get("annotations") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise DataError("expected a list of masks as RLE, or an object with such a list in 'annotations'")
    _require_few(len(entries))
    outlines = [Outline(label=1, crowd=False, segmentation=_segmentation(entry)) for entry in entries]
    return draw_instances(outlines, size_hw=size_hw).masks


def _segmentation(entry: JsonValue) -> JsonValue:
    """Return the RLE or the polygons of an entry, which may be one itself."""
    inner: JsonValue = entry["segmentation"] if isinstance(entry, dict) and "segmentation" in entry else entry
    return inner


def _read_npz(content: bytes, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = list(arrays)
            if _ARRAY_NAME not in names and len(names) != 1:
                raise DataError(f"expected one array, or one called '{_ARRAY_NAME}', got {', '.join(names) or 'none'}")
            values = np.asarray(arrays[_ARRAY_NAME if _ARRAY_NAME in names else names[0]])
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"not a readable npz file of plain arrays ({error})") from None
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"expected an array of bool or integers, got {values.dtype}")
    if values.ndim == 2:
        return _split(values.astype(np.int64), size_hw)
    if values.ndim != 3:
        raise DataError(f"expected an array (M, H, W), or (H, W) with a number per mask, got {values.shape}")
    _require_few(len(values))
    _require_size((values.shape[1], values.shape[2]), size_hw)
    masks: NDArray[np.bool_] = values != 0
    return masks


def _read_folder(path: Path, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    files = sorted(path.glob("*.png"))
    _require_few(len(files))
    masks = np.zeros((len(files), *size_hw), np.bool_)
    for mask, file in zip(masks, files, strict=True):
        try:
            numbers = _read_png(read_regular(file))
            _require_size((numbers.shape[0], numbers.shape[1]), size_hw)
        except DataError as error:
            raise DataError(f"{file.name}: {error}") from None
        mask[:] = numbers != 0
    return masks


def _read_png(content: bytes) -> NDArray[np.int64]:
    """Return a number for every pixel, 0 for black."""
    if not is_png(content):
        raise DataError("not a PNG file; other formats blur labels")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            mode, pixels = image.mode, np.asarray(image).astype(np.int64)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"damaged: {error or type(error).__name__}") from None
    if mode == "RGB":
        numbers: NDArray[np.int64] = pixels @ _COLOUR_WEIGHTS
        return numbers
    if mode not in _NUMBER_MODES:
        raise DataError(f"it has the pixel mode {mode}; save it as a palette, grey or RGB PNG without alpha")
    return pixels


def _split(numbers: NDArray[np.int64], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask for every number but 0, ascending."""
    _require_size((numbers.shape[0], numbers.shape[1]), size_hw)
    found = np.unique(numbers)
    found = found[found != 0]
    _require_few(len(found))
    masks: NDArray[np.bool_] = numbers == found[:, None, None]
    return masks


def _require_few(count: int) -> None:
    if count > MAX_MASKS:
        raise DataError(f"expected at most {MAX_MASKS} masks, got {count}")


def _require_size(found_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    if found_hw != size_hw:
        raise DataError(
            f"expected {size_hw[0]} x {size_hw[1]} px (height, width) as the upright image has, got {found_hw[0]} x "
            f"{found_hw[1]}; make them from that image"
        )
