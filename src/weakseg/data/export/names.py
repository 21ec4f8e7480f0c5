"""Names that a file system or a text format cannot hold, percent-encoded; `urllib.parse.unquote` turns them back."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from weakseg.csv_cells import to_csv
from weakseg.data.export.folder import ExportFolder
from weakseg.file_names import MAX_STEM_BYTES, REFUSED_CHARACTERS, is_device, shorten
from weakseg.files import write_text

NAMES_FILE = "names.csv"
"""Which image a file is of, where its name does not tell."""

_CONTROL = "".join(map(chr, (*range(32), 127)))
_SURROGATES = re.compile("[\ud800-\udfff]")
_CUT_ENCODING = re.compile(r"%[0-9A-F]?(?=~[0-9a-f]{12}$)")
"""What is left of a percent-encoded character that was cut."""


def escape(text: str, characters: str) -> str:
    """Percent-encode some ASCII characters of a text, and `%` itself, so that `urllib.parse.unquote` restores it.

    Args:
        text: Any text.
        characters: The ASCII characters to encode.
    """
    pattern = f"[%{re.escape(characters)}]" if characters else "%"
    return re.sub(pattern, lambda match: f"%{ord(match[0]):02X}", text)


def escape_controls(text: str, characters: str = "") -> str:
    """Percent-encode line breaks, other control characters, and `characters`."""
    return escape(text, _CONTROL + characters)


def flat_name(sample_id: str) -> str:
    """Return a file name without folders for an image id: `home/photo 1` becomes `home%2Fphoto 1`.

    A name of more than `MAX_STEM_BYTES` bytes is cut, and `~` and twelve digits tell it from others.
    """
    name = escape(sample_id, "/" + REFUSED_CHARACTERS)
    name = _SURROGATES.sub(lambda match: _encode_surrogate(match[0]), name)
    if is_device(name) or not name.strip("."):
        name = f"%{ord(name[0]):02X}{name[1:]}" if name else "%"
    if len(name.encode()) <= MAX_STEM_BYTES:
        return name
    return _CUT_ENCODING.sub("", shorten(name, max_bytes=MAX_STEM_BYTES, told_by=sample_id))


def flat_names(sample_ids: Iterable[str]) -> dict[str, str]:
    """Return the `flat_name` of each id, those that would be taken for another told apart by a mark.

    macOS and Windows take names for one that differ in case; a reader takes the flat name `a%2Fb` of `a/b` for the id
    `a%2Fb` where there is one.
    """
    keys = tuple(sample_ids)
    known = set(keys)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        name = flat_name(key)
        if _fold(name) in taken or (name != key and name in known):
            name = shorten(name, max_bytes=MAX_STEM_BYTES, told_by=key)
        taken.add(_fold(name))
        names[key] = name
    return names


def list_renamed(names: Mapping[str, str], folder: ExportFolder) -> list[str]:
    """Write `names.csv` if the names of some files do not tell their images, and say so.

    Args:
        names: Name by id, of `flat_names`.
        folder: Where to.

    Returns:
        What the user should know.
    """
    renamed = [(name, key) for key, name in names.items() if unquote(name, errors="surrogateescape") != key]
    if not renamed:
        return []
    write_text(folder.claim(NAMES_FILE), to_csv(("file", "id"), renamed))
    count = f"{len(renamed)} image" + ("s have" if len(renamed) > 1 else " has")
    return [f"{count} a shortened or marked name, since file systems would not take its own; {NAMES_FILE} lists them"]


def _encode_surrogate(character: str) -> str:
    """Return the byte that Python writes as a surrogate, percent-encoded; any other surrogate by its own bytes."""
    code = ord(character)
    raw = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else character.encode(errors="surrogatepass")
    return "".join(f"%{byte:02X}" for byte in raw)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
