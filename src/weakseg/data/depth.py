"""Pixels of more than 8 bits: which values they hold, and how those become 0..255.

A file that has room for 16 bits may hold 10 or 12 of them, and floating-point numbers have no range at all. What the
values of a whole data set span says how they are scaled; the type of the file never does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from weakseg.errors import DataError

Values = NDArray[np.uint16] | NDArray[np.int32] | NDArray[np.float32]

TAILS_PERCENT = 0.1
"""Share of an image's values at either end that do not count for its range: dead and hot pixels."""

SNAP_SHARE = 0.75
"""A usual range, such as 0..4095, is taken for values that span at least this share of it."""

DARK_SHARE = 1 / 16
"""An image that stays below this share of the range is all but black beside the others."""

_USUAL_HIGHS = (1.0, *(2.0**bits - 1 for bits in range(8, 17)))
_MEASURED_VALUES = 2**18  # of a larger image, evenly spread ones; the ends of its range need no more
_BYTE = 256
_HIGHEST = 255
_GREY_WITH_ALPHA = "LA;16B"


@dataclass(frozen=True)
class PixelRange:
    """The values that become 0 and 255; those beyond are clipped.

    Args:
        low: Becomes black.
        high: Becomes white.
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.7g}..{self.high:.7g}"

    def scale(self, values: Values) -> NDArray[np.uint8]:
        """Scale values of any shape to 0..255, rounded to nearest; NaN becomes 0."""
        span = max(self.high - self.low, float(np.finfo(np.float32).tiny))
        levels = (values.astype(np.float32) - np.float32(self.low)) * np.float32(_HIGHEST / span)
        rounded: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(levels, nan=0.0), 0, _HIGHEST)).astype(np.uint8)
        return rounded


_SIXTEEN_BITS = PixelRange(0.0, 65535.0)


def choose_range(spans: Iterable[PixelRange]) -> PixelRange | None:
    """Choose one range for images of these spans, see `measure_span`; None without any.

    It begins at 0 and ends at 1, 255, 511, 1023, ... 65535 where the values span three quarters of that. Otherwise it
    is what they span, and begins at 0 if the lowest is below a quarter of the highest.
    """
    found = list(spans)
    if not found:
        return None
    low, high = min(span.low for span in found), max(span.high for span in found)
    usual = next((end for end in _USUAL_HIGHS if high <= end), None)
    if usual is not None and low >= 0 and high - low >= SNAP_SHARE * usual:
        return PixelRange(0.0, usual)
    if 0 <= low <= (1 - SNAP_SHARE) * high:
        low = 0.0
    return PixelRange(low, high if high > low else low + 1)


@dataclass(frozen=True)
class RangeFinding:
    """The range of a data set's images with more than 8 bits, and what to say about it.

    Args:
        pixel_range: What is used.
        spans: What they span together.
        num_images: Their number.
        guessed: Whether the range follows from the values and is not the whole one of 16 bits.
    """

    pixel_range: PixelRange
    spans: PixelRange
    num_images: int
    guessed: bool

    def __str__(self) -> str:
        count = "1 image has" if self.num_images == 1 else f"{self.num_images} images have"
        return f"{count} more than 8 bits per channel, with values {self.spans}: {self.pixel_range} becomes 0..255"

    @property
    def advice(self) -> str:
        """What to add where one can set the range."""
        return "; is that the wrong range, add --data.pixel_range [LOW,HIGH]" if self.guessed else ""


def find_range(spans: Sequence[PixelRange], given: tuple[float, float] | None) -> RangeFinding | None:
    """Settle the range of a data set.

    Args:
        spans: What each of its images with more than 8 bits spans, see `measure_span`.
        given: The range the user asks for, or None for that of the spans, see `choose_range`.

    Returns:
        What was settled; None if there are no such images.
    """
    chosen = choose_range(spans)
    if chosen is None:
        return None
    whole = PixelRange(min(span.low for span in spans), max(span.high for span in spans))
    used = chosen if given is None else PixelRange(*given)
    return RangeFinding(used, whole, len(spans), given is None and used != _SIXTEEN_BITS)


def describe_misfit(span: PixelRange, used: PixelRange) -> str | None:
    """Say why an image of this span shows next to nothing when it is scaled by this range; None if it does."""
    if span.low > used.high or span.high < used.low:
        return f"its values {span} lie beyond the range {used}, so that it is all white or black"
    if span.high < used.low + DARK_SHARE * (used.high - used.low):
        return f"its values {span} are dark beside the range {used} of all images; keep other depths in a set of theirs"
    return None


def measure_span(values: Values) -> PixelRange:
    """Return the lowest and the highest value of an image but for `TAILS_PERCENT` at either end.

    Raises:
        DataError: If no value is a finite number.
    """
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // _MEASURED_VALUES) | 1]  # odd, so that no column of an image is met alone
    if flat.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    if flat.size == 0:
        raise DataError("no pixel is a finite number")
    low, high = np.percentile(flat, (TAILS_PERCENT, 100 - TAILS_PERCENT), method="nearest")
    return PixelRange(float(low), float(high))


def load_deep(image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]) -> DeepPixels | None:
    """Load the pixels of an opened image if they have more than 8 bits.

    Pillow keeps only the high byte of 16-bit colours. The low one is had by reading the file again as if its bytes
    were swapped.

    Args:
        image: Just opened, not loaded; loaded when this returns a value.
        reopen: Opens the same file again.

    Returns:
        The pixels, or None if 8 bits hold them, or if Pillow gives no more than 8 of them away.
    """
    if _is_single(image):
        image.load()
        return DeepPixels(np.asarray(image), None)
    swapped = _swap_tiles(image)
    if not swapped:
        return None
    grey = _GREY_WITH_ALPHA in _raw_modes(image)
    image.load()
    with reopen() as other:
        other.tile = swapped
        other.load()
        low = np.asarray(other)
    if grey:  # read as four bytes a pixel: those of the grey value, then those of its alpha
        return DeepPixels(_BYTE * low[..., 0].astype(np.uint16) + low[..., 1], low[..., 2])
    high = np.asarray(image)
    colours = _BYTE * high[..., :3].astype(np.uint16) + low[..., :3]
    return DeepPixels(colours, high[..., 3] if image.mode == "RGBA" else None)


@dataclass(frozen=True, eq=False)
class DeepPixels:
    """Decoded pixels of more than 8 bits.

    Args:
        values: (H, W) or (H, W, 3), as stored.
        alpha: (H, W) uint8, or None.
    """

    values: Values
    alpha: NDArray[np.uint8] | None

    def to_image(self, pixel_range: PixelRange | None) -> Image.Image:
        """Scale to 8 bits.

        Args:
            pixel_range: What becomes 0 and 255; None for what these values span themselves.

        Raises:
            DataError: If no value is a finite number and there is no range.
        """
        scale = pixel_range or choose_range([measure_span(self.values)])
        assert scale is not None, "one span has a range"
        levels = scale.scale(self.values)
        if self.alpha is None:
            return Image.fromarray(levels)
        if levels.ndim == 2:
            levels = np.repeat(levels[..., None], 3, axis=2)
        return Image.fromarray(np.dstack([levels, self.alpha]))


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Say whether `load_deep` would load an opened image; nothing is decoded."""
    return _is_single(image) or bool(_swap_tiles(image))


def has_hidden_bits(image: ImageFile.ImageFile) -> bool:
    """Say whether an opened image has 16 bits per channel although its mode does not tell."""
    return ";16" in " ".join(_raw_modes(image)) and ";16" not in image.mode


def _is_single(image: ImageFile.ImageFile) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _swap_tiles(image: ImageFile.ImageFile) -> list[ImageFile._Tile]:
    """Return what makes Pillow read the other bytes of 16-bit colours; nothing where it cannot."""
    if image.mode not in ("RGB", "RGBA", "RGBX"):
        return []
    swapped = [_swap_bytes(tile) for tile in image.tile]
    found = [tile for tile in swapped if tile is not None]
    return found if len(found) == len(swapped) else []


def _raw_modes(image: ImageFile.ImageFile) -> list[str]:
    return [str(word) for tile in image.tile for word in _words(tile[3])]


def _words(arguments: object) -> Sequence[object]:
    return arguments if isinstance(arguments, tuple) else (arguments,)


def _swap_bytes(tile: ImageFile._Tile) -> ImageFile._Tile | None:
    """Return what makes Pillow read the other byte of a 16-bit tile, or None if it is none."""
    words = _words(tile[3])
    mode = str(words[0]) if words else ""
    foreign = "B" if sys.byteorder == "little" else "L"
    if mode == _GREY_WITH_ALPHA:
        other = "RGBA"
    elif mode.endswith((";16B", ";16L", ";16N")):
        other = mode[:-1] + {"B": "L", "L": "B", "N": foreign}[mode[-1]]
    else:
        return None
    arguments = (other, *words[1:]) if isinstance(tile[3], tuple) else other
    if hasattr(ImageFile, "_Tile"):
        return ImageFile._Tile(tile[0], tile[1], tile[2], arguments)
    return (tile[0], tile[1], tile[2], arguments)  # type: ignore[return-value]  # Pillow 10 has plain tuples
