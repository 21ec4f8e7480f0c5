"""How the page and its server write label maps and what was said: bounded before it is believed."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from weakseg.documents import decode_json
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.pipeline.corrections.correction import Verdict

WORDS_BYTES = 64 * 1024
"""Room for everything in a message but label maps: tags, verdict, revision."""

MAX_MAPS = 2
"""Label maps in one message: a mask and the strokes on it."""

MaskChange = Literal["new", "keep", "none"]


class TooLarge(DataError):
    """A message is larger than any that the page sends."""


@dataclass(frozen=True, eq=False)
class Said:
    """What the page says of an image.

    Args:
        revision: The revision that it was said upon.
        verdict: `right`, `wrong` or None.
        tags: Names of all tags.
        change: Whether there is a new mask, the one on disk stays, or there shall be no corrected one.
        mask: The new mask (h, w) uint8; None unless `change` is `new`.
    """

    revision: int
    verdict: Verdict | None
    tags: tuple[str, ...]
    change: MaskChange
    mask: NDArray[np.uint8] | None


def bound_bytes(size_hw: tuple[int, int]) -> int:
    """Return how long a message about an image of this size can be."""
    packed = math.ceil(1.01 * size_hw[0] * size_hw[1]) + 64  # what deflate makes of noise
    return WORDS_BYTES + MAX_MAPS * math.ceil(packed / 3) * 4


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Read a request's body, and no more of it than it may be long.

    Raises:
        TooLarge: If it is longer.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > max_bytes:
        raise TooLarge(f"expected at most {max_bytes} bytes, got {declared[:20]}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"expected at most {max_bytes} bytes, got more")
    return bytes(body)


def parse_message(body: bytes) -> dict[str, JsonValue]:
    """Read a message of the page.

    Raises:
        DataError: If it is no JSON mapping.
    """
    try:
        message = decode_json(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected JSON ({error})") from None
    if not isinstance(message, dict):
        raise DataError(f"expected a JSON mapping, got {type(message).__name__}")
    return message


def parse_said(message: dict[str, JsonValue], size_hw: tuple[int, int]) -> Said:
    """Check what the page says of an image that is painted at a size.

    Raises:
        DataError: If something is missing or odd.
    """
    revision, verdict, tags, mask = (message.get(name) for name in ("revision", "verdict", "tags", "mask"))
    if not isinstance(revision, int) or isinstance(revision, bool) or revision < 0:
        raise DataError(f"revision: expected 0 or more, got {revision!r}")
    if verdict is not None and verdict != "right" and verdict != "wrong":
        raise DataError(f"verdict: expected right, wrong or null, got {verdict!r}")
    if isinstance(tags, str) or not isinstance(tags, Sequence) or not all(isinstance(tag, str) for tag in tags):
        raise DataError("tags: expected a list of names")
    names = tuple(str(tag) for tag in tags)
    if mask == "keep" or mask == "none":
        return Said(revision, verdict, names, mask, None)
    return Said(revision, verdict, names, "new", unpack_labels(mask, size_hw))


def pack_array(values: NDArray[np.generic]) -> str:
    """Write an array's bytes, row by row, least byte first, as base64."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode()


def unpack_labels(text: JsonValue, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a label map (h, w) uint8 that the page has deflated and written as base64.

    Never more than one byte beyond its size is inflated.

    Raises:
        DataError: If it is not exactly of that size.
    """
    pixels = size_hw[0] * size_hw[1]
    if not isinstance(text, str):
        raise DataError("mask: expected a label map, 'keep' or 'none'")
    try:
        packed = base64.b64decode(text, validate=True)
        content = zlib.decompressobj().decompress(packed, pixels + 1)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise DataError(f"expected a deflated label map ({error})") from None
    if len(content) != pixels:
        found = "more" if len(content) > pixels else str(len(content))
        raise DataError(f"expected {size_hw[1]} x {size_hw[0]} pixels, a byte each, got {found}")
    return np.frombuffer(content, np.uint8).reshape(size_hw)
