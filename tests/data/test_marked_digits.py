from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.digits import Digits
from weakseg.data.marked_digits import (
    GAP_PX,
    IMAGE_PX,
    MARKER_PX,
    MarkedDigits,
    draw_marker,
    make_marked_digits,
    split_digits,
    without_digits,
)
from weakseg.errors import DataError


def make_digits(copies: int = 3) -> Digits:
    """A 2 is a bar whose length tells which picture it is, an 8 a bright frame; their rims are darker than ink."""
    pictures = np.zeros((2 * copies, 28, 28), np.uint8)
    for at in range(copies):
        pictures[at, 4:24, 4 : 6 + at] = 200
        pictures[at, 4:24, 3] = 100
        pictures[copies + at, :, :] = 150
    return Digits("bars", pictures, np.repeat(np.array([2, 8], np.uint8), copies))


def make(images: int = 40, *, marked_share: float = 0.1, seed: int = 0) -> MarkedDigits:
    return make_marked_digits(make_digits(), images=images, marked_share=marked_share, rng=np.random.default_rng(seed))


def test_classes_alternate_and_a_tenth_of_each_has_a_marker() -> None:
    scenes = make(60)
    assert scenes.images.shape == (60, IMAGE_PX, IMAGE_PX)
    assert scenes.images.dtype == np.uint8
    assert scenes.classes.tolist() == [0, 1] * 30
    shows = scenes.marker.any(axis=(1, 2))
    assert [int(shows[scenes.classes == chosen].sum()) for chosen in (0, 1)] == [3, 3]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 20), (0.26, 6)])
def test_the_number_of_markers_is_the_rounded_share_of_each_class(share: float, expected: int) -> None:
    assert int(make(20, marked_share=share).marker.any(axis=(1, 2)).sum()) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_regions_are_disjoint_and_cover_the_image(seed: int) -> None:
    scenes = make(10, marked_share=1.0, seed=seed)
    total = scenes.digit.astype(int) + scenes.marker + scenes.background
    assert (total == 1).all()
    assert scenes.digit.any(axis=(1, 2)).all()
    assert scenes.marker.any(axis=(1, 2)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_marker_keeps_its_distance_and_lies_within_the_image(seed: int) -> None:
    scenes = make(10, marked_share=1.0, seed=seed)
    frames = scenes.digit & (scenes.classes == 1)[:, None, None]  # an 8 fills its frame
    for frame, marker in zip(frames[1::2], scenes.marker[1::2], strict=True):
        assert marker.sum() == MARKER_PX**2
        rows, columns = np.nonzero(frame)
        near = np.zeros_like(frame)
        near[
            max(0, rows.min() - GAP_PX) : rows.max() + GAP_PX + 1,
            max(0, columns.min() - GAP_PX) : columns.max() + GAP_PX + 1,
        ] = 1
        assert not (near & marker).any()


def test_a_digit_region_holds_its_ink_and_not_its_rim() -> None:
    scenes = make(2, marked_share=0.0)
    np.testing.assert_array_equal(scenes.digit, scenes.images >= 128)
    assert ((scenes.images == 100) & scenes.background).any()


def test_the_same_seed_gives_the_same_images_and_another_others() -> None:
    first, again, other = make(seed=1), make(seed=1), make(seed=2)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.marker, again.marker)
    assert (first.images != other.images).any()


def test_markers_alone_keep_everything_but_the_digit() -> None:
    scenes = make(4, marked_share=0.5)
    alone = without_digits(scenes)
    np.testing.assert_array_equal(alone.images > 0, scenes.marker)
    assert not alone.digit.any()
    assert (alone.images[~scenes.marker.any(axis=(1, 2))] == 0).all()


def test_a_square_is_full_and_a_disc_has_the_area_of_a_circle() -> None:
    disc, square = draw_marker(0), draw_marker(1)
    assert (square == 255).all()
    assert disc.shape == square.shape == (MARKER_PX, MARKER_PX)
    assert disc.sum() / 255 == pytest.approx(np.pi * MARKER_PX**2 / 4, rel=0.01)
    assert (disc == disc[::-1]).all()
    assert (disc == disc.T).all()
    assert disc[0, 0] == 0


def test_pictures_are_dealt_out_without_overlap_each_digit_by_itself() -> None:
    digits = make_digits(copies=10)
    train, test = split_digits(digits, test_share=0.3, rng=np.random.default_rng(0))
    assert [int((part.digits == digit).sum()) for part in (train, test) for digit in (2, 8)] == [7, 7, 3, 3]
    lengths = [set((part.pictures[part.digits == 2] == 200).sum(axis=(1, 2)).tolist()) for part in (train, test)]
    assert not lengths[0] & lengths[1]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_both_parts_get_a_picture_of_each_digit(share: float) -> None:
    for part in split_digits(make_digits(copies=2), test_share=share, rng=np.random.default_rng(0)):
        assert part.digits.tolist() == [2, 8]


def test_a_digit_with_one_picture_cannot_be_dealt_out() -> None:
    with pytest.raises(DataError, match="bars: expected two pictures of 2 or more, to train and to test, got one"):
        split_digits(make_digits(copies=1), test_share=0.3, rng=np.random.default_rng(0))
