import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.data.export.made_split import make_instances
from weakseg.data.export.objects import divide_objects
from weakseg.ops.instances import Instances


def test_without_instances_objects_are_connected_parts_diagonals_included() -> None:
    labels = np.array(
        [
            [1, 0, 0, 2, 2],
            [0, 1, 0, 0, 0],
            [0, 0, 0, 1, 255],
        ],
        np.uint8,
    )
    objects = divide_objects(labels)
    assert objects.numbers.tolist() == [[1, 0, 0, 3, 3], [0, 1, 0, 0, 0], [0, 0, 0, 2, 0]]
    assert objects.keys.tolist() == [0, 0, 1]
    assert (objects.numbers.dtype, objects.keys.dtype) == (np.int32, np.int64)


def test_instances_divide_a_connected_area_and_take_what_is_nearest() -> None:
    labels = np.array([[1, 1, 1, 1, 1, 1, 0, 1]], np.uint8)
    left, right = np.zeros((2, 1, 8), bool)
    left[0, :2] = right[0, 4:] = True
    objects = divide_objects(labels, make_instances(left, right, keys=[0, 0], scores=[0.4, 0.9]))
    # The surer one is first; columns 2 and 3 go to the nearer one, and column 7 belongs to the right one.
    assert objects.numbers.tolist() == [[2, 2, 2, 1, 1, 1, 0, 1]]
    assert objects.keys.tolist() == [0, 0]


def test_of_overlapping_instances_the_surest_has_the_pixel() -> None:
    labels = np.array([[2, 2, 2]], np.uint8)
    wide, narrow = np.ones((1, 3), bool), np.array([[False, True, True]])
    for order in ([0, 1], [1, 0]):
        masks, scores = np.stack([wide, narrow])[order], np.array([0.3, 0.8], np.float32)[order]
        objects = divide_objects(labels, Instances(masks, np.array([1, 1]), scores))
        assert objects.numbers.tolist() == [[2, 1, 1]]


def test_instances_that_lie_on_no_pixel_of_their_class_are_no_objects() -> None:
    labels = np.array([[1, 1, 0, 2]], np.uint8)
    elsewhere = np.array([[False, False, True, True]])
    hidden, shown = np.array([[True, False, False, False]]), np.array([[True, True, False, False]])
    instances = make_instances(elsewhere, hidden, shown, keys=[0, 0, 0], scores=[0.9, 0.2, 0.5])
    objects = divide_objects(labels, instances)
    assert objects.numbers.tolist() == [[1, 1, 0, 2]]
    assert objects.keys.tolist() == [0, 1]


def test_nothing_gives_no_objects() -> None:
    objects = divide_objects(np.array([[0, 255]], np.uint8), Instances.none((1, 2)))
    assert objects.numbers.tolist() == [[0, 0]]
    assert objects.keys.shape == (0,)


@given(
    arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, 80, 255])),
    arrays(np.bool_, (3, 5, 7)),
    st.lists(st.sampled_from([0, 1, 79]), min_size=3, max_size=3),
)
def test_every_pixel_of_a_class_belongs_to_one_object_of_that_class(
    labels: np.ndarray, masks: np.ndarray, keys: list[int]
) -> None:
    masks[:, 0, 0] = True
    instances = Instances(masks, np.array(keys, np.int64), np.array([0.5, 0.5, 0.1], np.float32))
    before = labels.copy()
    for objects in (divide_objects(labels), divide_objects(labels, instances)):
        np.testing.assert_array_equal(np.concatenate([[0], objects.keys + 1])[objects.numbers], labels % 255)
        assert set(np.unique(objects.numbers)) - {0} == set(range(1, len(objects.keys) + 1))
    np.testing.assert_array_equal(labels, before)
