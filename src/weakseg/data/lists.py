"""Plain text lists beside a data set: split lists and `classes.txt`."""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

from weakseg.data.class_names import BACKGROUND_ADVICE, QUOTES, is_background
from weakseg.errors import DataError
from weakseg.types import ClassSet

CLASSES_FILE = "classes.txt"
"""Optional list of class names in the root of a `voc` or `folder` data set; its order is that of the classes."""

_CLASSES_FILES = frozenset({CLASSES_FILE, f"{CLASSES_FILE}.txt"})  # Windows hides suffixes, so that some get two

_ZIPPED = b"PK\x03\x04"  # what .xlsx and .ods begin with
_NUMBERED = re.compile(r"([0-9]{1,3})\s*[\s:,;.)=]\s*(.*\S)")
_LOOKED_AT = 1024
_MOST = 0.4  # of every other byte, in UTF-16 of nearly any European language


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark, or in UTF-16 as Excel and Windows write it.

    Raises:
        DataError: If the file is missing, or in another encoding.
    """
    try:
        content = path.read_bytes()
        text = content.decode(_guess_encoding(content))
        return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        if content.startswith(_ZIPPED):
            raise DataError(f"{path} is a spreadsheet, whatever its name; save it there as 'CSV UTF-8'") from error
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 (Excel: 'CSV UTF-8')"
        ) from error


def _guess_encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # the former begins as UTF-16 does
        return "utf-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = content[:_LOOKED_AT]
    zeros = (head[1::2].count(0), head[::2].count(0))
    if max(zeros) > _MOST * len(head) / 2:
        return "utf-16-le" if zeros[0] > zeros[1] else "utf-16-be"
    return "utf-8-sig"


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


def _bare_names(lines: list[str]) -> list[str]:
    """Take off what lists of other tools have beside the names."""
    lines = [line for line in lines if not line.startswith("# ")] or lines
    if len(lines) == 1 and re.search("[,;]", lines[0]):
        lines = re.split("[,;]", lines[0])
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if len(lines) > 1 and None not in numbered:
        found = [(int(match.group(1)), match.group(2)) for match in numbered if match is not None]
        first = found[0][0]
        if first in (0, 1) and [number for number, _ in found] == list(range(first, first + len(found))):
            lines = [name for _, name in found]
    names = [line.strip().rstrip(",;").strip() for line in lines]
    unquoted = [name[1:-1].strip() if name[:1] in QUOTES and name[-1:] in QUOTES else name for name in names]
    return [name for name in unquoted if name]


def find_class_list(root: Path) -> Path | None:
    """Find `classes.txt` in a folder, whatever its case, also as `classes.txt.txt`; None without one.

    The exact name counts before all others.

    Raises:
        DataError: If none has the exact name, and two hold different texts.
    """
    found = sorted(path for path in root.iterdir() if path.name.casefold() in _CLASSES_FILES and path.is_file())
    path = next((path for path in found if path.name == CLASSES_FILE), found[0] if found else None)
    if path is None or path.name == CLASSES_FILE:
        return path
    other = next((other for other in found if read_text(other) != read_text(path)), None)
    if other is not None:
        raise DataError(
            f"{root}: expected one list of classes, got {path.name} and {other.name}, which differ; keep the right one "
            f"as {CLASSES_FILE}"
        )
    return path


def read_class_set(path: Path, *, drop_background: bool = False) -> ClassSet:
    """Read a class list with one name per line; accents are composed (NFC).

    Lines of comment, numbers before all names (`0 cat`), commas and quotation marks around names are passed over, and
    a single line may hold all names.

    Args:
        path: The list.
        drop_background: Pass over a line `background`, which is no class.

    Raises:
        DataError: If the file cannot be read or its names do not make a class set.
    """
    names = [unicodedata.normalize("NFC", name) for name in _bare_names(read_lines(path))]
    if drop_background:
        names = [name for name in names if not is_background(name)]
    background = next((name for name in names if is_background(name)), None)
    if background is not None:
        raise DataError(f"{path} lists '{background}', which is no class: {BACKGROUND_ADVICE}")
    try:
        return ClassSet(tuple(names))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
