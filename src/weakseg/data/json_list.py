"""JSON lists of many entries, written one by one, so that they need not fit in memory."""

from __future__ import annotations

import json
from typing import BinaryIO

from weakseg.files import JsonValue


class JsonList:
    """A list in a file, an entry a line.

    Args:
        file: Open for writing, at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.written = 0
        file.write(b"[")

    def add(self, entry: JsonValue) -> None:
        """Write an entry."""
        self._file.write(b",\n" if self.written else b"\n")
        self._file.write(json.dumps(entry).encode())
        self.written += 1

    def end(self) -> None:
        """Close the list."""
        self._file.write(b"\n]\n")
