"""Corrected masks as a folder of PNG files, `<id>.png`: labels, or the colours of a `labelmap.txt`."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from weakseg.csv_cells import restore_cell
from weakseg.data.export.names import NAMES_FILE
from weakseg.data.folder_parts import IMAGE_FOLDERS
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.label_maps import LABELMAP_FILE, read_labelmap
from weakseg.data.lists import read_text
from weakseg.data.mask_codes import MaskCode
from weakseg.data.mask_colours import find_palette_fault
from weakseg.data.mask_folders import MASK_FOLDERS
from weakseg.data.masks import read_mask
from weakseg.data.scan import list_files
from weakseg.errors import DataError
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.predict.targets import PICTURE_ENDINGS
from weakseg.types import IGNORE_LABEL

logger = logging.getLogger("weakseg")

EXACT_SUFFIXES = (".bmp", ".tif", ".tiff", ".tga", ".ppm")
"""Pictures that keep the numbers of labels, beside PNG."""

_BLACK = (0, 0, 0)
_BINARY = (
    f"holds 0 and {IGNORE_LABEL} alone, and {IGNORE_LABEL} means 'not looked at'; number the classes from 1 on, or say "
    f"in a {LABELMAP_FILE} beside the masks what 255,255,255 is (cat:255,255,255:: or void:255,255,255::)"
)


def read_folder(root: Path, known: KnownImages) -> Iterator[Brought]:
    """Read every mask below a folder, see `list_masks`; its path without the ending names the image.

    The number stored is the label, and colours are VOC's, unless a `labelmap.txt` in the folder tells the colour of
    each class. Where an export has shortened names, its `names.csv` is heeded.

    Raises:
        DataError: If the folder holds no PNG, or its label map or list of names cannot be read.
    """
    files = list_masks(root)
    if not files:
        raise DataError(f"{root} holds no PNG file; expected masks named after their images, such as a/b.png")
    _tell_others(root, files)
    labelmap, names = root / LABELMAP_FILE, read_names(root)
    code = read_code(labelmap, known) if labelmap.is_file() else None
    for path in files:
        name = path.relative_to(root).with_suffix("").as_posix()
        brought = read_one(path, names.get(name, name), code=code)
        yield _doubt(path, brought) if code is None else brought


def list_masks(root: Path) -> list[Path]:
    """Return the PNG files anywhere below a folder, sorted, or pictures of other exact formats where there is none.

    What lies in a folder called like one for photographs, beside one called like one for masks, is left out. So is what
    `weakseg predict` writes beside masks.
    """
    names = _list_files(root)
    folders = {folder for name in names for folder in name.parents}
    with_masks = {folder.parent for folder in folders if folder.name.lower() in MASK_FOLDERS}
    photographs = {f for f in folders if f.name.lower() in IMAGE_FOLDERS and f.parent in with_masks}
    paths = [root / name for name in names if photographs.isdisjoint(name.parents)]
    pngs = [path for path in paths if path.suffix.lower() == ".png"]
    return pngs or [path for path in paths if path.suffix.lower() in EXACT_SUFFIXES]


def _list_files(root: Path) -> list[Path]:
    """List the files below a folder, sorted, but for overlays and confidences of a mask that is there."""
    found = set(list_files(root))
    beside = {
        name.with_name(name.stem + ending)
        for name in found
        if name.suffix == PICTURE_ENDINGS["mask"]
        for ending in PICTURE_ENDINGS.values()
        if ending != name.suffix
    }
    return sorted(found - beside)


def _tell_others(root: Path, masks: list[Path]) -> None:
    """Name pictures that may be meant as masks, too: no mask has their name."""
    stems = {path.stem.casefold() for path in masks}
    pictures = (name for name in _list_files(root) if name.suffix.lower() in IMAGE_SUFFIXES)
    others = sorted(name for name in pictures if name.stem.casefold() not in stems)
    if others:
        logger.warning(
            "%s: %d pictures such as %s are passed over, since masks are read from PNG files",
            root,
            len(others),
            others[0],
        )


def _doubt(path: Path, brought: Brought) -> Brought:
    """Doubt a mask whose numbers seem not to be labels, where no label map tells."""
    if brought.mask is None:
        return brought
    palette = find_palette_fault(path)
    if palette is not None and palette.misleading:
        return replace(brought, mask=None, fault=f"{palette.message}, or write its colours into {LABELMAP_FILE}")
    is_binary = set(np.unique(brought.mask).tolist()) == {0, IGNORE_LABEL}
    return replace(brought, doubt=_BINARY) if is_binary else brought


def read_one(path: Path, image: str, *, code: MaskCode | None) -> Brought:
    """Read the mask of one image."""
    try:
        return Brought(str(path), image, read_mask(path, code=code))
    except DataError as error:
        return Brought(str(path), image, fault=str(error))


def read_code(labelmap: Path, known: KnownImages) -> MaskCode:
    """Read the label of each colour; every name has to be a class, or mean the background or void.

    Raises:
        DataError: If a name is none of these.
    """
    try:
        colours = {colour: known.label_of(name) for name, colour in read_labelmap(labelmap).items()}
    except DataError as error:
        raise DataError(f"{labelmap}: {error}") from None
    colours.setdefault(_BLACK, 0)  # lists of classes leave out the background, which is black
    return MaskCode(colours=colours)


def read_names(root: Path) -> dict[str, str]:
    """Read which image a shortened name stands for; empty where no export wrote that down."""
    path = root / NAMES_FILE
    if not path.is_file():
        return {}
    rows = list(csv.DictReader(read_text(path).splitlines()))
    if rows and not {"file", "id"} <= rows[0].keys():
        raise DataError(f"{path}: expected the columns file and id, got {', '.join(rows[0])}")
    return {restore_cell(row["file"] or ""): restore_cell(row["id"] or "") for row in rows}
