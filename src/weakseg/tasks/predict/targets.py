"""Which images are predicted, what they are called, and which files are written for each."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.errors import DataError, UsageError
from weakseg.file_names import safe_path
from weakseg.spelling import nearest

PICTURE_ENDINGS = {"mask": ".png", "overlay": "_overlay.jpg", "confidence": "_confidence.png"}
"""What follows an image's name in the file of each output."""

SUMMARY = "summary"
SUMMARY_FILE = "summary.json"

OUTPUTS = (*PICTURE_ENDINGS, SUMMARY)
"""Everything that can be written."""


@dataclass(frozen=True)
class OutputFiles:
    """Where results go.

    Args:
        folder: The folder.
        kinds: What is written, of `OUTPUTS`.

    Raises:
        UsageError: If nothing is to be written, or something that does not exist.
    """

    folder: Path
    kinds: tuple[str, ...] = OUTPUTS

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in OUTPUTS:
                raise UsageError(f"--outputs: there is no output '{kind}'; {nearest(kind, OUTPUTS)}")
        if not self.kinds:
            raise UsageError(f"--outputs: expected one or more of {','.join(OUTPUTS)}, got none")

    @property
    def summary(self) -> Path | None:
        """The summary of all images, or None if it is left out."""
        return self.folder / SUMMARY_FILE if SUMMARY in self.kinds else None

    def pictures(self, name: str) -> dict[str, Path]:
        """Return the files of one image by output; a name that a file system refuses is replaced."""
        base = safe_path(name)
        return {kind: self.folder / f"{base}{end}" for kind, end in PICTURE_ENDINGS.items() if kind in self.kinds}


def list_targets(inputs: Sequence[str | Path], *, files: OutputFiles) -> dict[str, Path]:
    """Name the images of files, folders and patterns.

    A file is called by its stem; an image of a folder or pattern by its path, relative to the folder or to the part of
    the pattern before its first wildcard, without its suffix.

    Args:
        inputs: Files; folders, whose images are taken at any depth; and patterns with `*`, `?`, `[...]` or `**` (any
            number of folders) for which no file is called, whose images are taken.
        files: Where results go. Where that folder lies below an input folder, what it holds are earlier results, no
            inputs.

    Returns:
        Image file by name, in the order of the inputs; an image that two of them give under one name comes once.

    Raises:
        DataError: If an input does not exist, none holds an image, two images would be written to one file, or a
            result would replace an input.
    """
    targets: dict[str, Path] = {}
    for given in inputs:
        for name, path in _name_images(str(given), out=files.folder):
            if name in targets and targets[name].resolve() != path.resolve():
                raise DataError(
                    f"{targets[name]} and {path} would both be written as '{name}{PICTURE_ENDINGS['mask']}'; rename "
                    "one of them"
                )
            targets.setdefault(name, path)
    if not targets:
        given_names = ", ".join(str(path) for path in inputs)
        raise DataError(f"no images ({', '.join(IMAGE_SUFFIXES)}) in {given_names}")
    _require_free_places(targets, files)
    return targets


def _name_images(given: str, *, out: Path) -> list[tuple[str, Path]]:
    path = Path(given)
    if path.is_dir():
        return [(_relative_name(found, path), found) for found in _find_images(path, out=out)]
    if path.is_file():
        return [(path.stem, path)]
    if not glob.has_magic(given):
        raise DataError(f"there is no file or folder {given}")
    found = [Path(match) for match in sorted(glob.glob(given, recursive=True))]
    images = [path for path in found if _is_image(path) and not _lies_in(path, out)]
    if not images:
        raise DataError(f"no image ({', '.join(IMAGE_SUFFIXES)}) is called like '{given}'")
    base = _fixed_part(given)
    return [(_relative_name(image, base), image) for image in images]


def _relative_name(path: Path, base: Path) -> str:
    return path.relative_to(base).with_suffix("").as_posix()


def _fixed_part(pattern: str) -> Path:
    """Return the folders of a pattern before the first part with a wildcard."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _find_images(folder: Path, *, out: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if _is_image(path))
    if folder.resolve() not in out.resolve().parents:
        return paths
    return [path for path in paths if not _lies_in(path, out)]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _lies_in(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents


def _require_free_places(targets: Mapping[str, Path], files: OutputFiles) -> None:
    inputs = {path.resolve() for path in targets.values()}
    taken: dict[str, Path] = {}
    for name, image in targets.items():
        for place in files.pictures(name).values():
            if place.resolve() in inputs:
                raise DataError(f"{place} is one of the images and would be replaced by a result; choose another --out")
            other = taken.setdefault(os.path.normpath(place), image)
            if other is not image:
                raise DataError(f"results of {other} and {image} would both be written to {place}; rename one of them")
