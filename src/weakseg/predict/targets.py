"""Which images are predicted, what they are called, and which files are written for each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.formats import describe_format
from weakseg.data.images import IMAGE_SUFFIXES
from weakseg.data.regular_files import NOT_A_FILE
from weakseg.data.scan import LINK_TO_FOLDER, is_hidden_below, list_files, tell_kind, tell_picture
from weakseg.errors import DataError, UsageError
from weakseg.file_names import safe_path
from weakseg.spelling import nearest

PICTURE_ENDINGS = {"mask": ".png", "overlay": "_overlay.jpg", "confidence": "_confidence.png"}
"""What follows an image's name in the file of each output."""

SUMMARY = "summary"
SUMMARY_FILE = "summary.json"

OUTPUTS = (*PICTURE_ENDINGS, SUMMARY)
"""Everything that can be written."""


_BACKSLASH = "\\"
_NAME_WITH_BACKSLASH = "its name holds a backslash; rename it"


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

    def relative(self, name: str) -> dict[str, str]:
        """Return the files of one image by output, relative to the folder."""
        return {kind: place.relative_to(self.folder).as_posix() for kind, place in self.pictures(name).items()}


@dataclass(frozen=True)
class PassedOver:
    """A picture that is not predicted.

    Args:
        image: The file as it was given or found.
        problem: Why it is not, and what to do.
    """

    image: Path
    problem: str


@dataclass(frozen=True)
class Targets:
    """What is predicted, and what is not.

    Args:
        paths: Image file by name, in the order of the inputs.
        passed_over: Pictures in formats that are not read, and pipes or devices called like images.
    """

    paths: dict[str, Path]
    passed_over: tuple[PassedOver, ...]


def list_targets(inputs: Sequence[str | Path], *, files: OutputFiles) -> Targets:
    """Name the images of files, folders and patterns.

    A file is called by its stem; an image of a folder or pattern by its path, relative to the folder or to the part of
    the pattern before its first wildcard, without its suffix. Where images differ in their suffix only, they keep it:
    `a.heic` and `a.jpg` of one folder.

    Args:
        inputs: Files; folders, whose images are taken at any depth but for hidden ones, as in training; and patterns
            with `*`, `?`, `[...]` or `**` (any number of folders) for which no file is called, whose images are taken.
        files: Where results go. Where that folder lies below an input folder, what it holds are earlier results, no
            inputs.

    Returns:
        The images; one that two inputs give under one name comes once.

    Raises:
        DataError: If an input does not exist, none holds an image, two images would be written to one file, or a
            result would replace an input.
    """
    named: dict[str, dict[Path, Path]] = {}
    passed_over: dict[Path, PassedOver] = {}
    for given in inputs:
        found = _find_pictures(str(given), out=files.folder)
        passed_over.update((picture.image, picture) for picture in found.passed_over)
        for name, path in found.paths:
            named.setdefault(name, {}).setdefault(path.resolve(), path)
    targets = _tell_apart({name: list(paths.values()) for name, paths in named.items()}, files)
    if not targets:
        raise DataError(_describe_nothing(inputs, list(passed_over.values())))
    _require_free_places(targets, files)
    return Targets(targets, tuple(passed_over.values()))


def _tell_apart(named: Mapping[str, Sequence[Path]], files: OutputFiles) -> dict[str, Path]:
    """Give each image a name of its own: one that another has too is followed by the image's suffix."""
    targets: dict[str, Path] = {}
    for plain, paths in named.items():
        if len(paths) > 1:
            _require_no_results(plain, paths, files)
        for path in paths:
            name = plain if len(paths) == 1 else plain + path.suffix
            if name in targets:
                raise DataError(
                    f"{targets[name]} and {path} would both be written as '{name}{PICTURE_ENDINGS['mask']}'; predict "
                    "them by two commands with different --out, or rename one of them"
                )
            targets[name] = path
    return targets


def _require_no_results(name: str, paths: Sequence[Path], files: OutputFiles) -> None:
    places = {place.resolve() for place in files.pictures(name).values()}
    for path in paths:
        if path.resolve() in places:
            raise DataError(
                f"{path} is where a result would be written, or an earlier one; choose another --out, apart from the "
                "images"
            )


def _describe_nothing(inputs: Sequence[str | Path], passed_over: Sequence[PassedOver]) -> str:
    text = f"no images ({', '.join(IMAGE_SUFFIXES)}) in {', '.join(str(path) for path in inputs)}"
    if not passed_over:
        return text
    first = passed_over[0]
    return f"{text}; {len(passed_over)} passed over, such as {first.image}: {first.problem}"


@dataclass(frozen=True)
class _Found:
    """The pictures of one input: names and paths of those to predict, and the others."""

    paths: tuple[tuple[str, Path], ...]
    passed_over: tuple[PassedOver, ...] = ()


def _find_pictures(given: str, *, out: Path) -> _Found:
    path = Path(given)
    if os.path.isdir(path):  # False, where Path.is_dir raises for a name that is too long
        links: list[str] = []
        own: list[str] = []  # earlier runs and predictions; their masks are no photographs
        found = _sort_pictures([path / inner for inner in list_files(path, links=links, own=own)], base=path, out=out)
        followed_not = [PassedOver(path / link, LINK_TO_FOLDER) for link in sorted(links)]
        return _Found(found.paths, (*found.passed_over, *followed_not))
    if os.path.isfile(path):
        if _BACKSLASH in path.stem:
            return _Found((), (PassedOver(path, _NAME_WITH_BACKSLASH),))
        return _Found(((path.stem, path),))
    if os.path.lexists(path):
        return _Found((), (PassedOver(path, NOT_A_FILE),))
    if not glob.has_magic(given):
        raise DataError(f"there is no file or folder {given}")
    base = _fixed_part(path)
    pattern = os.path.join(glob.escape(str(base)), path.relative_to(base))
    matches = (Path(match) for match in glob.glob(pattern, recursive=True))
    found = _sort_pictures((m for m in matches if not m.is_dir() and not is_hidden_below(m, base)), base=base, out=out)
    if not found.paths and not found.passed_over:
        raise DataError(f"no image ({', '.join(IMAGE_SUFFIXES)}) is called like '{given}'")
    return found


def _sort_pictures(paths: Iterable[Path], *, base: Path, out: Path) -> _Found:
    """Tell files to predict from other pictures; earlier results and what is no picture are left aside."""
    named: list[tuple[str, Path]] = []
    passed_over: list[PassedOver] = []
    results = _results_below(base, out)
    for path in sorted(paths):
        kind = tell_kind(path)
        if results is not None and results in path.resolve().parents:
            continue
        if kind == "no-picture":
            suffix = tell_picture(path)
            if suffix is not None:
                named_so = f"it holds a picture, but its name does not say so; rename it to {suffix}"
                passed_over.append(PassedOver(path, named_so))
            continue
        if kind == "image" and _BACKSLASH in _relative_name(path, base):
            passed_over.append(PassedOver(path, _NAME_WITH_BACKSLASH))
        elif kind == "image":
            named.append((_relative_name(path, base), path))
        else:
            passed_over.append(PassedOver(path, NOT_A_FILE if kind == "not-a-file" else describe_format(path.suffix)))
    return _Found(tuple(named), tuple(passed_over))


def _results_below(base: Path, out: Path) -> Path | None:
    """Return the folder to write to if it lies below another, whose images it must not give back."""
    return out.resolve() if base.resolve() in out.resolve().parents else None


def _relative_name(path: Path, base: Path) -> str:
    return path.relative_to(base).with_suffix("").as_posix()


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern before the first part with a wildcard; one may be called `photos[1]`."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part) and not os.path.isdir(fixed / part):
            break
        fixed /= part
    return fixed


def _require_free_places(targets: Mapping[str, Path], files: OutputFiles) -> None:
    inputs = {path.resolve() for path in targets.values()}
    taken: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for name, image in targets.items():
        for place in files.pictures(name).values():
            if place.resolve() in inputs:
                raise DataError(f"{place} is one of the images and would be replaced by a result; choose another --out")
            other = taken.setdefault(os.path.normpath(place), image)
            if other is not image:
                raise DataError(f"results of {other} and {image} would both be written to {place}; rename one of them")
            folders.setdefault(os.path.normpath(place.parent), image)
    for place_name in taken.keys() & folders.keys():
        raise DataError(
            f"{place_name} would be a result of {taken[place_name]}, and the folder of those of {folders[place_name]}; "
            "rename one of them"
        )
