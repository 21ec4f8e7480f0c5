"""What an export holds of one image: made without regard to the others, here or by whoever works on that image."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from weakseg.files import JsonValue


@dataclass(frozen=True, eq=False)
class Piece:
    """One image's share of an export.

    Args:
        size_hw: (height, width) of its label map in pixels.
        content: What the format has of it, but for names and numbers that depend on other images.
        pictures: Files of pictures.
        has_void: Whether its label map has void pixels.
    """

    size_hw: tuple[int, ...]
    content: JsonValue = None
    pictures: tuple[bytes, ...] = ()
    has_void: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """Return plain values."""
        pictures = [b64encode(picture).decode("ascii") for picture in self.pictures]
        return {"size_hw": self.size_hw, "content": self.content, "pictures": pictures, "has_void": self.has_void}

    @staticmethod
    def from_json(document: Any) -> Piece:
        """Read what `to_json` returned; a `ValueError`, `KeyError` or `TypeError` if it is something else."""
        pictures = tuple(b64decode(picture) for picture in document["pictures"])
        return Piece(tuple(document["size_hw"]), document["content"], pictures, bool(document["has_void"]))
