"""Truth masks beside a folder of images: which sub-folders hold them, and which image each of them belongs to."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from weakseg.data.base import Problem
from weakseg.data.folder_parts import IMAGE_FOLDERS
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.mask_codes import MaskCode
from weakseg.data.masks import MatchedMasks
from weakseg.data.matching import Closeness, ImageNames, match_names
from weakseg.data.scan import FoundImages, list_files

MASKS_FOLDER = "masks"
"""Directly below the root, a folder of this name holds masks."""

MASK_FOLDERS = (
    *(MASKS_FOLDER, "mask", "labels", "label", "annotations", "annotation", "annots", "annot", "gt", "gts"),
    *("ground_truth", "groundtruth", "ground-truth", "ground truth", "truth", "segmentation", "segmentations", "seg"),
    *("segmentationclass", "segmentation_masks", "targets", "target", "masks_png", "images_masks", "label_masks"),
)
"""Beside a folder of `IMAGE_FOLDERS`, or photographs of the same names, folders of these names hold masks."""

_BESIDE = (*IMAGE_FOLDERS, "photos", "photo", "pictures", "jpg", "jpgs", "jpeg", "rgb", "input", "inputs")
_MASK_SUFFIX = ".png"
_EXACT = (".png", ".bmp", ".tif", ".tiff")
_ARRAYS = (".npy", ".npz", ".mat", ".nii", ".gz", ".dcm")
_ENOUGH = 3  # masks beside images that are no chance
_COMPANION = re.compile(
    r"(?P<name>.+)[_ .-](?:masks?|gt|segs?|segmentation|ground_?truth|labels?|labelids|annotations?|anno)"
    r"(?:[_ -]?[0-9]+)?",
    re.IGNORECASE,
)
"""Names of masks that lie in one folder with their images."""

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
    for parent, folder_names, file_names in os.walk(root):
        here = Path(parent).relative_to(root)
        beside_images = any(name.lower() in _BESIDE for name in folder_names)
        masks = [
            name
            for name in folder_names
            if (beside_images and name.lower() in MASK_FOLDERS) or (here == Path() and name == MASKS_FOLDER)
        ]
        others = [root / here / name for name in folder_names if name.lower() in _BESIDE]
        masks = [name for name in masks if _list_masks(root / here / name) or _mirrors(root / here / name, others)]
        more = [name for name in folder_names if name.lower() in MASK_FOLDERS and name not in masks]
        stems = _stems(file_names) if more else set()
        masks += [name for name in more if stems and _mirrors(root / here / name, (), stems=stems)]
        found += [(here / name).as_posix() for name in masks]
        folder_names[:] = [name for name in folder_names if name not in masks and not name.startswith(".")]
    return tuple(sorted(found))


def match_masks(
    root: Path,
    folders: tuple[str, ...],
    images: ImageNames,
    *,
    code: MaskCode | None = None,
    companions: Mapping[str, Path] | None = None,
) -> tuple[MatchedMasks | None, tuple[Problem, ...]]:
    """Give each mask of some folders to its image, and name those that belong to none.

    `masks/sub/a.png` belongs to `sub/a.jpg` or `images/sub/a.jpg`; else to the image that its name means as that of a
    row of a table would (`weakseg.data.matching`).

    Args:
        root: The root of the data set.
        folders: Folders below it that hold masks, the first one first where several hold a mask of one image.
        images: The images.
        code: What the numbers and colours in the files mean.
        companions: Mask file by image id beside the images themselves, see `take_companions`.

    Returns:
        The reader, or None if there is no mask; and what is wrong.
    """
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in folders:
        files = _list_masks(root / folder) or _list_masks(root / folder, IMAGE_SUFFIXES)
        names = {_name_of(relative, folder, images): relative for relative in files}
        if names and not any(images.find(name).ids for name in names):
            bare = {bare_name(name): relative for name, relative in names.items()}
            names = bare if len(bare) == len(names) else names
        matches = match_names(names, images, source=f"{folder}/")
        for name, key in matches.ids.items():
            paths.setdefault(key, files[names[name]])
        if files and not matches.ids:
            message = f"it is taken for truth masks, but none of its {len(files)} files is called like an image"
            problems.append(Problem("warning", "mask-unused", f"{folder}/", f"{message}; rename it if they are images"))
        else:
            problems += [replace(problem, kind="mask-unused") for problem in matches.problems]
    for key, path in (companions or {}).items():
        paths.setdefault(key, path)
    problems += _name_arrays(root)
    return MatchedMasks(paths, code=code) if folders or paths else None, tuple(problems)


def take_companions(found: FoundImages) -> tuple[FoundImages, dict[str, Path], tuple[Problem, ...]]:
    """Tell masks that lie beside their images, `a_mask.png` beside `a.jpg`, from the images.

    That is so where most images have one. Of an image with several (`a_mask_1.png`) none is used.

    Args:
        found: What looks like images.

    Returns:
        The images, the mask files by image id, and what was found.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, path in found.paths.items():
        match = _COMPANION.fullmatch(key)
        if match is not None and match.group("name") in found.paths and path.suffix.lower() in _EXACT:
            groups[match.group("name")].append(key)
    taken = {key for keys in groups.values() for key in keys}
    if len(groups) < _ENOUGH or 2 * len(groups) < len(found.paths) - len(taken):
        return found, {}, ()
    single = {image: found.paths[keys[0]] for image, keys in groups.items() if len(keys) == 1}
    first = next(iter(groups))
    example = f"{found.paths[groups[first][0]].name} beside {found.paths[first].name}"
    message = f"{len(taken)} files such as {example} are taken for truth masks, not for images"
    problems = [Problem("note", "masks-beside", "masks", message)]
    if len(single) < len(groups):
        message = f"{len(groups) - len(single)} images have several masks beside them, none of which is used; join them"
        problems.append(Problem("warning", "mask-unused", "masks", message))
    paths = {key: path for key, path in found.paths.items() if key not in taken}
    return replace(found, paths=paths), single, tuple(problems)


def _name_arrays(root: Path) -> list[Problem]:
    """Name folders for masks in the root whose files are arrays, which are not read."""
    problems = []
    for folder in sorted(path for path in root.iterdir() if path.name.lower() in MASK_FOLDERS and path.is_dir()):
        arrays = [path for path in folder.iterdir() if path.suffix.lower() in _ARRAYS]
        if arrays:
            message = f"its {len(arrays)} files such as {arrays[0].name} are not read; save masks as 8-bit PNG"
            problems.append(Problem("warning", "mask-unused", f"{folder.name}/", message))
    return problems


def bare_name(name: str) -> str:
    """Drop what tools put around the name of an image to name its mask: `a_mask`, `gt_a`."""
    folder, slash, last = name.rpartition("/")
    match = _AFFIX.fullmatch(last)
    return f"{folder}{slash}{match.group('name') if match is not None else last}"


def _stems(names: Iterable[str]) -> set[str]:
    parts = map(os.path.splitext, names)
    return {stem.casefold() for stem, suffix in parts if suffix.lower() in IMAGE_SUFFIXES and not stem.startswith(".")}


def _mirrors(folder: Path, others: Sequence[Path], *, stems: Collection[str] = ()) -> bool:
    """Say whether a folder holds pictures called like those of others beside it: masks that are no PNG files."""
    stems = {*stems, *_stems(path.name for other in others for path in list_files(other))}
    own = [bare_name(path.rpartition("/")[2]).casefold() for path in _list_masks(folder, IMAGE_SUFFIXES)]
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
