from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.data.transforms import Augmentation, augment_image, make_rng
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD, normalise

PAD = 255


class ScriptedRng:
    """Stands in for a generator: hands out prepared draws and notes the ranges that were asked for."""

    def __init__(self, *, integers: Sequence[int] = (), random: Sequence[float] = ()) -> None:
        self.integer_draws = list(integers)
        self.float_draws = list(random)
        self.ranges: list[tuple[int, int]] = []

    def integers(self, low: int, high: int, *, endpoint: bool) -> int:
        assert endpoint
        self.ranges.append((low, high))
        return self.integer_draws.pop(0)

    def random(self) -> float:
        return self.float_draws.pop(0)


def settings_for(side_px: int, crop_px: int, *, flip: bool = False, colour: float = 0.0) -> Augmentation:
    return Augmentation(long_side_px=(side_px, side_px), crop_px=crop_px, flip=flip, colour=colour)


def numbered(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image whose channels all hold the mask's labels, which number the pixels from 1."""
    mask = np.arange(1, height * width + 1, dtype=np.uint8).reshape(height, width)
    return np.repeat(mask[:, :, None], 3, axis=2), mask


def red_values(crop: torch.Tensor) -> list[list[int]]:
    """Undo the normalisation of the red channel."""
    return ((crop[0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]) * 255).round().int().tolist()


def test_a_small_image_is_placed_within_the_padding() -> None:
    image, mask = numbered(2, 3)
    rng = ScriptedRng(integers=[3, 1, 1])
    crop, labels = augment_image(image, mask, settings_for(3, 4), rng)
    assert rng.ranges == [(3, 3), (0, 2), (0, 1)]
    assert labels.tolist() == [[PAD] * 4, [PAD, 1, 2, 3], [PAD, 4, 5, 6], [PAD] * 4]
    expected = torch.zeros(3, 4, 4)
    expected[:, 1:3, 1:4] = normalise(image)
    assert torch.equal(crop, expected)


def test_a_large_image_is_cut() -> None:
    image, mask = numbered(4, 5)
    rng = ScriptedRng(integers=[5, 2, 3])
    crop, labels = augment_image(image, mask, settings_for(5, 2), rng)
    assert rng.ranges == [(5, 5), (0, 2), (0, 3)]
    assert labels.tolist() == [[14, 15], [19, 20]]
    assert red_values(crop) == [[14, 15], [19, 20]]


def test_one_side_may_be_cut_and_the_other_padded() -> None:
    image, mask = numbered(2, 5)
    rng = ScriptedRng(integers=[5, 0, 2])
    crop, labels = augment_image(image, mask, settings_for(5, 3), rng)
    assert rng.ranges == [(5, 5), (0, 1), (0, 2)]
    assert labels.tolist() == [[3, 4, 5], [8, 9, 10], [PAD] * 3]
    assert torch.equal(crop[:, 2], torch.zeros(3, 3))


def test_an_image_of_the_crops_size_stays_whole() -> None:
    image, mask = numbered(3, 3)
    rng = ScriptedRng(integers=[3, 0, 0])
    crop, labels = augment_image(image, mask, settings_for(3, 3), rng)
    assert rng.ranges == [(3, 3), (0, 0), (0, 0)]
    assert labels.tolist() == mask.tolist()
    assert torch.equal(crop, normalise(image))


@pytest.mark.parametrize(("draw", "row"), [(0.4999, [3, 2, 1]), (0.5, [1, 2, 3])])
def test_image_and_mask_are_mirrored_together_half_the_time(draw: float, row: list[int]) -> None:
    image, mask = numbered(1, 3)
    rng = ScriptedRng(integers=[3, 0, 0], random=[draw])
    crop, labels = augment_image(image, mask, settings_for(3, 3, flip=True), rng)
    assert labels[0].tolist() == row
    assert red_values(crop)[0] == row


def test_the_longer_side_gets_the_drawn_length_and_the_shorter_follows() -> None:
    image, mask = np.zeros((10, 20, 3), np.uint8), np.ones((10, 20), np.uint8)
    _, labels = augment_image(image, mask, settings_for(8, 8), ScriptedRng(integers=[8, 0, 0]))
    assert (labels == 1).sum(dim=1).tolist() == [8] * 4 + [0] * 4
    tall = augment_image(image.transpose(1, 0, 2), mask.T, settings_for(8, 8), ScriptedRng(integers=[8, 0, 0]))[1]
    assert tall.tolist() == labels.T.tolist()


def test_every_length_of_the_range_occurs_its_ends_included() -> None:
    image, mask = np.zeros((5, 10, 3), np.uint8), np.zeros((5, 10), np.uint8)
    augmentation = Augmentation(long_side_px=(7, 9), crop_px=12, flip=True, colour=0.0)
    lengths = set()
    for index in range(60):
        labels = augment_image(image, mask, augmentation, make_rng(0, 0, index))[1]
        lengths.add(int((labels == 0).any(dim=0).sum()))
    assert lengths == {7, 8, 9}


@pytest.mark.parametrize("side_px", [5, 11, 23])
def test_resizing_never_mixes_labels(side_px: int) -> None:
    mask = np.random.default_rng(0).choice(np.array([0, 7, 200], np.uint8), (13, 20))
    labels = augment_image(np.zeros((13, 20, 3), np.uint8), mask, settings_for(side_px, 23), make_rng(0, 0, 0))[1]
    assert set(labels.unique().tolist()) == {0, 7, 200, PAD}


@pytest.mark.parametrize(("size_hw", "seen_hw"), [((1, 1), (8, 8)), ((1, 40), (1, 8)), ((40, 1), (8, 1))])
def test_images_of_one_pixel_or_line(size_hw: tuple[int, int], seen_hw: tuple[int, int]) -> None:
    image, mask = np.full((*size_hw, 3), 200, np.uint8), np.full(size_hw, 2, np.uint8)
    crop, labels = augment_image(image, mask, settings_for(8, 9, flip=True), make_rng(0, 0, 0))
    assert ((labels == 2).any(dim=1).sum().item(), (labels == 2).any(dim=0).sum().item()) == seen_hw
    assert (crop != 0).sum() == 3 * seen_hw[0] * seen_hw[1]


def test_pixels_are_normalised_as_imagenets_networks_expect() -> None:
    image = np.full((2, 2, 3), (0, 255, 51), np.uint8)
    crop, labels = augment_image(image, None, settings_for(2, 2), make_rng(0, 0, 0))
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    torch.testing.assert_close(crop, torch.tensor(expected)[:, None, None].expand(3, 2, 2))
    assert labels is None


def test_colour_scales_and_shifts_each_channel_but_not_the_padding() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    plain, _ = augment_image(image, None, settings_for(4, 4), make_rng(0, 0, 0))
    for index in range(20):
        crop, labels = augment_image(
            image, np.zeros((3, 4), np.uint8), settings_for(4, 4, colour=0.2), make_rng(0, 0, index)
        )
        inside = labels == 0
        assert (crop[:, ~inside] == 0).all()
        for channel in range(3):
            before, after = plain[channel][plain[channel] != 0], crop[channel][inside]
            contrast, tint = np.polyfit(before, after, 1)
            assert 0.8 <= contrast <= 1.2
            assert -0.2001 <= tint <= 0.2001
            np.testing.assert_allclose(contrast * before + tint, after, atol=1e-5)


def test_without_colour_no_random_number_is_spent_on_it() -> None:
    image = np.zeros((3, 3, 3), np.uint8)
    rng = ScriptedRng(integers=[3, 0, 0])
    augment_image(image, None, settings_for(3, 3), rng)
    assert rng.integer_draws == []


def test_inputs_are_left_as_they_are_and_results_do_not_share_their_memory() -> None:
    image, mask = numbered(4, 4)
    image.setflags(write=False)
    mask.setflags(write=False)
    crop, labels = augment_image(image, mask, settings_for(4, 4, flip=True), make_rng(0, 0, 0))
    assert (crop.dtype, crop.shape, crop.is_contiguous()) == (torch.float32, (3, 4, 4), True)
    assert (labels.dtype, labels.shape) == (torch.int64, (4, 4))
    crop.zero_()
    labels.zero_()
    assert mask.tolist() == numbered(4, 4)[1].tolist()
    assert image[:, :, 0].tolist() == mask.tolist()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"image \(4, 5\) and mask \(5, 4\) differ in size \(height, width\)"):
        augment_image(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8), settings_for(4, 4), make_rng(0, 0, 0))


def test_generators_differ_by_seed_epoch_and_image_and_are_otherwise_equal() -> None:
    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]
    draws = {key: make_rng(*key).integers(2**62) for key in keys}
    assert len(set(draws.values())) == len(keys)
    assert {key: make_rng(*key).integers(2**62) for key in keys} == draws


sizes = st.integers(1, 24)


@given(height=sizes, width=sizes, crop_px=sizes, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_without_resizing_every_pixel_keeps_its_label(height: int, width: int, crop_px: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 20, (height, width), dtype=np.uint8)
    image = np.repeat(mask[:, :, None] + np.uint8(1), 3, axis=2)
    augmentation = settings_for(max(height, width), crop_px, flip=True)
    crop, labels = augment_image(image, mask, augmentation, make_rng(seed, 0, 0))
    again, _ = augment_image(image, mask, augmentation, make_rng(seed, 0, 0))
    assert torch.equal(crop, again)
    shown = labels != PAD
    assert int(shown.sum()) == min(height, crop_px) * min(width, crop_px)
    assert (crop[:, ~shown] == 0).all()
    assert (torch.tensor(red_values(crop))[shown] == labels[shown] + 1).all()


@given(
    height=st.integers(6, 40),
    width=st.integers(6, 40),
    side_px=st.integers(6, 60),
    share=st.floats(0.2, 0.8),
    upright=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
@example(height=6, width=6, side_px=56, share=0.21875, upright=True, seed=14)
def test_resized_images_and_masks_stay_aligned(
    height: int, width: int, side_px: int, share: float, upright: bool, seed: int
) -> None:
    assume(round(min(height, width) * side_px / max(height, width)) >= 4)  # else no pixel lies away from the edge
    mask = np.zeros((height, width), np.uint8)
    if upright:
        mask[:, round(share * width) :] = 1
    else:
        mask[round(share * height) :] = 1
    image = np.repeat(mask[:, :, None] * np.uint8(200), 3, axis=2)
    crop, labels = augment_image(image, mask, settings_for(side_px, 32, flip=True), make_rng(seed, 0, 0))
    bright = torch.tensor(red_values(crop)) > 100
    # Bicubic and nearest may part by a pixel where the labels meet, and nowhere else.
    padded = torch.nn.functional.pad(labels, (1, 1, 1, 1), value=PAD)
    around = torch.stack([padded[dy : dy + 32, dx : dx + 32] for dy in range(3) for dx in range(3)])
    # At the rim of the crop labels may meet just outside of it.
    away = (around == around[0]).all(dim=0) & (labels != PAD)
    assert (bright[away] == (labels[away] == 1)).all()


@pytest.mark.parametrize(
    ("long_side_px", "crop_px", "colour", "message"),
    [
        ((9, 8), 4, 0.0, "long_side_px: expected 1 <= smallest <= largest, got 9 and 8"),
        ((0, 8), 4, 0.0, "got 0 and 8"),
        ((8, 8), 0, 0.0, "crop_px: expected at least 1 px, got 0"),
        ((8, 8), 4, -0.1, "colour: expected 0 or more, got -0.1"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    long_side_px: tuple[int, int], crop_px: int, colour: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Augmentation(long_side_px=long_side_px, crop_px=crop_px, flip=False, colour=colour)
