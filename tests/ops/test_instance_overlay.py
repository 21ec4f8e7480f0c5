import numpy as np
import pytest

from weakseg.errors import ShapeError
from weakseg.ops.instance_overlay import instance_colours, overlay_instances
from weakseg.ops.instances import Instances


def make_instances(*boxes: tuple[int, int, int, int], size_hw: tuple[int, int], scores: list[float]) -> Instances:
    masks = np.zeros((len(boxes), *size_hw), np.bool_)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return Instances(masks, np.zeros(len(boxes), np.int64), np.array(scores, np.float32))


def test_every_instance_has_a_colour_of_its_own() -> None:
    colours = instance_colours(200)
    assert (colours.shape, colours.dtype) == ((200, 3), np.uint8)
    assert len({tuple(colour) for colour in colours[:60].tolist()}) == 60
    np.testing.assert_array_equal(colours[:7], instance_colours(7))
    assert instance_colours(0).shape == (0, 3)
    assert instance_colours(1).tolist() == [[255, 64, 64]]


def test_colours_that_follow_each_other_are_far_apart() -> None:
    colours = instance_colours(40).astype(int)
    assert (np.abs(colours[1:] - colours[:-1]).sum(axis=1) > 150).all()


def test_an_instance_is_mixed_with_the_image_inside_its_outline() -> None:
    image = np.full((5, 7, 3), 100, np.uint8)
    painted = overlay_instances(image, make_instances((1, 1, 4, 5), size_hw=(5, 7), scores=[1.0]), opacity=0.25)
    assert (painted.shape, painted.dtype) == ((5, 7, 3), np.uint8)
    colour = instance_colours(1)[0]
    inner = np.zeros((5, 7), bool)
    inner[2, 2:4] = True
    mask = np.zeros((5, 7), bool)
    mask[1:4, 1:5] = True
    assert (painted[mask & ~inner] == colour).all()
    np.testing.assert_array_equal(painted[inner], [np.rint(0.75 * 100 + 0.25 * colour)] * 2)
    assert (painted[~mask] == 100).all()
    assert (image == 100).all()


def test_touching_instances_keep_an_outline_between_them() -> None:
    image = np.zeros((5, 9, 3), np.uint8)
    painted = overlay_instances(
        image, make_instances((0, 0, 5, 4), (0, 4, 5, 9), size_hw=(5, 9), scores=[0.5, 1.0]), opacity=0.0
    )
    first, second = instance_colours(2)
    assert (painted[:, 3] == first).all()
    assert (painted[:, 4] == second).all()
    assert not painted[1:4, 1:3].any()


@pytest.mark.parametrize(("scores", "top"), [([0.2, 0.9], 1), ([0.9, 0.2], 0)])
def test_the_surer_of_two_instances_lies_on_top(scores: list[float], top: int) -> None:
    image = np.zeros((3, 5, 3), np.uint8)
    instances = make_instances((0, 0, 3, 4), (0, 2, 3, 5), size_hw=(3, 5), scores=scores)
    assert overlay_instances(image, instances)[0, 3].tolist() == instance_colours(2)[top].tolist()


def test_one_pixel_is_all_outline() -> None:
    painted = overlay_instances(
        np.zeros((3, 4, 3), np.uint8), make_instances((1, 2, 2, 3), size_hw=(3, 4), scores=[1.0])
    )
    assert painted[1, 2].tolist() == instance_colours(1)[0].tolist()
    assert painted.any(axis=2).sum() == 1


def test_an_image_without_instances_is_copied() -> None:
    image = np.full((3, 5, 3), 7, np.uint8)
    painted = overlay_instances(image, Instances.none((3, 5)))
    np.testing.assert_array_equal(painted, image)
    painted[:] = 0
    assert (image == 7).all()


def test_instances_are_brought_to_the_size_of_a_thumbnail() -> None:
    instances = make_instances((0, 0, 40, 30), (1, 79, 2, 80), size_hw=(40, 80), scores=[1.0, 0.5])
    painted = overlay_instances(np.zeros((10, 20, 3), np.uint8), instances, opacity=1.0)
    first = instance_colours(2)[0]
    assert (painted[:, :7] == first).all()
    assert not painted[:, 8:].any()  # the second one, a single pixel, has vanished


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(H, W, 3\) uint8"):
        overlay_instances(np.zeros((3, 5), np.uint8), Instances.none((3, 5)))
    with pytest.raises(ShapeError, match=r"opacity is a share within 0..1, got 1.5"):
        overlay_instances(np.zeros((3, 5, 3), np.uint8), Instances.none((3, 5)), opacity=1.5)
