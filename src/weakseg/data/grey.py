"""Grey PNG files whose pixels are amounts: saliency maps, confidence. Label maps are in `weakseg.data.masks`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.png import WRITTEN_COMPRESSION, is_png, read_bit_depth
from weakseg.data.regular_files import read_regular
from weakseg.errors import DataError, ShapeError

GREY_MAX = 255
"""What stands for 1, the largest amount."""


def decode_grey(content: bytes) -> NDArray[np.uint8]:
    """Decode an 8-bit grey PNG.

    Fewer bits, as drawing programs save black and white, are stretched to 0..255. EXIF is not looked at.

    Args:
        content: The bytes of the file.

    Returns:
        (H, W) uint8, writable.

    Raises:
        DataError: If the bytes are damaged, not PNG, or have a palette, colours, transparency or 16 bits: none of these
            says which amount a pixel stands for. The message is a reason, without the file's name.
    """
    if not is_png(content):
        raise DataError("not a PNG file; save it as an 8-bit grey PNG")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            _require_grey(image, bit_depth=read_bit_depth(content))
            return np.array(image.convert("L"))
    except DataError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"damaged: {error or type(error).__name__}") from error


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit grey PNG; see `decode_grey`.

    Raises:
        DataError: If the file is missing or cannot be used; the message begins with its name.
    """
    try:
        return decode_grey(read_regular(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def encode_grey(values: NDArray[np.uint8]) -> bytes:
    """Encode values (H, W) as an 8-bit grey PNG.

    Raises:
        ShapeError: If `values` is not a non-empty (H, W) uint8 array.
    """
    if values.ndim != 2 or values.dtype != np.uint8 or values.size == 0:
        raise ShapeError(f"expected non-empty grey values (H, W) uint8, got {values.shape} {values.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG", compress_level=WRITTEN_COMPRESSION)
    return buffer.getvalue()


def _require_grey(image: Image.Image, *, bit_depth: int) -> None:
    if image.mode == "P":
        raise DataError("a palette PNG, whose numbers are colours and not amounts; save it as an 8-bit grey PNG")
    if bit_depth > 8:
        raise DataError(f"{bit_depth} bits per channel; save it as an 8-bit grey PNG")
    if image.has_transparency_data:
        raise DataError("it has transparency; save it as an 8-bit grey PNG without an alpha channel")
    if image.mode not in ("1", "L"):
        raise DataError(f"it has colours (Pillow mode {image.mode}); save it as an 8-bit grey PNG")
