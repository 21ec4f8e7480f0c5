"""Lines of help as wide as the terminal: wrapped text, two columns, and one below the other where it is narrow."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence

MAX_WIDTH = 100
MIN_WIDTH = 30
"""In a terminal that is narrower still, words would stand alone on their lines."""

NARROW = 64
"""From this width on two columns are read more easily than one."""

LEFT_SHARE = 0.42
"""The left column takes at most this share of the width; what is longer has a line of its own."""

_INDENT, _GAP, _BELOW = 2, 2, 6
"""Columns before a name, at least between it and its text, and before a text that is below its name."""

_GLUE = "\x00"


def screen_width() -> int:
    """Return how many columns help may take: those of the terminal, within `MIN_WIDTH..MAX_WIDTH`."""
    return max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size().columns))


def wrap(text: str, width: int, *, indent: int = 0, hanging: int | None = None) -> list[str]:
    """Wrap a text between words; a word that is too long stays whole, so that it can be copied.

    Args:
        text: The text.
        width: Columns.
        indent: Of the first line, in columns.
        hanging: Of all others; as the first when None.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hanging is None else hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )


def wrap_usage(usage: str, width: int) -> list[str]:
    """Wrap a usage, each of its lines; what is in brackets stays together."""
    lines: list[str] = []
    for line in usage.splitlines():
        glued = re.sub(r"\[[^\]]*\]", lambda found: found.group().replace(" ", _GLUE), line.strip())
        prefix = "usage: " if not lines else ""
        wrapped = wrap(f"{prefix}{glued}", width, indent=0 if prefix else len("usage: "), hanging=len("usage: ") + 2)
        lines += [part.replace(_GLUE, " ") for part in wrapped]
    return lines


def two_columns(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Lay names and texts out beside each other, or below each other where that would be narrow."""
    if width < NARROW:
        pairs = ((wrap(left, width, indent=_INDENT), wrap(right, width, indent=_BELOW)) for left, right in rows)
        return [line for left, right in pairs for line in (*left, *right)]
    most = int(width * LEFT_SHARE)
    column = max((len(left) for left, _ in rows if _INDENT + len(left) + _GAP <= most), default=0) + _INDENT + _GAP
    lines: list[str] = []
    for left, right in rows:
        texts = wrap(right, width, indent=column)
        first = " " * _INDENT + left
        if len(first) + _GAP <= column and texts:
            texts[0] = first.ljust(column) + texts[0].lstrip()
            lines += texts
        else:
            lines += [*wrap(left, width, indent=_INDENT, hanging=_BELOW), *texts]
    return lines


def one_line_each(texts: Mapping[str, str]) -> list[str]:
    """Lay out names and texts, each text cut after the last word that fits on its line."""
    width = screen_width()
    room = width - (max(map(len, texts), default=0) + _INDENT + _GAP if width >= NARROW else _BELOW)
    rows = [
        (name, textwrap.shorten(text, room, placeholder=" ...", break_on_hyphens=False)) for name, text in texts.items()
    ]
    return two_columns(rows, width)
