import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.data.donors import Donor
from weakseg.data.pasting import (
    PasteSettings,
    Placement,
    contact_sheet,
    draw_placement,
    paste_donor,
)
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.color import label_palette

HOST_VALUE = 250
"""Hosts are this bright; donors are darker than 200."""


def make_host(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full((*size_hw, 3), HOST_VALUE, np.uint8)


def make_donor(size_hw: tuple[int, int], *, seed: int = 0, full: bool = True) -> Donor:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (*size_hw, 3), dtype=np.uint8)
    outline = np.ones(size_hw, np.bool_) if full else rng.random(size_hw) < 0.7
    outline[size_hw[0] // 2, size_hw[1] // 2] = True
    return Donor(4, "train_0", pixels, outline)


@pytest.mark.parametrize("angle", [-90, 0, 90])
def test_quarter_turns_at_full_size_copy_the_donors_pixels(angle: int) -> None:
    donor = make_donor((5, 8), full=False)
    pasted = paste_donor(make_host((21, 30)), donor, Placement(1.0, angle, (2, 3)))
    turned, outline = np.rot90(donor.pixels, angle // 90), np.rot90(donor.outline, angle // 90)
    height, width = outline.shape
    expected, painted = make_host((21, 30)), np.zeros((21, 30), np.bool_)
    expected[2 : 2 + height, 3 : 3 + width][outline] = turned[outline]
    painted[2 : 2 + height, 3 : 3 + width] = outline
    np.testing.assert_array_equal(pasted.image, expected)
    np.testing.assert_array_equal(pasted.painted, painted)
    assert (pasted.image.dtype, pasted.painted.dtype) == (np.uint8, np.bool_)


@pytest.mark.parametrize("scale", [0.5, 1 / 3, 2.0])
def test_scaling_keeps_areas_and_colours(scale: float) -> None:
    pixels = np.zeros((12, 24, 3), np.uint8)
    pixels[:, :12], pixels[:, 12:] = 60, 120
    donor = Donor(0, "x", pixels, np.ones((12, 24), np.bool_))
    pasted = paste_donor(make_host((60, 70)), donor, Placement(scale, 0.0, (4, 6)))
    height, width = round(12 * scale), round(24 * scale)
    box = pasted.painted[4 : 4 + height, 6 : 6 + width]
    assert box.all()
    assert pasted.painted.sum() == height * width
    middle = 4 + height // 2
    assert pasted.image[middle, 6].tolist() == [60] * 3
    assert pasted.image[middle, 6 + width - 1].tolist() == [120] * 3


@pytest.mark.parametrize("angle", [-63.0, 20.0, 45.0])
def test_a_rotated_rectangle_keeps_its_area_and_centre(angle: float) -> None:
    donor = make_donor((30, 50))
    placement = Placement(1.0, angle, (10, 15))
    pasted = paste_donor(make_host((90, 100)), donor, placement)
    assert pasted.painted.sum() == pytest.approx(30 * 50, rel=0.03)
    height, width = placement.box_hw((30, 50))
    rows, columns = np.nonzero(pasted.painted)
    assert rows.mean() + 0.5 == pytest.approx(10 + height / 2, abs=0.5)
    assert columns.mean() + 0.5 == pytest.approx(15 + width / 2, abs=0.5)


def test_the_box_of_a_diagonal_square() -> None:
    assert Placement(1.0, 45.0, (0, 0)).box_hw((10, 10)) == (15, 15)  # 14.14
    assert Placement(0.5, 30.0, (0, 0)).box_hw((40, 10)) == (20, 15)  # 19.82 and 14.33
    assert Placement(0.3, 0.0, (0, 0)).box_hw((10, 20)) == (3, 6), "rounding errors make no pixel"


@given(
    donor_hw=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    host_hw=st.tuples(st.integers(4, 70), st.integers(4, 70)),
    low=st.floats(0.25, 0.7),
    blur_px=st.sampled_from([0.0, 1.0, 2.5]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_laws_of_pasting(
    donor_hw: tuple[int, int], host_hw: tuple[int, int], low: float, blur_px: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    donor, host = make_donor(donor_hw, seed=seed, full=False), make_host(host_hw)
    pixels, outline, before = donor.pixels.copy(), donor.outline.copy(), host.copy()
    paste_settings = PasteSettings(side_share=(low, 0.7), blur_px=blur_px)
    placement = draw_placement(rng, donor_hw, host_hw, paste_settings)
    pasted = paste_donor(host, donor, placement, blur_px=blur_px)

    assert (host == before).all(), "the host was modified"
    assert (donor.pixels == pixels).all(), "the donor was modified"
    assert (donor.outline == outline).all(), "the donor was modified"
    assert not np.shares_memory(pasted.image, host)
    assert pasted.image.shape == host.shape

    (top, left), (height, width) = placement.top_left_px, placement.box_hw(donor_hw)
    assert top >= 0 <= left
    assert top + height <= host_hw[0]
    assert left + width <= host_hw[1]
    assert height <= max(1, 0.7 * host_hw[0])
    assert width <= max(1, 0.7 * host_hw[1])
    rows, columns = np.nonzero(pasted.painted)
    assert top <= rows.min(initial=top) <= rows.max(initial=top) < top + height
    assert left <= columns.min(initial=left) <= columns.max(initial=left) < left + width

    if blur_px == 0:
        changed = (pasted.image != HOST_VALUE).any(axis=2)
        assert (changed == pasted.painted).all(), "donors are never as bright as hosts"
        assert pasted.image[pasted.painted].max(initial=0) <= pixels.max()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_donor_reaches_its_share_of_one_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    placement = draw_placement(rng, (37, 64), (200, 260), PasteSettings(side_share=(0.4, 0.7)))
    height, width = placement.box_hw((37, 64))
    assert max((height + 1) / 200, (width + 1) / 260) >= 0.4
    assert -90 <= placement.angle_degrees <= 90


def test_a_placement_is_a_function_of_its_generator() -> None:
    drawn = [draw_placement(np.random.default_rng(seed), (9, 5), (64, 48), PasteSettings()) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_place_within_the_host_is_drawn() -> None:
    upright = PasteSettings(angle_degrees=(0.0, 0.0), side_share=(0.5, 0.5))
    places = [draw_placement(np.random.default_rng(s), (5, 5), (10, 14), upright).top_left_px for s in range(200)]
    assert {top for top, _ in places} == set(range(6))
    assert {left for _, left in places} == set(range(10))


def test_what_reaches_over_the_border_is_cut_off() -> None:
    donor = make_donor((6, 6))
    pasted = paste_donor(make_host((10, 12)), donor, Placement(1.0, 0.0, (-2, 9)))
    assert pasted.painted.sum() == 4 * 3
    np.testing.assert_array_equal(pasted.image[:4, 9:], donor.pixels[2:, :3])


def test_blurred_edges_fall_off_symmetrically_and_leave_the_middle_alone() -> None:
    donor = Donor(0, "x", np.zeros((30, 30, 3), np.uint8), np.ones((30, 30), np.bool_))
    hard = paste_donor(make_host((51, 53)), donor, Placement(1.0, 0.0, (10, 12)))
    soft = paste_donor(make_host((51, 53)), donor, Placement(1.0, 0.0, (10, 12)), blur_px=2.0)
    np.testing.assert_array_equal(soft.painted[12:38], hard.painted[12:38])
    row = soft.image[25, :, 0].astype(int)
    assert row[27] == 0
    assert row[0] == HOST_VALUE
    assert (np.diff(row[:27]) <= 0).all()
    for distance in range(6):  # from the edge between columns 11 and 12
        assert row[11 - distance] + row[12 + distance] == pytest.approx(HOST_VALUE, abs=2)
    assert row[12] == pytest.approx(0.40 * HOST_VALUE, abs=8)  # a Gaussian has 0.401 of its mass beyond 0.25 deviations


def test_beyond_a_blurred_outline_the_donors_own_surroundings_show() -> None:
    pixels = np.full((30, 30, 3), 100, np.uint8)
    outline = np.zeros((30, 30), np.bool_)
    outline[10:20, 10:20] = True
    pixels[outline] = 200
    pasted = paste_donor(
        np.zeros((40, 40, 3), np.uint8), Donor(0, "x", pixels, outline), Placement(1.0, 0.0, (5, 5)), blur_px=1.5
    )
    assert pasted.image[20, 14].tolist() == pytest.approx([100 * 0.37] * 3, abs=6)
    assert pasted.image[20, 20].tolist() == [200] * 3


def test_a_donor_too_thin_to_be_seen_is_nowhere() -> None:
    outline = np.zeros((40, 40), np.bool_)
    outline[::8, ::8] = True
    pasted = paste_donor(
        make_host((20, 21)), Donor(0, "x", np.zeros((40, 40, 3), np.uint8), outline), Placement(0.25, 0, (0, 0))
    )
    assert not pasted.painted.any()
    assert (pasted.image == HOST_VALUE).all()


@pytest.mark.parametrize("host", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32)])
def test_what_is_no_image_is_refused(host: NDArray[np.generic]) -> None:
    with pytest.raises(ShapeError, match=r"expected a non-empty \(H, W, 3\) uint8 RGB image"):
        paste_donor(host, make_donor((3, 3)), Placement(1.0, 0.0, (0, 0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side_share": (0.0, 0.7)}, "side_share: expected 0 < smallest <= largest <= 1, got 0 and 0.7"),
        ({"side_share": (0.5, 0.4)}, "side_share: expected 0 < smallest <= largest <= 1, got 0.5 and 0.4"),
        ({"angle_degrees": (10.0, -10.0)}, r"angle_degrees: expected \[smallest, largest\], got \[10.0, -10.0\]"),
        ({"blur_px": -1.0}, "blur_px: expected 0 or more pixels, got -1"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PasteSettings(**options)


def test_the_released_settings_are_the_defaults() -> None:
    assert PasteSettings() == PasteSettings(angle_degrees=(-90.0, 90.0), side_share=(0.3, 0.7), blur_px=0.0)


def test_a_contact_sheet_lays_images_out_in_frames_of_their_colour() -> None:
    images = [np.full((10, 20, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, [0, None, 79], columns=2, cell_px=20)
    assert (sheet.shape, sheet.dtype) == ((2 * 28, 2 * 28, 3), np.uint8)
    assert (sheet[9:19, 4:24] == 10).all()
    assert (sheet[9:19, 32:52] == 20).all()
    assert (sheet[37:47, 4:24] == 30).all()
    assert (sheet[5:9, :28] == label_palette()[1]).all()
    assert (sheet[33:37, :28] == label_palette()[80]).all()
    assert (sheet[:28, 28:32] == 255).all(), "no key, no frame"
    assert (sheet[28:, 28:] == 255).all(), "no fourth image"
    assert [int(image[0, 0, 0]) for image in images] == [10, 20, 30]


def test_a_contact_sheet_shrinks_large_images_and_keeps_small_ones() -> None:
    sheet = contact_sheet([np.zeros((200, 100, 3), np.uint8), np.zeros((3, 4, 3), np.uint8)], [None, None], cell_px=50)
    assert sheet.shape == (58, 6 * 58, 3)
    assert ((sheet == 0).all(axis=2)[:, :58]).sum() == 50 * 25
    assert ((sheet == 0).all(axis=2)[:, 58:]).sum() == 3 * 4


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ShapeError, match="needs images and as many keys, got 0 and 0"):
        contact_sheet([], [])
    with pytest.raises(ShapeError, match="needs images and as many keys, got 1 and 2"):
        contact_sheet([make_host((3, 3))], [0, 1])
