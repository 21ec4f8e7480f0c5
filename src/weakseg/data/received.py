"""Images that somebody has sent: bytes in memory, of which nothing is believed before it has been looked at."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from weakseg.data.depth import PixelRange
from weakseg.data.images import IMAGE_SUFFIXES, MAX_PIXELS, decode_opened, explain_failure
from weakseg.errors import DataError


class UnknownFormat(DataError):
    """What was sent is no image of a format that is read."""


class TooManyPixels(DataError):
    """An image would take more memory than is given to one."""


def decode_image(
    content: bytes, *, max_pixels: int = MAX_PIXELS, pixel_range: PixelRange | None = None
) -> NDArray[np.uint8]:
    """Decode an image as `weakseg.data.images.read_image` decodes a file.

    Only the formats of `IMAGE_SUFFIXES` are tried: Pillow knows others, of which some start programs. The size is
    looked at before a pixel is decoded.

    Args:
        content: The bytes of an image file.
        max_pixels: Larger images are refused.
        pixel_range: See `read_image`.

    Returns:
        (H, W, 3) uint8 RGB, upright and writable.

    Raises:
        UnknownFormat: If it is no image, or of another format.
        TooManyPixels: If it has more pixels than are accepted.
        DataError: If it is empty or damaged.
    """
    if not content:
        raise DataError("expected the bytes of an image, got none")

    def open_image() -> ImageFile.ImageFile:
        return Image.open(io.BytesIO(content), formats=_list_formats())

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is refused below
            with open_image() as image:
                width, height = image.size
        if width * height > max_pixels:
            raise TooManyPixels(
                f"{width} x {height} pixels are more than the {max_pixels} that are accepted; scale it down"
            )
        return decode_opened(open_image, None, pixel_range=pixel_range).pixels
    except DataError:
        raise
    except UnidentifiedImageError:
        raise UnknownFormat(
            f"not an image of a format that is read here ({', '.join(_list_formats())}); convert it to JPEG or PNG"
        ) from None
    except Image.DecompressionBombError:
        raise TooManyPixels(f"more than twice the {MAX_PIXELS} pixels that are ever accepted; scale it down") from None
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"cannot read the image: {explain_failure(error)}") from error


@cache
def _list_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats whose suffixes are read."""
    known = Image.registered_extensions()
    formats = {known[suffix] for suffix in IMAGE_SUFFIXES if suffix in known}
    return tuple(sorted(formats & set(Image.OPEN)))  # MPO is written by that name, and read as JPEG
