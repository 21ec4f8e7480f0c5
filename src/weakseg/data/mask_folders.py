"""Truth masks beside a folder of images: which sub-folders hold them, and which image each of them belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.folder_parts import IMAGE_FOLDERS
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.mask_codes import MaskCode
from weakseg.data.masks import MatchedMasks
from weakseg.data.matching import Closeness, ImageNames, match_names
from weakseg.data.scan import list_files

MASKS_FOLDER = "masks"
"""Directly below the root, a folder of this name holds masks."""

MASK_FOLDERS = (
    *(MASKS_FOLDER, "mask", "labels", "label", "annotations", "annotation", "annots", "annot", "gt", "gts"),
    *("ground_truth", "groundtruth", "ground-truth", "ground truth", "truth", "segmentation", "segmentations", "seg"),
    *("segmentationclass", "segmentation_masks", "targets", "target", "masks_png", "images_masks", "label_masks"),
)
"""Beside a folder of `IMAGE_FOLDERS`, at any depth, folders of these names hold masks."""

_BESIDE = (*IMAGE_FOLDERS, "photos", "photo", "pictures", "jpg", "jpgs", "jpeg", "rgb", "input", "inputs")
_MASK_SUFFIX = ".png"
_AFFIX = re.compile(
    r"^(?:(?:masks?|gt|seg|label)[_-])?(?P<name>.+?)(?:[_ .-](?:masks?|gt|seg|segs|segmentation|groundtruth|"
    r"ground_truth|labels?|labelids|labeltrainids|annotations?|anno|l|color))?$",
    re.IGNORECASE,
)
"""What some tools put around the name of an image to name its mask."""


def find_mask_folders(root: Path) -> tuple[str, ...]:
    """List the folders below a root that hold masks, as paths relative to it with `/` between their parts, sorted.

    A folder without a PNG file in it holds none, whatever its name.
    """
    found = []
    for parent, folder_names, _ in os.walk(root):
        here = Path(parent).relative_to(root)
        beside_images = any(name.lower() in _BESIDE for name in folder_names)
        masks = [
            name
            for name in folder_names
            if (beside_images and name.lower() in MASK_FOLDERS) or (here == Path() and name == MASKS_FOLDER)
        ]
        others = [root / here / name for name in folder_names if name.lower() in _BESIDE]
        masks = [name for name in masks if _list_masks(root / here / name) or _mirrors(root / here / name, others)]
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
        files = _list_masks(root / folder) or _list_masks(root / folder, IMAGE_SUFFIXES)
        names = {_name_of(relative, folder, images): relative for relative in files}
        if names and not any(images.find(name).ids for name in names):
            bare = {_bare_name(name): relative for name, relative in names.items()}
            names = bare if len(bare) == len(names) else names
        matches = match_names(names, images, source=f"{folder}/")
        for name, key in matches.ids.items():
            paths.setdefault(key, files[names[name]])
        if files and not matches.ids:
            message = f"it is taken for truth masks, but none of its {len(files)} files is called like an image"
            problems.append(Problem("warning", "mask-unused", f"{folder}/", f"{message}; rename it if they are images"))
        else:
            problems += [replace(problem, kind="mask-unused") for problem in matches.problems]
    return MatchedMasks(paths, code=code) if folders else None, tuple(problems)


def _bare_name(name: str) -> str:
    """Drop what tools put around the name of an image to name its mask: `a_mask`, `gt_a`."""
    folder, slash, last = name.rpartition("/")
    match = _AFFIX.fullmatch(last)
    return f"{folder}{slash}{match.group('name') if match is not None else last}"


def _mirrors(folder: Path, others: Sequence[Path]) -> bool:
    """Say whether a folder holds pictures called like those of others beside it: masks that are no PNG files."""
    stems = {os.path.splitext(path.name)[0].casefold() for other in others for path in list_files(other)}
    own = [_bare_name(path.rpartition("/")[2]).casefold() for path in _list_masks(folder, IMAGE_SUFFIXES)]
    return bool(own) and 2 * sum(stem in stems for stem in own) > len(own)


def _list_masks(folder: Path, suffixes: tuple[str, ...] = (_MASK_SUFFIX,)) -> dict[str, Path]:
    """Return the mask files below a folder by their path in it, without the suffix, in sorted order."""
    files = (path for path in list_files(folder) if path.suffix.lower() in suffixes)
    return dict(sorted((path.with_suffix("").as_posix(), folder / path) for path in files))


def _name_of(relative: str, folder: str, images: ImageNames) -> str:
    """Return the path of the image that lies where a mask says, or else the mask's own name."""
    parent = folder.rpartition("/")[0]
    for place in ("", *(f"{name}/" for name in images.folders_in(parent) if name.lower() in IMAGE_FOLDERS)):
        name = f"{parent}/{place}{relative}".lstrip("/")
        if images.find(name).closeness is Closeness.WHOLE:
            return name
    return relative
