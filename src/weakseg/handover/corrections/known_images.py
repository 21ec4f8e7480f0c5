"""What readers of corrected masks know of a run: its images, their sizes, and its classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from weakseg.data.class_names import compose_name, is_background
from weakseg.data.export.names import flat_names
from weakseg.data.label_maps import VOID_NAMES
from weakseg.data.mask_folders import bare_name
from weakseg.data.matching import ImageNames
from weakseg.errors import DataError
from weakseg.file_names import printable, safe_path
from weakseg.spelling import nearest
from weakseg.types import IGNORE_LABEL, ClassSet

MAX_NAMED = 3
"""Ids that are named where a name may be any of several."""

_ROBOFLOW = re.compile(r"_(?P<suffix>[A-Za-z]{3,4})\.rf\.[0-9A-Za-z]{16,}(?:\.[A-Za-z]{3,4})?$")
_UPLOADED = re.compile(r"(?:(?<=/)|^)[0-9a-f]{8}-(?=[^/]+$)")


@dataclass(frozen=True, eq=False)
class Brought:
    """What a reader has found about one image.

    Args:
        where: The file, or the place in it, for messages.
        image: Name of the image as written; empty where none is named.
        mask: (H, W) uint8: 0 background, c+1 class c, 255 not looked at; None if it cannot be read.
        fault: Why it cannot be read, else None.
        doubt: Why it may mean something else, which is a fault unless the run's own mask is alike.
    """

    where: str
    image: str
    mask: NDArray[np.uint8] | None = None
    fault: str | None = None
    doubt: str | None = None


class KnownImages:
    """The images of a run by the names that other tools give them.

    Args:
        paths: Path of each image relative to the root of its data set, by id.
        classes: The classes of the run.
        size_of: Returns the (height, width) of an image by its id.
    """

    def __init__(
        self, paths: Mapping[str, str], classes: ClassSet, *, size_of: Callable[[str], tuple[int, int]]
    ) -> None:
        self.classes = classes
        self._size_of = size_of
        self._names = ImageNames({key: (path,) for key, path in paths.items()})
        self._by_file = {safe_path(key): key for key in paths}
        self._by_flat = {name: key for key, name in flat_names(paths).items() if name != key}
        self._labels = {name: place + 1 for place, name in enumerate(classes)}
        self._folded = {name.casefold(): label for name, label in self._labels.items()}
        self._sizes: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._by_file)

    def find(self, written: str) -> str:
        """Return the id of the image that a name means.

        Raises:
            DataError: If it is none of the run's, or may be several.
        """
        forms = (written, unquote(written, errors="surrogateescape"))
        exact = (self._by_file.get(written), self._by_flat.get(written.rpartition("/")[2]), self._by_file.get(forms[1]))
        found = next((key for key in exact if key is not None), None)
        if found is not None:
            return found
        for name in dict.fromkeys((*forms, *map(_without_marks, forms), *map(bare_name, forms))):
            ids = self._names.find(name).ids
            if len(ids) == 1:
                return ids[0]
            if ids:
                named = ", ".join(printable(key) for key in ids[:MAX_NAMED])
                raise DataError(
                    f"'{printable(written)}' may be any of {len(ids)} images ({named}); write its folder too"
                )
        near = ", ".join(printable(name) for name in self._names.nearest(written))
        raise DataError(f"'{printable(written)}' is no image of this run (nearest: {near}); rename or remove it")

    def size_of(self, sample_id: str) -> tuple[int, int]:
        """Return the (height, width) of an image in pixels."""
        if sample_id not in self._sizes:
            self._sizes[sample_id] = self._size_of(sample_id)
        return self._sizes[sample_id]

    def label_of(self, name: str) -> int:
        """Return the label that a class's name means: also percent-encoded, or in another case.

        Names for background mean 0, and those for what nobody looked at (`void`, `ignore`) 255.

        Raises:
            DataError: If it is no class.
        """
        for form in dict.fromkeys((name, compose_name(name), unquote(name), compose_name(unquote(name)))):
            label = self._labels.get(form, self._folded.get(form.casefold()))
            if label is not None:
                return label
            if is_background(form):
                return 0
            if form.casefold() in VOID_NAMES:
                return IGNORE_LABEL
        raise DataError(f"unknown class '{printable(name)}'; {nearest(name, self.classes.names)}")


def _without_marks(name: str) -> str:
    """Take off what Roboflow and Label Studio add to the names of images that are uploaded to them."""
    return _UPLOADED.sub("", _ROBOFLOW.sub(r".\g<suffix>", name))


Reader = Callable[[Path, KnownImages], Iterator[Brought]]
"""Reads the masks of a file or folder one by one; what concerns all of them raises a `DataError`."""
