"""What a request asks for: which picture or document, and which classes may appear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weakseg.errors import DataError, UsageError
from weakseg.predict.constraint import parse_tags
from weakseg.spelling import nearest

MEDIA_TYPES: Mapping[str, str] = {
    "mask": "image/png",
    "json": "application/json",
    "overlay": "image/jpeg",
    "confidence": "image/png",
}
"""What is answered with, by the name of the output."""

MASK_FORMS = ("rle", "png", "none")
"""How the JSON holds masks: COCO's run lengths of each class, the mask's PNG as base64, or not at all."""

_NEGOTIATED = ("mask", "json")  # an overlay nobody asked for by name is no answer to `image/*`
_PARAMETERS = ("output", "tags", "masks")


class NotAcceptable(DataError):
    """The client takes nothing that is answered here."""


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Args:
        output: One of `MEDIA_TYPES`.
        tags: The only classes that may appear; None for all.
        masks: For JSON, one of `MASK_FORMS`.
    """

    output: str = "mask"
    tags: tuple[str, ...] | None = None
    masks: str = "rle"


def parse_wish(query: Sequence[tuple[str, str]], accept: str | None) -> Wish:
    """Read the query of a request and its header `Accept`, which the query's `output` goes before.

    Args:
        query: Names and values.
        accept: The header, or None.

    Raises:
        DataError: If a name or value is none of those that exist.
        NotAcceptable: If the client takes neither PNG nor JSON.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name not in _PARAMETERS:
            raise DataError(f"there is no query '{name[:50]}'; {nearest(name[:50], _PARAMETERS)}")
        if name in given:
            raise DataError(f"{name}: expected it once")
        given[name] = value
    output = given["output"] if "output" in given else _negotiate(accept or "*/*")
    masks = given.get("masks", MASK_FORMS[0])
    _require_choice("output", output, tuple(MEDIA_TYPES))
    _require_choice("masks", masks, MASK_FORMS)
    if "masks" in given and output != "json":
        raise DataError("masks: only JSON holds them in several forms; add output=json, or leave masks out")
    return Wish(output, _parse_tags(given["tags"]) if "tags" in given else None, masks)


def _require_choice(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise DataError(f"{name}: expected one of {', '.join(valid)}, got '{value[:50]}'")


def _parse_tags(text: str) -> tuple[str, ...]:
    try:
        return parse_tags(text)
    except UsageError:
        raise DataError("tags: expected class names such as 'cat,dog', got none") from None


def _negotiate(accept: str) -> str:
    """Choose what the client likes best; the mask where it likes both."""
    liking = {output: _liking(accept, MEDIA_TYPES[output]) for output in _NEGOTIATED}
    best = max(_NEGOTIATED, key=liking.__getitem__)
    if liking[best] <= 0:
        expected = " or ".join(MEDIA_TYPES[output] for output in _NEGOTIATED)
        raise NotAcceptable(f"Accept: expected {expected}, got '{accept[:100]}'")
    return best


def _liking(accept: str, media_type: str) -> float:
    """Return the quality (RFC 9110, 12.5.1) that a header gives a type: that of the range that says most about it."""
    kind = media_type.partition("/")[0]
    rank = {"*/*": 1, f"{kind}/*": 2, media_type: 3}
    found = (0, 0.0)
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            found = max(found, (rank.get(name, 0), float(quality) if rank.get(name) else 0.0))
        except ValueError:
            continue
    return found[1]
