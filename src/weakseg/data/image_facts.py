"""Looking at an image file once, without using it: what it is, and what is wrong with it."""

from __future__ import annotations

import hashlib
import io
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageFile

from weakseg.data.depth import PixelRange, has_hidden_bits, load_deep, measure_span
from weakseg.data.images import (
    EMPTY_FILE,
    NO_FILE,
    QUARTER_TURNS,
    UPRIGHT,
    explain_failure,
    read_orientation,
    require_decodable,
)
from weakseg.data.remote.pointers import read_content

_DIGEST_BYTES = 16
_DRAFT_FACTOR = 8  # libjpeg's smallest scale; all entropy-coded data are still read, which is what finds truncation


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is, whether or not it can be used.

    Args:
        size_hw: (height, width) in pixels after EXIF rotation (as stored, if there is a problem); None if the header
            cannot be read.
        format: Pillow's name of the format (`JPEG`, `PNG`, ...); empty if unknown.
        mode: Pillow's pixel mode (`RGB`, `L`, `CMYK`, `RGBA`, `I;16`, ...), with `;16` added where Pillow hides that
            the file has 16 bits per channel; empty if unknown.
        has_alpha: Whether the image has an alpha channel or a transparent colour.
        exif_rotated: Whether EXIF says that the stored pixels are rotated or mirrored.
        digest: Hexadecimal 16-byte BLAKE2b of the file's bytes; empty if the file cannot be read.
        problem: Why the image cannot be used, or None.
        span: What its values span if they have more than 8 bits, see `weakseg.data.depth.measure_span`; else None.
    """

    size_hw: tuple[int, int] | None
    format: str
    mode: str
    has_alpha: bool
    exif_rotated: bool
    digest: str
    problem: str | None
    span: PixelRange | None = None


_NOTHING_KNOWN = ImageFacts(
    size_hw=None, format="", mode="", has_alpha=False, exif_rotated=False, digest="", problem=None
)


def inspect_image(path: Path) -> ImageFacts:
    """Look at an image file without raising for a bad one.

    The file is decoded to its end, JPEG at an eighth of its size, so that truncation is found. Safe to call from
    several threads; Pillow releases the interpreter lock while it decodes.

    Args:
        path: The image file.

    Returns:
        The facts; `problem` is what `read_image` would complain about.

    Raises:
        DataError: If it lies elsewhere and cannot be fetched now, which says nothing about the image.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe or device would be read for ever
            return replace(_NOTHING_KNOWN, problem=NO_FILE)
        content = read_content(path)
    except OSError as error:
        return replace(_NOTHING_KNOWN, problem=explain_failure(error, suffix=path.suffix))
    facts = replace(_NOTHING_KNOWN, digest=hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest())
    if not content:
        return replace(facts, problem=EMPTY_FILE)
    try:
        with Image.open(io.BytesIO(content)) as image:
            facts = _header_facts(image, facts.digest)
            require_decodable(image)
            # Pillow turns a TIFF's pixels and drops its tag while it loads, but reads a PNG's tag only by loading it.
            orientation = read_orientation(image) if image.format == "TIFF" else None
            draft_size = (max(1, image.width // _DRAFT_FACTOR), max(1, image.height // _DRAFT_FACTOR))
            image.draft(None, draft_size)
            deep = load_deep(image, lambda: Image.open(io.BytesIO(content)))
            image.load()
            if deep is not None:
                facts = replace(facts, span=measure_span(deep.values))
            if orientation is not None:
                facts = replace(facts, size_hw=(image.height, image.width))
            else:
                orientation = read_orientation(image)
                if facts.size_hw is not None and orientation in QUARTER_TURNS:
                    facts = replace(facts, size_hw=facts.size_hw[::-1])
            return replace(facts, exif_rotated=orientation in UPRIGHT)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        return replace(facts, problem=explain_failure(error, suffix=path.suffix))


def _header_facts(image: ImageFile.ImageFile, digest: str) -> ImageFacts:
    return ImageFacts(
        size_hw=(image.height, image.width),
        format=image.format or "",
        mode=f"{image.mode};16" if has_hidden_bits(image) else image.mode,
        has_alpha=image.has_transparency_data,
        exif_rotated=False,
        digest=digest,
        problem=None,
    )
