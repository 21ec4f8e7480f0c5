"""What critters are drawn from: shapes and their boxes, noise and markings."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.data.synthetic.shapes import Box, Canvas, Capsule, ColourField, Ellipse, Shape, enclosing_box
from weakseg.data.synthetic.textures import is_marked, value_noise

coordinate = st.floats(-20, 60)
radius = st.floats(0.5, 30)
ellipses = st.builds(Ellipse, st.tuples(coordinate, coordinate), st.tuples(radius, radius), st.floats(-4, 4))
capsules = st.builds(
    lambda y, x, run, r: Capsule((y, x), (y + run[0], x + run[1]), r),
    coordinate,
    coordinate,
    st.tuples(st.floats(0.5, 20), st.floats(-20, 20)),
    radius,
)


@settings(max_examples=60, deadline=None)
@given(shape=st.one_of(ellipses, capsules))
def test_enclosing_box_holds_every_pixel_that_is_painted(shape: Shape) -> None:
    canvas = Box(0, 0, 31, 45)
    painted = shape.depth(canvas) > -0.499  # rounding of float32 at the very edge
    box = enclosing_box((shape,), (31, 45))
    painted[box.slices] = False
    assert not painted.any()


@settings(max_examples=30, deadline=None)
@given(shape=st.one_of(ellipses, capsules))
def test_painting_inside_the_box_equals_painting_everywhere(shape: Shape) -> None:
    canvas = Canvas(np.full((31, 45, 3), 100, np.float32), np.zeros((31, 45), np.uint8), np.zeros((31, 45), np.uint8))
    whole = Box(0, 0, 31, 45)
    canvas.paint(shape, ColourField(whole, np.full((31, 45, 3), 200, np.float32)), instance=3, part=2)
    depth = shape.depth(whole)
    expected = 100 + 100 * np.clip(depth + 0.5, 0, 1)
    np.testing.assert_allclose(canvas.image, np.broadcast_to(expected[..., None], (31, 45, 3)), atol=0.1)
    np.testing.assert_array_equal(canvas.instances, np.where(depth > 0, 3, 0))
    np.testing.assert_array_equal(canvas.parts, np.where(depth > 0, 2, 0))


def test_a_shape_off_the_canvas_paints_nothing() -> None:
    canvas = Canvas(np.zeros((5, 7, 3), np.float32), np.zeros((5, 7), np.uint8), np.zeros((5, 7), np.uint8))
    canvas.paint(
        Ellipse((-30, 2), (4, 4), 0), ColourField(Box(0, 0, 5, 7), np.ones((5, 7, 3), np.float32)), instance=1, part=1
    )
    assert not canvas.image.any()
    assert not canvas.instances.any()


def test_circle_and_capsule_depths_by_hand() -> None:
    circle = Ellipse((2, 3), (2, 2), 0.7).depth(Box(0, 0, 5, 7))
    np.testing.assert_allclose(circle[2], [-1, 0, 1, 2, 1, 0, -1], atol=1e-5)
    line = Capsule((1, 1), (1, 4), 1).depth(Box(0, 0, 3, 7))
    np.testing.assert_allclose(line[1], [0, 1, 1, 1, 1, 0, -1], atol=1e-5)
    np.testing.assert_allclose(line[0], [1 - 2**0.5, 0, 0, 0, 0, 1 - 2**0.5, 1 - 5**0.5], atol=1e-5)


def test_noise_is_centred_bounded_and_as_smooth_as_its_cells() -> None:
    coarse, fine = (
        value_noise(np.random.default_rng(0), (97, 131), cell_hw=(cell, cell), octaves=1) for cell in (16, 2)
    )
    for noise in (coarse, fine):
        assert noise.dtype == np.float32
        assert np.abs(noise).max() <= 1.6
        assert abs(noise.mean()) < 0.2
    assert np.abs(np.diff(coarse)).mean() * 4 < np.abs(np.diff(fine)).mean()


def test_noise_of_one_pixel_and_of_cells_finer_than_a_pixel_is_defined() -> None:
    noise = value_noise(np.random.default_rng(0), (1, 1), cell_hw=(0.1, 500.0), octaves=3)
    assert noise.shape == (1, 1)
    assert np.isfinite(noise).all()


def test_markings_lie_where_they_should() -> None:
    u = np.array([[0.0, 0.5, 0.9]], np.float32)
    v = np.zeros_like(u)
    np.testing.assert_array_equal(is_marked("ring", u, v), [[False, True, False]])
    # A stripe every 1 / 2.2 radii, constant across the head.
    np.testing.assert_array_equal(is_marked("stripe", u, v), is_marked("stripe", u, v + 0.3))
    np.testing.assert_array_equal(is_marked("dots", u, v), [[False, False, False]])
    assert is_marked("dots", np.float32([[0.25]]), np.float32([[0.25]])).all()
