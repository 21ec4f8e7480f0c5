"""Decoding JSON that may be anybody's: whatever is wrong with it is a `ValueError`."""

from __future__ import annotations

import json
from typing import Any

TOO_DEEP = "something in it is nested too deeply"
TOO_LONG = "a number in it has thousands of digits"


def decode_json(text: str | bytes) -> Any:
    """Decode JSON as `json.loads` does.

    Raises:
        ValueError: If it is none, is nested too deeply or holds a number too long to be one; `json.loads` raises a
            `RecursionError` for the former, and words for programmers for the latter.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            raise
        raise ValueError(TOO_LONG) from None
