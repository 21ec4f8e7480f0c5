"""Label maps in PNG files: reading palette, grey and VOC-coloured ones, and writing palette ones."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from weakseg.data.mask_codes import MaskCode
from weakseg.data.mask_colours import find_coded_labels, find_palette_labels
from weakseg.data.png import WRITTEN_COMPRESSION, is_png, read_bit_depth
from weakseg.data.regular_files import read_regular
from weakseg.errors import DataError, ShapeError
from weakseg.file_names import safe_path
from weakseg.ops.color import label_palette
from weakseg.types import IGNORE_LABEL, Sample

_BYTE_BITS = 8
_EXACT_FORMATS = ("PNG", "BMP", "DIB", "TIFF", "PPM", "TGA")
"""GIF is none of them: programs sort its palette."""


@dataclass(frozen=True, kw_only=True)
class _MaskFiles(ABC):
    """Reads the masks of images that have a file.

    Args:
        code: What the numbers and colours in the files mean; None for labels and VOC's colours.
    """

    code: MaskCode | None = None

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        """Return the (H, W) uint8 labels of a sample, or None if it has no mask."""
        path = self.find(sample)
        return None if path is None else read_mask(path, code=self.code)

    def has(self, sample: Sample) -> bool:
        """Say whether a sample has a mask, without reading it."""
        return self.find(sample) is not None

    @abstractmethod
    def find(self, sample: Sample) -> Path | None:
        """Return the mask file of a sample, or None."""


@dataclass(frozen=True)
class PngMasks(_MaskFiles):
    """Reads masks from `<folder>/<id>.png`.

    Args:
        folders: Searched in this order; the first file found is the mask.
        code: What the numbers and colours in the files mean; None for labels and VOC's colours.
    """

    folders: tuple[Path, ...]

    def find(self, sample: Sample) -> Path | None:
        """Return the mask file of a sample, or None; files of a run have a safe form of the id."""
        names = dict.fromkeys((safe_path(sample.id), sample.id))
        for folder in self.folders:
            for name in names:
                path = folder / f"{name}.png"
                if os.path.isfile(path):  # False, where Path.is_file raises for a name that is too long
                    return path
        return None


@dataclass(frozen=True)
class MatchedMasks(_MaskFiles):
    """Reads masks from files that were matched with images beforehand.

    Args:
        paths: Mask file by image id.
        code: What the numbers and colours in the files mean; None for labels and VOC's colours.
    """

    paths: Mapping[str, Path]

    def find(self, sample: Sample) -> Path | None:
        """Return the mask file of a sample, or None."""
        return self.paths.get(sample.id)


def read_mask(path: Path, *, code: MaskCode | None = None) -> NDArray[np.uint8]:
    """Read a label map.

    The stored number is the label: the palette index, whatever the palette's colours, or the grey value. Colour files
    are accepted if every pixel has a colour of the VOC palette, whose index is then the label, or if all are grey.

    Args:
        path: A PNG file with 1 to 8 bits per channel.
        code: What numbers and colours mean instead. Its colours also count for palette files, if they are all of it.

    Returns:
        (H, W) uint8, writable; 0 background, c+1 class c, 255 ignore.

    Raises:
        DataError: If the file is missing, damaged, not PNG (other formats blur labels), has 16 bits per channel,
            partly transparent pixels, or a colour outside the VOC palette.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise DataError(f"cannot read mask {path}: {error.strerror}") from error
    return decode_mask(content, where=path, code=code)


def decode_mask(content: bytes, *, where: Path | str, code: MaskCode | None = None) -> NDArray[np.uint8]:
    """Decode the bytes of a label map's file; see `read_mask`.

    Args:
        content: The bytes.
        where: The file, for messages.
        code: See `read_mask`.
    """
    if not content:
        raise DataError(f"cannot read mask {where}: the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            if not is_png(content):
                _require_exact(image, where)
            image.load()
            bit_depth = read_bit_depth(content) if is_png(content) else _BYTE_BITS
            return _labels_of(image, bit_depth=bit_depth, path=where, code=code or MaskCode())
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"cannot read mask {where}: it is not an image, or damaged") from error
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        raise DataError(f"cannot read mask {where}: {error or type(error).__name__}") from error


def encode_mask(labels: NDArray[np.uint8]) -> bytes:
    """Encode a label map as a palette PNG with the VOC colours.

    Equal labels give equal bytes on one installation (another zlib may pack them differently).

    Args:
        labels: (H, W) uint8, neither side 0.

    Returns:
        The bytes of the file.

    Raises:
        ShapeError: If `labels` is not a non-empty (H, W) uint8 array.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8 or labels.size == 0:
        raise ShapeError(f"expected non-empty labels (H, W) uint8, got {labels.shape} {labels.dtype}")
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(label_palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=WRITTEN_COMPRESSION)
    return buffer.getvalue()


def _require_exact(image: Image.Image, path: Path | str) -> None:
    """Raise a `DataError` for formats that change numbers, or may."""
    exact = image.format in _EXACT_FORMATS and image.info.get("compression") not in ("jpeg", "webp", "old-jpeg")
    if not exact:
        blurs = ", whose palette programs sort" if image.format == "GIF" else ", which blurs labels"
        raise DataError(
            f"mask {path} is no PNG file but {image.format}{blurs}; make it anew from its source as palette or 8-bit "
            "grey PNG, since saving this one as PNG keeps the errors"
        )


def _labels_of(image: Image.Image, *, bit_depth: int, path: Path | str, code: MaskCode) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and 0 <= int(values.min()) and int(values.max()) <= IGNORE_LABEL:
            return _translate(values.astype(np.uint8), code.values)
        raise DataError(
            f"mask {path} has 16 bits per channel with numbers up to {int(values.max())}; labels are 0..255, save it "
            "as an 8-bit PNG"
        )
    if bit_depth > 8:
        raise DataError(f"mask {path} has {bit_depth} bits per channel; labels are 0..255, save it as an 8-bit PNG")
    if image.mode == "P":
        return _labels_of_indices(image, code)
    if image.mode in ("LA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
        if not np.isin(alpha, (0, 255)).all():
            raise DataError(
                f"mask {path} has half-transparent pixels; save it as a palette or 8-bit grey PNG without alpha"
            )
        image = image.convert(image.mode[:-1])
        if not alpha.all():  # nothing is drawn there
            image.paste(0, mask=Image.fromarray(255 - alpha))
    if image.mode == "1":
        return _translate(np.array(image, np.uint8), code.values)
    if image.mode == "L":
        # Pillow stretches 2- and 4-bit grey to 0..255; the stored number is the label.
        stored = np.array(image) // np.uint8(255 // (2**bit_depth - 1))
        return _translate(stored, code.values or _greys_of(stored, code))
    if image.mode == "RGB":
        return _labels_of_colours(np.asarray(image), path, code)
    raise DataError(f"mask {path} has the pixel mode {image.mode}; save it as a palette or 8-bit grey PNG")


def _labels_of_indices(image: Image.Image, code: MaskCode) -> NDArray[np.uint8]:
    indices = np.array(image)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    colours = np.asarray(image.getpalette() or [], np.uint8).reshape(-1, 3)
    meant = {int(at): code.colours.get(_colour(colours[at])) for at in used if at < len(colours)}
    if code.colours and len(meant) == len(used) and None not in meant.values():
        return _translate(indices, {at: label for at, label in meant.items() if label is not None})
    return _translate(indices, code.values)


def _greys_of(stored: NDArray[np.uint8], code: MaskCode) -> Mapping[int, int]:
    """Return the labels of greys that a label map lists as colours; nothing unless it lists all there are."""
    used = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
    labels = {int(grey): code.colours[colour] for grey in used if (colour := (int(grey),) * 3) in code.colours}
    return labels if len(labels) == len(used) else {}


def _translate(stored: NDArray[np.uint8], labels: Mapping[int, int]) -> NDArray[np.uint8]:
    if not labels:
        return stored
    table = np.arange(256, dtype=np.uint8)
    table[list(labels)] = list(labels.values())
    return table[stored]


def _labels_of_colours(pixels: NDArray[np.uint8], path: Path | str, code: MaskCode) -> NDArray[np.uint8]:
    labels = find_coded_labels(pixels, code.colours) if code.colours else find_palette_labels(pixels)
    unknown = labels < 0
    if not code.colours and (unknown.any() or code.values) and (pixels == pixels[..., :1]).all():
        return _translate(pixels[..., 0].copy(), code.values)  # grey, three times over, as OpenCV writes it
    if unknown.any():
        row, column = (int(at) for at in np.argwhere(unknown)[0])
        raise DataError(
            f"mask {path}: {int(unknown.sum())} pixels have colours outside "
            f"{'the label map' if code.colours else 'the VOC palette'}, the first is {_colour(pixels[row, column])} at "
            f"row {row}, column {column}; save the labels themselves as a palette or 8-bit grey PNG, or write the "
            "colour of each class into labelmap.txt"
        )
    return labels.astype(np.uint8)


def _colour(pixel: NDArray[np.uint8]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in pixel)
    return red, green, blue
