from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.instances import InstanceTruth
from weakseg.ops.objects import count_objects, find_objects, find_size_bins

CODES = {".": 0, "x": 255} | {str(digit): digit for digit in range(1, 10)}


def labels(text: str) -> np.ndarray:
    """A digit is a label, `.` background, `x` void."""
    return np.array([[CODES[letter] for letter in line] for line in text.split()])


def outline(regions: list[tuple[int, np.ndarray]], *, crowd: tuple[int, ...] = ()) -> InstanceTruth:
    return InstanceTruth(
        masks=np.stack([mask for _, mask in regions]),
        keys=np.array([key for key, _ in regions], np.int64),
        crowd=np.isin(np.arange(len(regions)), crowd),
        void=np.zeros_like(regions[0][1]),
    )


def test_without_outlines_an_object_is_a_connected_region_of_one_class() -> None:
    objects = find_objects(labels("1..2 .1.2 xx12"))
    assert objects.labels.tolist() == [1, 2]
    assert objects.areas_px.tolist() == [3, 3]
    assert objects.numbers.tolist() == [[1, 0, 0, 2], [0, 1, 0, 2], [0, 0, 1, 2]]
    assert objects.numbers.dtype == np.int32


def test_regions_apart_are_two_objects() -> None:
    objects = find_objects(labels("11.1 11.1 ...."))
    assert objects.labels.tolist() == [1, 1]
    assert sorted(objects.areas_px.tolist()) == [2, 4]


def test_outlined_objects_that_touch_are_told_apart() -> None:
    truth = labels("1111 1111")
    left = np.array([[True, True, False, False]] * 2)
    objects = find_objects(truth, instances=outline([(0, left), (0, ~left)]))
    assert objects.numbers.tolist() == [[1, 1, 2, 2]] * 2
    assert objects.areas_px.tolist() == [4, 4]


def test_the_first_of_overlapping_outlines_has_the_pixel_and_a_hidden_object_is_none() -> None:
    truth = labels("111.")
    first, second = np.array([[True, True, False, False]]), np.array([[False, True, True, True]])
    objects = find_objects(truth, instances=outline([(0, first), (0, second), (0, first)]))
    assert objects.numbers.tolist() == [[1, 1, 2, 0]]
    assert len(objects) == 2


def test_pixels_of_a_crowd_or_of_another_class_are_parted_into_regions() -> None:
    truth = labels("11.2.1")
    whole = np.ones((1, 6), np.bool_)
    objects = find_objects(truth, instances=outline([(0, whole), (2, whole)], crowd=(0,)))
    assert objects.labels.tolist() == [1, 1, 2]
    assert objects.areas_px.tolist() == [2, 1, 1]


def test_an_image_without_objects_has_none() -> None:
    truth = labels("..x")
    objects = find_objects(truth)
    assert len(objects) == 0
    counts = count_objects(np.ones((1, 3), np.uint8), truth, objects)
    assert counts.hits_px.shape == counts.extras_px.shape == (0,)


def test_an_excess_pixel_counts_for_the_nearest_object_of_its_class() -> None:
    truth = labels("1.....11 1...2.11")
    prediction = labels("11...111 11..1.11")
    objects = find_objects(truth)
    assert objects.labels.tolist() == [1, 1, 2]
    counts = count_objects(prediction, truth, objects)
    assert counts.hits_px.tolist() == [2, 4, 0]
    assert counts.extras_px.tolist() == [2, 2, 0]


def test_void_and_other_classes_pixels_are_no_excess() -> None:
    truth = labels("11xx.")
    counts = count_objects(labels("1111x"), truth, find_objects(truth))
    assert counts.hits_px.tolist() == [2]
    assert counts.extras_px.tolist() == [0]


def test_a_class_that_the_image_lacks_counts_for_no_object() -> None:
    truth = labels("1...")
    counts = count_objects(labels("1.33"), truth, find_objects(truth))
    assert (counts.hits_px.tolist(), counts.extras_px.tolist()) == ([1], [0])


MAPS = arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 3, 255]))


@settings(max_examples=50, deadline=None)
@given(MAPS, MAPS)
def test_objects_of_a_class_add_up_to_its_pixels(prediction: np.ndarray, truth: np.ndarray) -> None:
    before = prediction.copy(), truth.copy()
    objects = find_objects(truth)
    counts = count_objects(prediction, truth, objects)
    np.testing.assert_array_equal((objects.numbers > 0), (truth != 0) & (truth != 255))
    for label in np.unique(objects.labels):
        own = objects.labels == label
        assert objects.areas_px[own].sum() == (truth == label).sum()
        assert counts.hits_px[own].sum() == ((truth == label) & (prediction == label)).sum()
        assert counts.extras_px[own].sum() == ((truth != label) & (truth != 255) & (prediction == label)).sum()
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(truth, before[1])


def test_a_share_on_an_edge_falls_into_the_upper_bin() -> None:
    bins = find_size_bins(np.array([3, 4, 15, 16, 100]), image_px=100, edges=(0.04, 0.16))
    assert bins.tolist() == [0, 1, 1, 2, 2]
    assert find_size_bins(np.array([1, 99]), image_px=100, edges=()).tolist() == [0, 0]


@pytest.mark.parametrize("edges", [(0.2, 0.1), (0.1, 0.1), (0.0,), (1.0,), (float("nan"),)])
def test_edges_ascend_between_0_and_1(edges: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="expected shares of the image, ascending between 0 and 1"):
        find_size_bins(np.array([1]), image_px=10, edges=edges)


def test_maps_of_other_sizes_are_refused() -> None:
    truth = labels("11.")
    with pytest.raises(ShapeError, match="must be of one size"):
        count_objects(np.zeros((3, 1), np.uint8), truth, find_objects(truth))
    with pytest.raises(ShapeError, match=r"instances of an image \(2, 2\) do not fit labels \(1, 3\)"):
        find_objects(truth, instances=outline([(0, np.ones((2, 2), np.bool_))]))
    with pytest.raises(ShapeError, match="expected integer labels"):
        find_objects(np.zeros((2, 3)))
