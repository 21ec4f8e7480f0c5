"""Corrected masks as a folder of PNG files, `<id>.png`: labels, or the colours of a `labelmap.txt`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from weakseg.csv_cells import restore_cell
from weakseg.data.export.names import NAMES_FILE
from weakseg.data.label_maps import LABELMAP_FILE, read_labelmap
from weakseg.data.lists import read_text
from weakseg.data.mask_codes import MaskCode
from weakseg.data.masks import read_mask
from weakseg.errors import DataError
from weakseg.handover.corrections.known_images import Brought, KnownImages

_BLACK = (0, 0, 0)


def read_folder(root: Path, known: KnownImages) -> Iterator[Brought]:
    """Read every PNG below a folder; its path without the ending names the image.

    The number stored is the label, and colours are VOC's, unless a `labelmap.txt` in the folder tells the colour of
    each class. Where an export has shortened names, its `names.csv` is heeded.

    Raises:
        DataError: If the folder holds no PNG, or its label map or list of names cannot be read.
    """
    files = sorted(path for path in root.rglob("*.png") if not path.name.startswith("."))
    if not files:
        raise DataError(f"{root} holds no PNG file; expected masks named after their images, such as a/b.png")
    labelmap, names = root / LABELMAP_FILE, read_names(root)
    code = read_code(labelmap, known) if labelmap.is_file() else None
    for path in files:
        name = path.relative_to(root).with_suffix("").as_posix()
        yield read_one(path, names.get(name, name), code=code)


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
