"""Decoding photographs: any file Pillow reads becomes (H, W, 3) uint8 RGB, upright, or a named problem."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from weakseg.data.depth import PixelRange, load_deep
from weakseg.data.formats import describe_format, list_suffixes
from weakseg.data.remote.pointers import fetch_pointed
from weakseg.errors import DataError
from weakseg.ops.images import limit_side, scaled_size_hw

IMAGE_SUFFIXES, OTHER_PICTURES = list_suffixes()
"""Lower-case suffixes that readers take for photographs here, and those of pictures that are only counted."""

MAX_PIXELS = 89_478_485
"""Larger images are refused as decompression bombs; Pillow starts to warn at the same number (a quarter of 1 GiB)."""

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of the given EXIF orientation upright (EXIF 2.3, tag 0x0112)."""

QUARTER_TURNS = (5, 6, 7, 8)
"""Orientations whose height and width are exchanged."""

DRAFT_MARGIN = 2
"""A JPEG that is to be shrunk is decoded at no less than this many times the wanted size."""

EMPTY_FILE = "the file is empty"
NO_FILE = "not a regular file, but a directory, pipe or device"
"""Said of files that no decoder is asked about."""


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
            raise DataError(NO_FILE)
        if status.st_size == 0:
            raise DataError(EMPTY_FILE)
        return decode_opened(lambda: open_picture(path), max_side_px, pixel_range=pixel_range)
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"cannot read image {path}: {explain_failure(error, suffix=path.suffix)}") from error


def decode_opened(
    open_image: Callable[[], ImageFile.ImageFile], max_side_px: int | None, *, pixel_range: PixelRange | None
) -> ShrunkImage:
    """Decode what `read_shrunk` has found to be an image, or bytes in memory; whatever a decoder raises passes.

    Args:
        open_image: Opens the image anew each time.
        max_side_px: See `read_shrunk`.
        pixel_range: See `read_image`.
    """
    with open_image() as image:
        require_decodable(image)
        draft = _choose_draft(image, max_side_px)
        deep = load_deep(image, open_image)
        image.load()
        # Read after loading: Pillow turns a TIFF's pixels itself while it loads, and then drops the tag.
        orientation = read_orientation(image)
        turn = UPRIGHT.get(orientation)
        rgb = _to_rgb(image if deep is None else deep.to_image(pixel_range))
        if draft is not None:
            rgb = rgb.resize(draft.wanted_hw[::-1], Image.Resampling.BICUBIC, box=draft.box)
        pixels = np.array(rgb if turn is None else rgb.transpose(turn))
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


def require_decodable(image: Image.Image) -> None:
    """Raise a `DataError` for an image with more than `MAX_PIXELS`; nothing is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{image.width} x {image.height} pixels are more than the {MAX_PIXELS} that are accepted; scale it down"
        )


def read_orientation(image: Image.Image) -> int:
    """Return an opened image's EXIF orientation, 1..8; 1 where none can be read."""
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


def explain_failure(error: Exception, *, suffix: str = "") -> str:
    """Say why an image cannot be read.

    Args:
        error: What was raised.
        suffix: Of the file, if there is one.
    """
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        if suffix.lower() in OTHER_PICTURES:
            return describe_format(suffix)
        return "not an image, or of a format that Pillow cannot read"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than twice the {MAX_PIXELS} pixels that are accepted; scale it down"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
