"""Truth masks beside a folder of images: which sub-folders hold them, and which image each of them belongs to."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.folder_parts import IMAGE_FOLDERS
from weakseg.data.mask_codes import MaskCode
from weakseg.data.masks import MatchedMasks
from weakseg.data.matching import Closeness, ImageNames, match_names
from weakseg.data.scan import list_files

MASKS_FOLDER = "masks"
"""Directly below the root, a folder of this name holds masks."""

MASK_FOLDERS = (MASKS_FOLDER, "mask", "labels", "label", "annotations")
"""Beside a folder of `IMAGE_FOLDERS`, at any depth, folders of these names hold masks."""

_MASK_SUFFIX = ".png"


def find_mask_folders(root: Path) -> tuple[str, ...]:
    """List the folders below a root that hold masks, as paths relative to it with `/` between their parts, sorted.

    A folder without a PNG file in it holds none, whatever its name.
    """
    found = []
    for parent, folder_names, _ in os.walk(root):
        here = Path(parent).relative_to(root)
        beside_images = any(name.lower() in IMAGE_FOLDERS for name in folder_names)
        masks = [
            name
            for name in folder_names
            if (beside_images and name.lower() in MASK_FOLDERS) or (here == Path() and name == MASKS_FOLDER)
        ]
        masks = [name for name in masks if _list_masks(root / here / name)]
        found += [(here / name).as_posix() for name in masks]
        folder_names[:] = [name for name in folder_names if name not in masks and not name.startswith(".")]
    return tuple(sorted(found))


def match_masks(
    root: Path, folders: tuple[str, ...], images: ImageNames, *, code: MaskCode | None = None
) -> tuple[MatchedMasks | None, tuple[Problem, ...]]:
    """Give each mask of some folders to its image, and name those that belong to none.

    `masks/sub/a.png` belongs to `sub/a.jpg` or `images/sub/a.jpg`; else to the image that its name means as that of a
    row of a table would (`weakseg.data.matching`).

    Args:
        root: The root of the data set.
        folders: Folders below it that hold masks, the first one first where several hold a mask of one image.
        images: The images.
        code: What the numbers and colours in the files mean.

    Returns:
        The reader, or None if there is no folder; and what is wrong.
    """
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in folders:
        files = _list_masks(root / folder)
        names = {_name_of(relative, folder, images): relative for relative in files}
        matches = match_names(names, images, source=f"{folder}/")
        for name, key in matches.ids.items():
            paths.setdefault(key, files[names[name]])
        if files and not matches.ids:
            message = f"it is taken for truth masks, but none of its {len(files)} PNG files is called like an image"
            problems.append(Problem("warning", "mask-unused", f"{folder}/", f"{message}; rename it if they are images"))
        else:
            problems += [replace(problem, kind="mask-unused") for problem in matches.problems]
    return MatchedMasks(paths, code) if folders else None, tuple(problems)


def _list_masks(folder: Path) -> dict[str, Path]:
    """Return the mask files below a folder by their path in it, without the suffix, in sorted order."""
    files = (path for path in list_files(folder) if path.suffix.lower() == _MASK_SUFFIX)
    return dict(sorted((path.with_suffix("").as_posix(), folder / path) for path in files))


def _name_of(relative: str, folder: str, images: ImageNames) -> str:
    """Return the path of the image that lies where a mask says, or else the mask's own name."""
    parent = folder.rpartition("/")[0]
    for place in ("", *(f"{name}/" for name in images.folders_in(parent) if name.lower() in IMAGE_FOLDERS)):
        name = f"{parent}/{place}{relative}".lstrip("/")
        if images.find(name).closeness is Closeness.WHOLE:
            return name
    return relative
