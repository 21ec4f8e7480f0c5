"""Images of one digit at a random place, a few of them with a small marker that gives the digit away as well.

They are the toy images of RIB (Lee et al., NeurIPS 2021, section 3): every image shows a 2 or an 8; one in ten shows a
small marker besides, round beside a 2 and square beside an 8. Either tells the class, but a classifier can do without
the marker. The paper gives no sizes; those below are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.data.digits import DIGIT_PX, Digits
from weakseg.errors import DataError

MARKED_DIGITS = (2, 8)
"""The digits by class index: class 0 goes with a round marker, class 1 with a square one."""

IMAGE_PX = 56
"""Height and width of an image."""

MARKER_PX = 11
"""Height and width of a marker."""

GAP_PX = 2
"""Least distance between a marker and the frame of the digit."""

INK = 128
"""Pixels at least this bright belong to the digit; darker ones are the rim of its strokes and count as background."""

SUPERSAMPLING = 8
"""A round marker's pixels are as bright as the share of this many times this many points that lie within."""


@dataclass(frozen=True, eq=False)
class MarkedDigits:
    """Images and where they show what. No pixel belongs to two regions.

    Args:
        images: (N, 56, 56) uint8 grey, bright on black.
        classes: (N,) int64, indices of `MARKED_DIGITS`.
        digit: (N, 56, 56) bool, the digit's pixels: the discriminative region.
        marker: (N, 56, 56) bool, the marker's pixels, none without a marker: the non-discriminative region.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    digit: NDArray[np.bool_]
    marker: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def background(self) -> NDArray[np.bool_]:
        """(N, 56, 56) bool, everything else."""
        return ~(self.digit | self.marker)


def split_digits(digits: Digits, *, test_share: float, rng: np.random.Generator) -> tuple[Digits, Digits]:
    """Deal pictures out at random, each digit by itself.

    Args:
        digits: All pictures.
        test_share: Share of the second part, 0..1; of each digit both parts get one picture at least.
        rng: Source of randomness.

    Raises:
        DataError: If a digit has fewer than two pictures.
    """
    test = np.zeros(len(digits.digits), np.bool_)
    for digit in np.unique(digits.digits):
        places = rng.permutation(np.flatnonzero(digits.digits == digit))
        if len(places) < 2:
            raise DataError(f"{digits.source}: expected two pictures of {digit} or more, to train and to test, got one")
        test[places[: min(max(1, round(test_share * len(places))), len(places) - 1)]] = True
    first, second = (Digits(digits.source, digits.pictures[part], digits.digits[part]) for part in (~test, test))
    return first, second


def make_marked_digits(digits: Digits, *, images: int, marked_share: float, rng: np.random.Generator) -> MarkedDigits:
    """Make images, classes in turn.

    Args:
        digits: Pictures to draw from, with repeats; all `MARKED_DIGITS` are among them.
        images: Number of images.
        marked_share: Share of each class's images, 0..1, that show a marker; their number is rounded.
        rng: Source of randomness.
    """
    classes = np.arange(images) % len(MARKED_DIGITS)
    marked = np.zeros(images, np.bool_)
    for chosen in range(len(MARKED_DIGITS)):
        own = rng.permutation(np.flatnonzero(classes == chosen))
        marked[own[: round(marked_share * len(own))]] = True
    canvases = np.zeros((images, IMAGE_PX, IMAGE_PX), np.uint8)
    markers = np.zeros((images, IMAGE_PX, IMAGE_PX), np.bool_)
    drawn = np.zeros((images, IMAGE_PX, IMAGE_PX), np.bool_)
    for at, chosen in enumerate(classes.tolist()):
        picture = rng.choice(digits.pictures[digits.digits == MARKED_DIGITS[chosen]])
        top, left = (int(place) for place in rng.integers(IMAGE_PX - DIGIT_PX + 1, size=2))
        frame = (slice(top, top + DIGIT_PX), slice(left, left + DIGIT_PX))
        canvases[at][frame] = picture
        drawn[at][frame] = picture >= INK
        if marked[at]:
            marker = draw_marker(chosen)
            place = _place_marker(top, left, rng)
            canvases[at][place] = marker
            markers[at][place] = marker >= INK
    return MarkedDigits(canvases, classes.astype(np.int64), drawn, markers)


def without_digits(scenes: MarkedDigits) -> MarkedDigits:
    """Return the same images with the markers alone."""
    images = np.where(scenes.marker, scenes.images, 0).astype(np.uint8)
    return MarkedDigits(images, scenes.classes, np.zeros_like(scenes.digit), scenes.marker)


def draw_marker(chosen: int) -> NDArray[np.uint8]:
    """Draw the marker (11, 11) uint8 of a class: a disc for class 0, a square for class 1."""
    if chosen == 1:
        return np.full((MARKER_PX, MARKER_PX), 255, np.uint8)
    points = (np.arange(MARKER_PX * SUPERSAMPLING) + 0.5) / SUPERSAMPLING - MARKER_PX / 2
    inside = points[:, None] ** 2 + points[None, :] ** 2 <= (MARKER_PX / 2) ** 2
    shares = inside.reshape(MARKER_PX, SUPERSAMPLING, MARKER_PX, SUPERSAMPLING).mean(axis=(1, 3))
    disc: NDArray[np.uint8] = np.round(255 * shares).astype(np.uint8)
    return disc


def _place_marker(top: int, left: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Choose a place evenly among those that keep the distance to a digit's frame; there always are some."""
    last = IMAGE_PX - MARKER_PX + 1
    rows, columns = np.mgrid[:last, :last]
    above_or_below = (rows + MARKER_PX + GAP_PX <= top) | (rows >= top + DIGIT_PX + GAP_PX)
    beside = (columns + MARKER_PX + GAP_PX <= left) | (columns >= left + DIGIT_PX + GAP_PX)
    free = np.flatnonzero(above_or_below | beside)
    row, column = divmod(int(rng.choice(free)), last)
    return slice(row, row + MARKER_PX), slice(column, column + MARKER_PX)
