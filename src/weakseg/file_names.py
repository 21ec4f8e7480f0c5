"""File names made of image ids: such as every common file system takes, and told apart.

Linux, macOS and Windows differ in what they refuse. A name made here suits all of them, so that a folder can be copied
from one to another.
"""

from __future__ import annotations

import hashlib
import re

MAX_NAME_BYTES = 255
"""The longest name of a file or folder that ext4, XFS, Btrfs, NTFS and APFS take, in bytes of UTF-8."""

MAX_STEM_BYTES = 240
"""The longest name without its ending: endings such as `_confidence.png` follow."""

REFUSED_CHARACTERS = '\\:*?"<>|' + "".join(map(chr, (*range(32), 127)))
"""What Windows refuses in the name of a file, and control characters, beside `/`."""

_REFUSED = re.compile(f"[{re.escape(REFUSED_CHARACTERS)}\ud800-\udfff]")
"""Python writes surrogates for bytes that are not UTF-8; APFS refuses those."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor or turns the direction of writing round, so that a line looks like another."""

_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.IGNORECASE)
"""Names of devices on Windows, also with an ending: `con.png` cannot be written there."""

_DIGEST_BYTES = 6
_STAND_IN = "_"


def safe_path(sample_id: str) -> str:
    """Return the path without ending that files of an image have, relative to their folder.

    Nearly always it is the id. A part of it that a file system refuses (a character, a device's name, a dot or space
    at its end, too many bytes) is replaced: `12:30` becomes `12_30~` and twelve digits, which tell it from `12?30`. The
    same id always gives the same path, which never leads out of the folder.

    Args:
        sample_id: An image id, `/` between its parts.
    """
    *folders, stem = sample_id.split("/")
    return "/".join([*(_safe_folder(part) for part in folders), _safe_part(stem, MAX_STEM_BYTES)])


def printable(text: str) -> str:
    r"""Return a text as one line that is safe to print: a line break becomes `\n`, other control characters `\x1b`."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def is_device(name: str) -> bool:
    """Say whether Windows takes a name for a device."""
    return _DEVICE.match(name) is not None


def shorten(name: str, *, max_bytes: int, told_by: str) -> str:
    """Cut a name to so many bytes, the last ones a mark that tells it from others: `~` and twelve digits.

    Args:
        name: Any text without surrogates.
        max_bytes: Bytes of the result at most.
        told_by: What the mark is made of; other texts give other marks.
    """
    mark = f"~{digest_text(told_by)}"
    return name.encode()[: max_bytes - len(mark)].decode(errors="ignore") + mark


def digest_text(text: str) -> str:
    """Return twelve hexadecimal digits that stand for a text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()


def _safe_folder(part: str) -> str:
    bare = part.rstrip(". ")  # Windows drops both from a name's end; it also makes .. and nothing a name
    return _safe_part(part, MAX_NAME_BYTES) if bare == part != "" else _mark(bare, part, MAX_NAME_BYTES)


def _safe_part(part: str, max_bytes: int) -> str:
    if part.strip(".") and not is_device(part) and not _REFUSED.search(part) and len(part.encode()) <= max_bytes:
        return part
    return _mark(part, part, max_bytes)


def _mark(name: str, part: str, max_bytes: int) -> str:
    clean = _REFUSED.sub(_STAND_IN, name).strip(".")
    if is_device(clean) or not clean:
        clean = _STAND_IN + clean
    return shorten(clean, max_bytes=max_bytes, told_by=part)
