"""What a run has of each image, read from its file when it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from weakseg.errors import UnknownImage
from weakseg.file_names import safe_path
from weakseg.spelling import nearest

Value = TypeVar("Value")


class ById(Mapping[str, Value]):
    """Files of a run by image id; read-only, and nothing is kept.

    The ids that it names are those of the files that are there. Nearly always these are the images' own; an id that
    needed a safe name (docs/runs.md) is found by itself and by that name.

    Args:
        folder: Where the files lie; need not exist.
        suffix: Their ending, with its dot.
        read: Reads one.
        what: What one of them is, for messages.
        stage: The stage that writes them.

    Raises:
        UnknownImage: From `[id]`, if there is no such file; names the nearest ids.
    """

    def __init__(self, folder: Path, suffix: str, read: Callable[[Path], Value], *, what: str, stage: str) -> None:
        self._folder = folder
        self._suffix = suffix
        self._read = read
        self._what = what
        self._stage = stage

    def __getitem__(self, id: str) -> Value:
        path = self._find(id)
        if not path.is_file():
            known = list(self)
            hint = nearest(id, known) if known else f"there are none yet: run the stage '{self._stage}'"
            raise UnknownImage(f"{self._folder} has no {self._what} of '{id}'; {hint}")
        return self._read(path)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._find(id).is_file()

    def __iter__(self) -> Iterator[str]:
        paths = self._folder.rglob(f"*{self._suffix}")
        return iter(sorted(path.relative_to(self._folder).as_posix().removesuffix(self._suffix) for path in paths))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<{len(self)} {self._what}s by image id>"

    def _find(self, id: str) -> Path:
        return self._folder / f"{safe_path(id)}{self._suffix}"
