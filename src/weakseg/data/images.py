"""Decoding photographs: any file Pillow reads becomes (H, W, 3) uint8 RGB, upright, or a named problem."""

from __future__ import annotations

import hashlib
import io
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from weakseg.data.depth import PixelRange, has_hidden_bits, load_deep, measure_span
from weakseg.data.formats import describe_format, list_suffixes
from weakseg.data.remote.pointers import fetch_pointed, read_content
from weakseg.errors import DataError
from weakseg.ops.images import limit_side, scaled_size_hw

IMAGE_SUFFIXES, OTHER_PICTURES = list_suffixes()
"""Lower-case suffixes that readers take for photographs here, and those of pictures that are only counted."""

MAX_PIXELS = 89_478_485
"""Larger images are refused as decompression bombs; Pillow starts to warn at the same number (a quarter of 1 GiB)."""

ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of the given EXIF orientation upright (EXIF 2.3, tag 0x0112)."""

DRAFT_MARGIN = 2
"""A JPEG that is to be shrunk is decoded at no less than this many times the wanted size."""

_EMPTY = "the file is empty"
_NO_FILE = "not a regular file, but a directory, pipe or device"
QUARTER_TURNS = (5, 6, 7, 8)
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


def read_image(path: Path, *, pixel_range: PixelRange | None = None) -> NDArray[np.uint8]:
    """Decode an image upright and in RGB.

    EXIF rotation is applied. Grey values are repeated in three channels. Values of more than 8 bits are scaled to
    0..255. Transparent pixels are laid on white. CMYK is converted without its ICC profile. Of animations the first
    frame is read.

    Args:
        path: The image file.
        pixel_range: Which values of more than 8 bits become 0 and 255; None for what this image's own span.

    Returns:
        (H, W, 3) uint8 RGB, writable.

    Raises:
        DataError: If the file is missing, not an image, truncated, or larger than `MAX_PIXELS`.
    """
    return read_shrunk(path, None, pixel_range=pixel_range).pixels


@dataclass(frozen=True, eq=False)
class ShrunkImage:
    """An image, perhaps as a small copy.

    Args:
        pixels: (h, w, 3) uint8 RGB, writable unless it was shrunk.
        size_hw: (height, width) of the upright image in its file.
    """

    pixels: NDArray[np.uint8]
    size_hw: tuple[int, int]


def read_shrunk(path: Path, max_side_px: int | None, *, pixel_range: PixelRange | None = None) -> ShrunkImage:
    """Decode an image as `read_image` does and shrink it as `weakseg.ops.images.limit_side` does.

    A JPEG much larger than that is decoded at a half, a quarter or an eighth of its size, never below
    `DRAFT_MARGIN` times the wanted one: a photograph of 12 megapixels takes a third of the time, and its small copy
    differs by 0.3 of 255 levels on average.

    Args:
        path: The image file.
        max_side_px: Longer side of the result; smaller images keep their size. None for no limit.
        pixel_range: See `read_image`.

    Returns:
        The pixels, and the size they have in the file.

    Raises:
        DataError: As `read_image`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(_NO_FILE)
        if status.st_size == 0:
            raise DataError(_EMPTY)
        with open_picture(path) as image:
            _require_decodable(image)
            draft = _choose_draft(image, max_side_px)
            deep = load_deep(image, lambda: open_picture(path))
            image.load()
            # Read after loading: Pillow turns a TIFF's pixels itself while it loads, and then drops the tag.
            orientation = _orientation(image)
            turn = _UPRIGHT.get(orientation)
            rgb = _to_rgb(image if deep is None else deep.to_image(pixel_range))
            if draft is not None:
                rgb = rgb.resize(draft.wanted_hw[::-1], Image.Resampling.BICUBIC, box=draft.box)
            pixels = np.array(rgb if turn is None else rgb.transpose(turn))
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"cannot read image {path}: {_reason(error, path)}") from error
    if draft is None:
        return ShrunkImage(limit_side(pixels, max_side_px), (pixels.shape[0], pixels.shape[1]))
    return ShrunkImage(pixels, draft.stored_hw[::-1] if orientation in QUARTER_TURNS else draft.stored_hw)


def open_picture(path: Path) -> ImageFile.ImageFile:
    """Open an image file as Pillow does, or what it points to; of ordinary files nothing else is read.

    Raises:
        DataError: If it lies elsewhere and cannot be fetched.
    """
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        content = fetch_pointed(path)
        if content is None:
            raise
        return Image.open(io.BytesIO(content))


@dataclass(frozen=True)
class _Draft:
    """A JPEG about to be decoded at a reduced scale; all as stored, not turned.

    Args:
        stored_hw: (height, width) in the file.
        wanted_hw: (height, width) of the copy.
        box: (left, upper, right, lower): the part of the reduced image that shows the whole one; the last row and
            column of blocks may be cut off.
    """

    stored_hw: tuple[int, int]
    wanted_hw: tuple[int, int]
    box: tuple[float, float, float, float]


def _choose_draft(image: Image.Image, max_side_px: int | None) -> _Draft | None:
    """Let a JPEG be decoded at a reduced scale where that is large enough, or return None."""
    stored_hw = (image.height, image.width)
    if max_side_px is None or image.format != "JPEG" or max(stored_hw) <= DRAFT_MARGIN * max_side_px:
        return None
    wanted_hw = scaled_size_hw(stored_hw, max_side_px / max(stored_hw))
    found = image.draft(None, (DRAFT_MARGIN * wanted_hw[1], DRAFT_MARGIN * wanted_hw[0]))
    if found is None or (image.height, image.width) == stored_hw:
        return None
    return _Draft(stored_hw, wanted_hw, found[1])


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
            return replace(_NOTHING_KNOWN, problem=_NO_FILE)
        content = read_content(path)
    except OSError as error:
        return replace(_NOTHING_KNOWN, problem=_reason(error, path))
    facts = replace(_NOTHING_KNOWN, digest=hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest())
    if not content:
        return replace(facts, problem=_EMPTY)
    try:
        with Image.open(io.BytesIO(content)) as image:
            facts = _header_facts(image, facts.digest)
            _require_decodable(image)
            # Pillow turns a TIFF's pixels and drops its tag while it loads, but reads a PNG's tag only by loading it.
            orientation = _orientation(image) if image.format == "TIFF" else None
            draft_size = (max(1, image.width // _DRAFT_FACTOR), max(1, image.height // _DRAFT_FACTOR))
            image.draft(None, draft_size)
            deep = load_deep(image, lambda: Image.open(io.BytesIO(content)))
            image.load()
            if deep is not None:
                facts = replace(facts, span=measure_span(deep.values))
            if orientation is not None:
                facts = replace(facts, size_hw=(image.height, image.width))
            else:
                orientation = _orientation(image)
                if facts.size_hw is not None and orientation in QUARTER_TURNS:
                    facts = replace(facts, size_hw=facts.size_hw[::-1])
            return replace(facts, exif_rotated=orientation in _UPRIGHT)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        return replace(facts, problem=_reason(error, path))


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


def _require_decodable(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS} that are accepted; scale it down"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block does not make the pixels unusable
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        if path.suffix.lower() in OTHER_PICTURES:
            return describe_format(path.suffix)
        return "not an image, or of a format that Pillow cannot read"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than twice the {MAX_PIXELS} pixels that are accepted; scale it down"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
