"""Names that a file system or a text format cannot hold, percent-encoded; `urllib.parse.unquote` turns them back."""

from __future__ import annotations

import re

_CONTROL = "".join(map(chr, (*range(32), 127)))
_NOT_IN_FILE_NAMES = '/\\:*?"<>|' + _CONTROL
"""What Windows refuses in a file name, which holds all that Unix refuses."""


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
    """Return a file name without folders for an image id: `home/photo 1` becomes `home%2Fphoto 1`."""
    return escape(sample_id, _NOT_IN_FILE_NAMES)
