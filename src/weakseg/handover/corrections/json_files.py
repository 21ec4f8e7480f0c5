"""Reading JSON that another tool has written, with words for what is not as it should be."""

from __future__ import annotations

from pathlib import Path

from weakseg.data.lists import read_text
from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue


def load_json(path: Path) -> JsonValue:
    """Decode a file.

    Raises:
        DataError: If it cannot be read or is no JSON.
    """
    try:
        document: JsonValue = decode_json(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); export it again") from None
    return document


def as_object(value: JsonValue, *, where: str) -> dict[str, JsonValue]:
    """Return a value that has to be an object.

    Raises:
        DataError: If it is none.
    """
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object in braces, got {str(value)[:60]}")
    return value


def as_list(whole: dict[str, JsonValue], name: str, *, where: str) -> list[JsonValue]:
    """Return a member that has to be a list.

    Raises:
        DataError: If it is missing or none.
    """
    value = whole.get(name)
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list '{name}', got {str(value)[:60]}")
    return value


def as_text(whole: dict[str, JsonValue], name: str, *, where: str) -> str:
    """Return a member that has to be text; raises as `as_list` does."""
    value = whole.get(name)
    if not isinstance(value, str):
        raise DataError(f"{where}: expected the text '{name}', got {str(value)[:60]}")
    return value


def as_number(whole: dict[str, JsonValue], name: str, *, where: str) -> float:
    """Return a member that has to be a number; raises as `as_list` does."""
    value = whole.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DataError(f"{where}: expected the number '{name}', got {str(value)[:60]}")
    return float(value)
