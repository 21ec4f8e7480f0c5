"""Hints for mistyped names; used by every error that lists options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from weakseg.errors import ConfigError

MAX_LISTED = 12
"""With more options than this a message names only the nearest ones."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint that names the closest valid spelling, or lists the valid names when none is close."""
    options = sorted(valid)
    close = closest(name, options)
    if close is not None:
        return f"did you mean '{close}'?"
    if len(options) > MAX_LISTED:
        options = [*options[:MAX_LISTED], f"... ({len(options)} in all)"]
    return f"valid: {', '.join(options)}"


def closest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that is spelt most like `name`, whatever its case; None if none is close."""
    options = list(valid)
    if name in options:
        return name
    plain = {option.casefold(): option for option in options}
    close = difflib.get_close_matches(name.casefold(), plain, n=1)
    return plain[close[0]] if close else None


def require_option(value: str, valid: Iterable[str], *, what: str) -> None:
    """Raise a `ConfigError` that names the nearest option or lists them all unless `value` is one of them."""
    options = list(valid)
    if value not in options:
        raise ConfigError(f"{what}: expected one of {', '.join(sorted(options))}, got '{value}'")
