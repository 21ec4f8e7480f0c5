"""Plain text lists beside a data set: split lists and `classes.txt`."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from weakseg.data.class_names import BACKGROUND_ADVICE, is_background
from weakseg.errors import DataError
from weakseg.types import ClassSet

CLASSES_FILE = "classes.txt"
"""Optional list of class names in the root of a `voc` or `folder` data set; its order is that of the classes."""


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Raises:
        DataError: If the file is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 (Excel: 'CSV UTF-8')"
        ) from error


def read_lines(path: Path) -> list[str]:
    """Read the non-blank lines of a UTF-8 file without outer spaces.

    Raises:
        DataError: If the file is missing, not UTF-8, or has no such line.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(f"{path} is empty; expected one entry per line")
    return lines


def read_class_set(path: Path, *, drop_background: bool = False) -> ClassSet:
    """Read a class list with one name per line; accents are composed (NFC).

    Args:
        path: The list.
        drop_background: Pass over a line `background`, which is no class.

    Raises:
        DataError: If the file cannot be read or its names do not make a class set.
    """
    names = [unicodedata.normalize("NFC", name) for name in read_lines(path)]
    if drop_background:
        names = [name for name in names if not is_background(name)]
    background = next((name for name in names if is_background(name)), None)
    if background is not None:
        raise DataError(f"{path} lists '{background}', which is no class: {BACKGROUND_ADVICE}")
    try:
        return ClassSet(tuple(names))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
