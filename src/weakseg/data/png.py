"""What a PNG file says of itself in its first bytes, and how hard ours are packed."""

from __future__ import annotations

WRITTEN_COMPRESSION = 6
"""zlib's level for the files we write; label maps hardly get smaller above it."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH_AT = 24
"""Byte of a PNG file that holds the bit depth: 8 signature, 8 chunk head, 4 width, 4 height (PNG 1.2, 11.2.2)."""


def is_png(content: bytes) -> bool:
    """Say whether a file's bytes begin as a PNG's do."""
    return content.startswith(_SIGNATURE)


def read_bit_depth(content: bytes) -> int:
    """Return the bits per channel of a PNG file whose header is whole."""
    return content[_BIT_DEPTH_AT]
