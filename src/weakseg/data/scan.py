"""Finding the image files below a folder and giving each an id."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weakseg.data.base import Problem
from weakseg.data.formats import advise
from weakseg.data.images import IMAGE_SUFFIXES, OTHER_PICTURES
from weakseg.data.own_folders import is_own_folder
from weakseg.data.regular_files import NOT_A_FILE, is_regular
from weakseg.errors import DataError

_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information")
"""Folders that systems put beside photographs: companions of files, thumbnails, what was deleted."""

_TEXT_SUFFIXES = (
    *(
        ".txt",
        ".xml",
        ".json",
        ".jsonl",
        ".csv",
        ".tsv",
        ".yaml",
        ".yml",
        ".md",
        ".html",
        ".log",
        ".py",
        ".npy",
        ".npz",
    ),
    *(".mat", ".zip", ".tar", ".gz", ".pdf", ".db", ".ini", ".xlsx", ".ods", ".pt", ".pth", ".h5", ".pkl"),
)
"""What files beside images end in that hold none."""

_SIGNATURES = {
    **{b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n": ".png", b"GIF8": ".gif", b"II*\0": ".tif", b"MM\0*": ".tif"},
    **{b"RIFF": ".webp"},
}
_MAX_OPENED = 200  # files whose names do not say what they hold

LINK_TO_FOLDER = "a link to a folder, which is not followed; put the folder itself there"

OWN_FOLDER = "weakseg has written it (a run, a study or predictions), so that its pictures are left out"

FileKind = Literal["image", "other-format", "not-a-file", "no-picture"]
"""What a path is: an image, a picture in a format that is not read, a pipe called like an image, or anything else."""


@dataclass(frozen=True)
class FoundImages:
    """The images below a folder.

    Args:
        paths: Image file by id, in sorted order of the ids. The id is the path relative to the folder without its
            suffix, with `/` between its parts.
        problems: `same-id` where two files differ in their suffix only (the first in sorted order is kept), `bad-id`
            for names that cannot be ids, `not-a-file` for pipes and devices, one `other-format` per suffix of
            pictures that cannot be read, and `own-folder` for runs and predictions, which are left out.
        rivals: By id, all files that share it, where there are several.
        others: Paths relative to the folder of pictures that cannot be read, and of all other files.
    """

    paths: dict[str, Path]
    problems: tuple[Problem, ...]
    rivals: dict[str, tuple[Path, ...]]
    others: tuple[str, ...]


def find_images(folder: Path, *, skip: tuple[str, ...] = ()) -> FoundImages:
    """List the images anywhere below a folder.

    Files and folders whose names start with a dot are skipped, and links to folders are not followed (they may loop).

    Args:
        folder: The folder.
        skip: Paths below it, `/` between their parts, of folders that are left out.

    Raises:
        DataError: If `folder` is not a folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected a folder with images")
    relative_paths: list[str] = []
    others: list[str] = []
    unnamed: list[str] = []
    problems: list[Problem] = []
    links: list[str] = []
    own: list[str] = []
    for name in _walk(folder, skip, links, own):
        kind = _tell_kind_of_name(name)
        if kind == "image" and not is_regular(folder / name):
            problems.append(Problem("warning", "not-a-file", ascii(name)[1:-1], f"{NOT_A_FILE}; it is left out"))
        elif kind == "image":
            relative_paths.append(name)
        else:
            others.append(name)
        if kind == "no-picture" and len(unnamed) < _MAX_OPENED and not name.lower().endswith(_TEXT_SUFFIXES):
            unnamed.append(name)
    pictures = {name: suffix for name in unnamed if (suffix := tell_picture(folder / name)) is not None}
    if pictures:
        first, suffix = next(iter(sorted(pictures.items())))
        message = (
            f"{len(pictures)} files such as {ascii(first)[1:-1]} hold pictures, but their names do not say so; they "
            f"are left out, rename them to {suffix}"
        )
        problems.append(Problem("warning", "other-format", str(folder), message))
    problems += [Problem("warning", "not-a-file", ascii(name)[1:-1], LINK_TO_FOLDER) for name in sorted(links)]
    problems += [Problem("note", "own-folder", ascii(name)[1:-1], OWN_FOLDER) for name in sorted(own)]
    return _name_images(folder, relative_paths, others, problems)


def list_files(
    folder: Path, *, skip: tuple[str, ...] = (), links: list[str] | None = None, own: list[str] | None = None
) -> Iterator[Path]:
    """Yield the paths relative to a folder of what lies below it and is no folder, but for what is hidden.

    Hidden are names that start with a dot, and folders that systems make for themselves (`__MACOSX`, `@eaDir`).

    Args:
        folder: The folder.
        skip: Paths below it of folders that are left out.
        links: Receives the paths of links to folders, which are passed over.
        own: Receives the paths of folders below it that weakseg has written, which are passed over then.
    """
    return map(Path, _walk(folder, skip, links, own))


def _walk(
    folder: Path, skip: tuple[str, ...], links: list[str] | None = None, own: list[str] | None = None
) -> Iterator[str]:
    """Yield the same as texts, `/` between their parts: of a million files, paths take many times as long."""
    for parent, folder_names, file_names in os.walk(folder):
        here = Path(parent).relative_to(folder).as_posix()
        base = "" if here == "." else f"{here}/"
        if own is not None and base and is_own_folder(parent, file_names):
            own.append(here)
            folder_names.clear()
            continue
        folder_names[:] = [name for name in folder_names if not _is_hidden(name) and base + name not in skip]
        if links is not None:
            links += [base + name for name in folder_names if os.path.islink(os.path.join(parent, name))]
        yield from (base + name for name in file_names if not name.startswith("."))


def tell_picture(path: Path) -> str | None:
    """Return the suffix that a file should have by its first bytes; None if it is no picture, or cannot be read."""
    if path.name.lower().endswith(_TEXT_SUFFIXES) or not is_regular(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return None
    found = next((suffix for begin, suffix in _SIGNATURES.items() if head.startswith(begin)), None)
    return found if found != ".webp" or head[8:] == b"WEBP" else None


def tell_kind(path: Path) -> FileKind:
    """Say what a path is by its suffix and by what the file system says of it; nothing is opened."""
    kind = _tell_kind_of_name(path.name)
    return "not-a-file" if kind == "image" and not is_regular(path) else kind


def _tell_kind_of_name(name: str) -> FileKind:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in OTHER_PICTURES:
        return "other-format"
    return "image" if suffix in IMAGE_SUFFIXES else "no-picture"


def is_hidden_below(path: Path, base: Path) -> bool:
    """Say whether a file or one of its folders below `base` is hidden, see `list_files`."""
    return any(_is_hidden(part) for part in path.relative_to(base).parts)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def image_id(entry: str) -> str:
    """Turn a relative path as people write it into an id: one `/` between parts, no `.` among them, no suffix."""
    parts = entry.strip().replace("\\", "/").split("/")
    entry = "/".join(part for part in parts if part not in ("", "."))
    stem, suffix = os.path.splitext(entry)
    return stem if suffix.lower() in IMAGE_SUFFIXES else entry


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # Python stands in surrogates for bytes that it cannot decode
        return False
    return True


def _name_images(folder: Path, relative_paths: list[str], others: list[str], problems: list[Problem]) -> FoundImages:
    paths: dict[str, Path] = {}
    sharing: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(relative_paths, key=lambda text: text.split("/")):
        name = os.path.splitext(path)[0]
        if "\\" in name or not _is_text(name):
            message = "its name holds a backslash or bytes that are not UTF-8; it is left out, rename it"
            problems.append(Problem("warning", "bad-id", ascii(name), message))
            continue
        sharing[name].append(folder / path)
        if name in paths:
            message = f"{path} has the same id as {paths[name].name}; the latter is used, rename one of them"
            problems.append(Problem("warning", "same-id", name, message))
        paths.setdefault(name, folder / path)
    suffixes = (os.path.splitext(path)[1].lower() for path in others)
    for suffix, count in sorted(Counter(suffix for suffix in suffixes if suffix in OTHER_PICTURES).items()):
        what = "1 file ends" if count == 1 else f"{count} files end"
        message = f"{what} in {suffix}, which is not read here; {advise(suffix)}"
        problems.append(Problem("warning", "other-format", str(folder), message))
    return FoundImages(
        paths=dict(sorted(paths.items())),
        problems=tuple(problems),
        rivals={name: tuple(files) for name, files in sharing.items() if len(files) > 1},
        others=tuple(sorted(filter(_is_text, others))),
    )
