"""The folder an export goes to: it replaces what an earlier export wrote there, and nothing else.

A hidden file tells which files are the export's own. A name is entered before its file is written, so that a killed
export is known for what it is, and the next one takes it up.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.depth import PixelRange
from weakseg.data.formats import JPEG_SUFFIXES
from weakseg.data.image_facts import inspect_image
from weakseg.data.images import read_image
from weakseg.data.remote.pointers import read_content
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, DataError
from weakseg.files import advise_on, atomic_open, partial_path, partial_stem, write_text
from weakseg.remote import is_stand_in
from weakseg.types import Sample

JOURNAL = ".weakseg-export.jsonl"
"""First line: the format. Each further line: the name of a file of the export. Hidden, so that tools pass it by."""

_PARTIAL = re.compile(r"\.(.+)\.\d+(?:-[0-9a-f]{4})?\.partial")
"""What a killed process leaves, see `weakseg.files.atomic_open`."""


class ExportFolder:
    """The folder of one export.

    Args:
        root: The folder; made if need be.
        format: Name of the format. A folder holds one format only.
        link_images: Whether images are linked to instead of copied.
        pixel_range: What becomes 0..255 where an image of more than 8 bits has to be written anew; None for its own
            range.

    Raises:
        ArtifactError: If the folder holds files that no export to this format has written.
    """

    def __init__(
        self, root: Path, *, format: str, link_images: bool = False, pixel_range: PixelRange | None = None
    ) -> None:
        self.root = root
        self.link_images = link_images
        self._pixel_range = pixel_range
        self._format = format
        self._earlier = find_own_files(root, format)
        self._written: dict[str, None] = {}
        self._write_journal(self._earlier)

    def claim(self, name: str) -> Path:
        """Enter a file into the export and return its path; write it at once, by `weakseg.files`.

        Args:
            name: The file, relative to the folder, with `/` between folders.
        """
        assert name not in self._written, f"{name} is written twice"
        self._written[name] = None
        if name not in self._earlier:
            with (self.root / JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(name) + "\n")
        return self.root / name

    def add_image(
        self, stem: str, sample: Sample, *, size_hw: tuple[int, ...], suffixes: Collection[str] | None = None
    ) -> str:
        """Put an image into the export.

        An image that EXIF turns is decoded and written upright as PNG, since its mask is upright and not every reader
        heeds EXIF. Any other is copied byte by byte, or linked to by its absolute path.

        Args:
            stem: Name of the file without its suffix, relative to the folder.
            sample: The image.
            size_hw: (height, width) of its mask in pixels.
            suffixes: Those of images that the format's readers take; None for any. A JPEG of another one, such as
                `.jfif`, is called `.jpg`; any other image is written anew as PNG.

        Returns:
            The file's name.

        Raises:
            DataError: If the image cannot be read, or its size is not that of the mask.
        """
        facts = inspect_image(sample.image_path)
        if facts.problem is not None:
            raise DataError(f"cannot read image {sample.image_path}: {facts.problem}")
        if facts.size_hw != size_hw:
            raise DataError(
                f"image {sample.image_path} has {facts.size_hw} pixels, its mask {size_hw} (height, width); the image "
                "has changed since the run"
            )
        suffix = sample.image_path.suffix
        if suffixes is not None and suffix.lower() not in suffixes:
            suffix = ".jpg" if suffix.lower() in JPEG_SUFFIXES else ".png"
        anew = facts.exif_rotated or (suffix == ".png" and sample.image_path.suffix.lower() != ".png")
        name = stem + (".png" if anew else suffix)
        path = self.claim(name)
        if anew:
            _write_png(path, read_image(sample.image_path, pixel_range=self._pixel_range))
        elif self.link_images and not is_stand_in(sample.image_path):  # what lies elsewhere is copied
            _link(path, sample.image_path)
        else:
            _copy(path, sample.image_path)
        return name

    def finish(self) -> None:
        """Remove the files of an earlier export that this one has not written again."""
        for name in self._earlier - self._written.keys():
            (self.root / name).unlink(missing_ok=True)
            for folder in (self.root / name).parents:
                if folder == self.root:
                    break
                with suppress(OSError):
                    folder.rmdir()  # refused unless empty
        self._write_journal(self._written)

    def _write_journal(self, names: Iterable[str]) -> None:
        lines = [json.dumps({"format": self._format}), *map(json.dumps, sorted(names))]
        write_text(self.root / JOURNAL, "\n".join(lines) + "\n")


def find_own_files(root: Path, format: str) -> set[str]:
    """Return the names an earlier export to this format has entered; half-written ones are deleted.

    Raises:
        ArtifactError: If the folder holds other files.
    """
    if not root.exists() and not root.is_symlink():
        return set()
    if not root.is_dir():
        raise ArtifactError(f"{root} is no folder; choose another --out")
    earlier, names = _read_journal(root / JOURNAL)
    if earlier not in (None, format):
        raise ArtifactError(f"{root} holds an export to '{earlier}', not '{format}'; choose another --out")
    partials = []
    stems = {f"{folder}{slash}{partial_stem(base)}" for folder, slash, base in (n.rpartition("/") for n in names)}
    for name in _list_files(root):
        folder, _, base = name.rpartition("/")
        partial = _PARTIAL.fullmatch(base)
        if partial is not None and (f"{folder}/" if folder else "") + partial[1] in {*stems, JOURNAL}:
            partials.append(root / name)
        elif name not in names and name != JOURNAL:
            raise ArtifactError(
                f"{root / name} exists, but {JOURNAL} does not tell that an export wrote it; move it away, or choose "
                "another --out"
            )
    for path in partials:
        path.unlink(missing_ok=True)
    return names


def _read_journal(path: Path) -> tuple[str | None, set[str]]:
    if not path.is_file():
        return None, set()
    first, *rest = path.read_text(encoding="utf-8").split("\n")
    try:
        # What follows the last line break is empty, or a name cut off by a kill, whose file was not begun.
        return str(decode_json(first)["format"]), {str(decode_json(line)) for line in rest[:-1]}
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete the folder, or choose another --out") from None


def _list_files(root: Path) -> list[str]:
    return sorted(
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, subfolders, files in os.walk(root)
        # A link to a folder is walked by nobody, and it is not ours.
        for name in (*files, *(sub for sub in subfolders if (Path(folder) / sub).is_symlink()))
    )


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    with atomic_open(path) as file:
        Image.fromarray(image).save(file, "PNG")


def _copy(path: Path, source: Path) -> None:
    with atomic_open(path) as file:
        file.write(read_content(source))


def _link(path: Path, source: Path) -> None:
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        partial.symlink_to(source.absolute())
        partial.replace(path)
    except OSError as error:
        raise ArtifactError(f"cannot link {path} to the image: {advise_on(error)}, or copy images instead") from error
