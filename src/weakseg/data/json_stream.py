"""Decoding a large JSON text value by value, with the place of each value in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from weakseg.documents import TOO_DEEP, TOO_LONG
from weakseg.files import JsonValue

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class PlacedValue:
    """A decoded value and the bytes of the UTF-8 file it was decoded from.

    Args:
        value: The value.
        start: Its first byte.
        length: Its length in bytes.
    """

    value: JsonValue
    start: int
    length: int


class JsonStream:
    """Reads a JSON text from its beginning to its end; syntax errors are `json.JSONDecodeError`.

    After each name that `members` yields, the caller takes the value by exactly one of `value` and `items`.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ascii = text.isascii()
        self._counted = (0, 0)  # characters, and the bytes they take
        if text.startswith(_BYTE_ORDER_MARK):
            self._at = 1

    def members(self) -> Iterator[str]:
        """Yield the names of the outermost object's members."""
        self._expect("{")
        if self._try("}"):
            return
        while True:
            self._skip_space()
            name = self.value()
            if not isinstance(name, str):
                raise json.JSONDecodeError("expected a name in double quotes", self._text, self._at)
            self._expect(":")
            yield name
            if self._try("}"):
                return
            self._expect(",")

    def value(self) -> JsonValue:
        """Decode the next value as a whole."""
        self._skip_space()
        value, self._at = self._decode(self._at)
        return value

    def at_list(self) -> bool:
        """Tell whether the next value is a list."""
        self._skip_space()
        return self._text.startswith("[", self._at)

    def items(self) -> Iterator[PlacedValue]:
        """Decode the items of the next value, a list, one by one."""
        self._expect("[")
        if self._try("]"):
            return
        while True:
            self._skip_space()
            start = self._at
            value, self._at = self._decode(start)
            first_byte = self._byte_of(start)
            yield PlacedValue(value, first_byte, self._byte_of(self._at) - first_byte)
            if self._try("]"):
                return
            self._expect(",")

    def _decode(self, start: int) -> tuple[JsonValue, int]:
        """Decode the value that begins at a character; returns it and where it ends."""
        try:
            found: tuple[JsonValue, int] = _DECODER.raw_decode(self._text, start)
        except RecursionError:
            raise json.JSONDecodeError(TOO_DEEP, self._text, start) from None
        except json.JSONDecodeError:
            raise
        except ValueError:
            raise json.JSONDecodeError(TOO_LONG, self._text, start) from None
        return found

    def _byte_of(self, at: int) -> int:
        """Return the byte of the character `at`; calls must not go back."""
        if self._ascii:
            return at
        characters, count = self._counted
        count += len(self._text[characters:at].encode())
        self._counted = (at, count)
        return count

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # the pattern also matches nothing
        self._at = match.end()

    def _try(self, character: str) -> bool:
        self._skip_space()
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def _expect(self, character: str) -> None:
        if not self._try(character):
            raise json.JSONDecodeError(f"expected '{character}'", self._text, self._at)
