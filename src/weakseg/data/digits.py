"""Pictures of handwritten or printed digits, from whichever source there is.

Three sources give pictures of one layout, which is MNIST's: 28 x 28 pixels, bright ink on black, the digit about 20
pixels high. MNIST itself is read from a folder of the user's; scikit-learn brings 1797 handwritten digits of 8 x 8
pixels with it (the test part of "Optical Recognition of Handwritten Digits", UCI repository); without either, digits
are printed in the fonts that matplotlib brings with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from weakseg.data.idx import read_idx
from weakseg.errors import DataError, MissingExtra

DIGIT_PX = 28
"""Height and width of a picture, MNIST's."""

INK_PX = 20
"""Height of the ink within, MNIST's."""

IMAGE_STEMS = ("train-images-idx3-ubyte", "train-images.idx3-ubyte")
LABEL_STEMS = ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte")
"""Names MNIST's files go by, each also with `.gz`."""

MNIST_FOLDERS = (".", "raw", "MNIST/raw")
"""Where below a given folder those files are looked for; the last is torchvision's layout."""

SKLEARN_MAX = 16
"""The largest value of scikit-learn's pictures."""

FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralItalic.ttf",
)
"""Fonts of `matplotlib`'s own data that are printed in."""

FONT_PICTURES = 200
"""Pictures that are printed of each digit."""

MAX_TILT_DEG, MAX_SLANT, MAX_STRETCH = 12.0, 0.2, 0.15
"""How far a printed digit is turned, sheared and stretched at most, so that no two look alike."""

WRITTEN_SEED = 2021
"""Seed of those changes, so that this source, like the others, does not depend on a study's seeds."""

OVERSAMPLING = 4
"""A printed digit is changed at this multiple of its size and then shrunk."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures of some digits.

    Args:
        source: What they are, for people; not where they lie.
        pictures: (N, 28, 28) uint8, bright ink on black.
        digits: (N,) uint8, the digit each shows.
    """

    source: str
    pictures: NDArray[np.uint8]
    digits: NDArray[np.uint8]


def open_digits(where: str, *, digits: Sequence[int]) -> Digits:
    """Open a source of digits.

    Args:
        where: `auto` for scikit-learn's if it is installed and printed ones otherwise, `sklearn`, `font`, or a folder
            with MNIST's training files (images and labels, compressed or not).
        digits: The digits to keep.

    Raises:
        DataError: If there is no such folder, it lacks the files, they are damaged, do not belong together or show
            none of one of the digits.
        MissingExtra: If `sklearn` is asked for and not installed.
    """
    if where == "font":
        return print_digits(digits)
    if where in ("auto", "sklearn"):
        try:
            return load_sklearn_digits(digits)
        except MissingExtra:
            if where == "sklearn":
                raise
            return print_digits(digits)
    return load_mnist(Path(where), digits)


def load_mnist(folder: Path, digits: Sequence[int]) -> Digits:
    """Read MNIST's training digits from a folder.

    Args:
        folder: Holds the two files itself, or in `raw` or `MNIST/raw`.
        digits: The digits to keep.

    Raises:
        DataError: As `open_digits` says.
    """
    pictures = read_idx(_find(folder, IMAGE_STEMS), axes=3)
    labels_path = _find(folder, LABEL_STEMS)
    labels = read_idx(labels_path, axes=1)
    if len(pictures) != len(labels):
        raise DataError(
            f"{labels_path}: expected {len(pictures)} labels, one per image, got {len(labels)}; "
            "take both files from one data set"
        )
    if pictures.shape[1:] != (DIGIT_PX, DIGIT_PX):
        found = f"{pictures.shape[1]} x {pictures.shape[2]}"
        raise DataError(f"{folder}: expected images of {DIGIT_PX} x {DIGIT_PX} pixels as MNIST has them, got {found}")
    return _keep("MNIST", pictures, labels, digits, place=f"{folder}: ")


def load_sklearn_digits(digits: Sequence[int]) -> Digits:
    """Load scikit-learn's digits, resized (bicubic) from 8 x 8 to 20 x 20 pixels and framed in black as MNIST's are.

    Args:
        digits: The digits to keep.

    Raises:
        MissingExtra: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtra(
            "scikit-learn's digits need scikit-learn; install it with: pip install scikit-learn, or use '--digits font'"
        ) from None
    found = load_digits()
    wanted = np.isin(found.target, list(digits))
    small = np.round(found.images[wanted] * (255 / SKLEARN_MAX)).astype(np.uint8)
    framed = np.stack([_frame(Image.fromarray(picture)) for picture in small])
    return _keep("scikit-learn's digits", framed, found.target[wanted].astype(np.uint8), digits)


def print_digits(digits: Sequence[int]) -> Digits:
    """Print digits in several fonts, each a little turned, sheared and stretched.

    The pictures are always the same, as far as the fonts (matplotlib) and their drawing (Pillow) are.

    Args:
        digits: The digits to print.
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(str(folder / name), OVERSAMPLING * DIGIT_PX) for name in FONTS]
    rng = np.random.default_rng(WRITTEN_SEED)
    labels = np.repeat(np.array(digits, np.uint8), FONT_PICTURES)
    pictures = [_print_digit(str(digit), fonts[at % len(fonts)], rng) for at, digit in enumerate(labels)]
    return _keep("printed digits", np.stack(pictures), labels, digits)


def _find(folder: Path, stems: Sequence[str]) -> Path:
    for place in MNIST_FOLDERS:
        for stem in stems:
            for name in (stem, f"{stem}.gz"):
                if (path := folder / place / name).is_file():
                    return path
    raise DataError(
        f"{folder}: expected MNIST's file {stems[0]} or {stems[0]}.gz there, in {' or in '.join(MNIST_FOLDERS[1:])}, "
        "found neither; give the folder that holds it, or one of auto, sklearn, font"
    )


def _keep(
    source: str, pictures: NDArray[np.uint8], labels: NDArray[np.uint8], digits: Sequence[int], *, place: str = ""
) -> Digits:
    """Keep the wanted digits, which must all be there."""
    if missing := [str(digit) for digit in digits if digit not in labels]:
        raise DataError(
            f"{place}{source}: expected pictures of {', '.join(map(str, digits))}, found none of {missing[0]}"
        )
    wanted = np.isin(labels, list(digits))
    return Digits(source, np.ascontiguousarray(pictures[wanted]), labels[wanted])


def _frame(digit: Image.Image) -> NDArray[np.uint8]:
    """Resize a picture to the size of the ink and frame it in black."""
    picture = np.zeros((DIGIT_PX, DIGIT_PX), np.uint8)
    margin = (DIGIT_PX - INK_PX) // 2
    inked = np.asarray(digit.resize((INK_PX, INK_PX), Image.Resampling.BICUBIC))
    picture[margin : margin + INK_PX, margin : margin + INK_PX] = inked
    return picture


def _print_digit(digit: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = OVERSAMPLING * DIGIT_PX
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text((side / 2, side / 2), digit, fill=255, font=font, anchor="mm")
    left, top, right, bottom = canvas.getbbox() or (0, 0, side, side)
    scale = (bottom - top) / (OVERSAMPLING * INK_PX)
    tilt = math.radians(float(rng.uniform(-MAX_TILT_DEG, MAX_TILT_DEG)))
    slant = float(rng.uniform(-MAX_SLANT, MAX_SLANT))
    stretch = scale * (1 + rng.uniform(-MAX_STRETCH, MAX_STRETCH, size=2))
    # Where a pixel of the result comes from: sheared, turned and stretched about the ink's centre.
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    matrix = turn @ np.array([[1, slant], [0, 1]]) * stretch
    shift = np.array([(left + right) / 2, (top + bottom) / 2]) - matrix @ np.full(2, side / 2)
    moved = canvas.transform(
        (side, side),
        Image.Transform.AFFINE,
        (matrix[0, 0], matrix[0, 1], shift[0], matrix[1, 0], matrix[1, 1], shift[1]),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(moved.resize((DIGIT_PX, DIGIT_PX), Image.Resampling.BOX))
