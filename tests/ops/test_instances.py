import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.golden_weights import GOLDEN
from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.instances import Instances, InstanceTruth, cluster_centroids, find_centroids


def strip(*dx: float) -> np.ndarray:
    """Make a field of one row that points sideways only."""
    return np.stack([np.zeros(len(dx)), np.array(dx)])[:, None, :].astype(np.float32)


def field_to(centres: np.ndarray) -> np.ndarray:
    """Make the exact field in which the pixels of (2, H, W) point to their centres."""
    return (centres - np.indices(centres.shape[1:])).astype(np.float32)


def two_objects(height: int = 7, width: int = 11, border: int = 5) -> np.ndarray:
    """Return centres of two objects that touch along a column."""
    centres = np.zeros((2, height, width), int)
    centres[0] = height // 2
    centres[1] = np.where(np.arange(width) < border, border // 2, (border + width) // 2)
    return centres


def test_centroids_and_instances_are_the_recorded_ones() -> None:
    golden = np.load(GOLDEN / "instances.npz")
    displacement = golden["displacement"]
    centroids = find_centroids(displacement)
    np.testing.assert_array_equal(centroids, golden["centroids"])
    assert centroids.dtype == golden["centroids"].dtype == np.int32
    np.testing.assert_array_equal(cluster_centroids(centroids, displacement), golden["instance_map"])


def test_an_exact_field_leads_to_the_centres_at_once() -> None:
    centres = two_objects()
    field = field_to(centres)
    before = field.copy()
    np.testing.assert_array_equal(find_centroids(field, iterations=1), centres)
    np.testing.assert_array_equal(find_centroids(field), centres)
    np.testing.assert_array_equal(field, before)


def test_without_iterations_every_pixel_is_its_own_centroid() -> None:
    np.testing.assert_array_equal(find_centroids(field_to(two_objects()), iterations=0), np.indices((7, 11)))


def test_a_pixel_goes_on_from_where_the_first_step_led_it() -> None:
    # Pixel 0 jumps to 3, pixel 3 to 5, where nothing moves.
    field = strip(3, 0, 0, 2, 0, 0, 0)
    assert find_centroids(field, iterations=1)[1].tolist() == [[3, 1, 2, 5, 4, 5, 6]]
    assert find_centroids(field, iterations=2)[1].tolist() == [[5, 1, 2, 5, 4, 5, 6]]


def test_the_field_is_interpolated_between_pixels() -> None:
    # 0 -> 0.5, where the field is the mean of 0.5 and 0.1 -> 0.8. Taken from the nearest pixel it would be 0.5 or 0.1.
    assert find_centroids(strip(0.5, 0.1), iterations=2)[1].tolist() == [[1, 1]]
    corner = np.zeros((2, 2, 2))
    corner[0] = [[0.5, 0.1], [0.3, 0.1]]
    corner[1] = [[0.5, 0.0], [0.0, 0.0]]
    # From (0, 0) to (0.5, 0.5); there dy is the mean of all four, 0.25, and dx 0.125: (0.75, 0.625).
    assert find_centroids(corner, iterations=2)[:, 0, 0].tolist() == [1, 1]
    assert find_centroids(corner, iterations=1)[:, 0, 0].tolist() == [0, 0]


def test_halves_are_rounded_to_even() -> None:
    assert find_centroids(strip(0.5, 0.5, 0.5, 0.5, 0), iterations=1)[1].tolist() == [[0, 2, 2, 4, 4]]


def test_steps_end_at_the_border() -> None:
    field = np.zeros((2, 3, 4))
    field[0], field[1] = -99, 99
    assert find_centroids(field)[0].tolist() == [[0] * 4] * 3
    assert find_centroids(field)[1].tolist() == [[3] * 4] * 3


def test_a_step_past_the_border_goes_on_from_the_border() -> None:
    # Pixel 2 would leave to 5; from pixel 3, where it is stopped, it comes back.
    assert find_centroids(strip(0, 0, 3, -3), iterations=2)[1].tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_field_is_followed(dtype: type) -> None:
    field = field_to(two_objects()).astype(dtype)
    centroids = find_centroids(field)
    np.testing.assert_array_equal(centroids, two_objects())
    assert cluster_centroids(centroids, field).shape == (2, 7, 11)


def test_touching_objects_are_parted_where_the_field_changes() -> None:
    field = field_to(two_objects())
    parts = cluster_centroids(find_centroids(field), field)
    assert (parts.shape, parts.dtype) == ((2, 7, 11), np.bool_)
    np.testing.assert_array_equal(parts[0], np.broadcast_to(np.arange(11) < 5, (7, 11)))
    np.testing.assert_array_equal(parts[1], ~parts[0])


def test_a_field_of_zeros_makes_one_instance_of_everything() -> None:
    field = np.zeros((2, 3, 5), np.float32)
    assert cluster_centroids(find_centroids(field), field).all()
    assert cluster_centroids(find_centroids(field), field).shape == (1, 3, 5)


def test_an_image_of_one_pixel_is_one_instance() -> None:
    for value in (0.0, 9.0):  # with a centre and without
        field = np.full((2, 1, 1), value, np.float32)
        assert cluster_centroids(find_centroids(field), field).tolist() == [[[True]]]


def test_pixels_that_reach_no_centre_are_an_instance_of_their_own() -> None:
    field = strip(9, 9, 9, 9, 9, 0.5, 0)  # the last two pixels are a centre
    centroids = np.zeros((2, 1, 7), np.int32)
    centroids[1] = [1, 0, 1, 5, 5, 5, 6]
    parts = cluster_centroids(centroids, field)
    assert parts[:, 0].astype(int).tolist() == [[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]]


def test_a_centre_that_nobody_points_to_is_no_instance() -> None:
    field = strip(0, 9, 9, 0, 9)
    centroids = np.zeros((2, 1, 5), np.int32)
    centroids[1] = 3
    assert cluster_centroids(centroids, field).tolist() == [[[True] * 5]]


def test_centres_that_meet_at_a_corner_are_two() -> None:
    length = np.array([[0, 9], [9, 0]], np.float32)
    field = np.stack([length, np.zeros_like(length)])
    centroids = np.array([[[0, 0], [1, 1]], [[0, 0], [1, 1]]])
    assert cluster_centroids(centroids, field).tolist() == [
        [[True, True], [False, False]],
        [[False, False], [True] * 2],
    ]


@pytest.mark.parametrize(("threshold", "parts"), [(2.4, 2), (2.6, 1)])
def test_the_threshold_decides_what_is_a_centre(threshold: float, parts: int) -> None:
    field = strip(0, 2.5, 0)  # with a higher threshold one centre, else two with a gap
    centroids = np.zeros((2, 1, 3), np.int32)
    centroids[1] = [0, 2, 2]
    assert len(cluster_centroids(centroids, field, threshold=threshold)) == parts


def test_the_threshold_is_a_length_not_a_coordinate() -> None:
    field = np.full((2, 1, 2), 2.0, np.float32)  # 2.83 long
    field[:, 0, 1] = 0
    centroids = np.array([[[0, 0]], [[0, 1]]])
    assert len(cluster_centroids(centroids, field)) == 2
    assert len(cluster_centroids(centroids, field, threshold=2.9)) == 1


fields = arrays(
    np.float32,
    st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 7)),
    elements=st.floats(-9, 9, width=32),
)


@settings(max_examples=60, deadline=None)
@given(field=fields)
def test_every_pixel_belongs_to_exactly_one_instance(field: np.ndarray) -> None:
    centroids = find_centroids(field, iterations=20)
    assert (centroids >= 0).all()
    assert (centroids < np.array(field.shape[1:])[:, None, None]).all()
    parts = cluster_centroids(centroids, field)
    assert (parts.sum(axis=0) == 1).all()
    assert parts.any(axis=(1, 2)).all()


@settings(max_examples=40, deadline=None)
@given(field=fields, iterations=st.integers(0, 5))
def test_mirroring_the_field_mirrors_the_instances(field: np.ndarray, iterations: int) -> None:
    mirrored = field[:, :, ::-1] * np.array([1, -1], np.float32)[:, None, None]
    straight = find_centroids(np.round(field), iterations=iterations)  # whole steps: rounding is not symmetric
    turned = find_centroids(np.round(mirrored), iterations=iterations)[:, :, ::-1]
    np.testing.assert_array_equal(straight[0], turned[0])
    np.testing.assert_array_equal(straight[1], field.shape[2] - 1 - turned[1])


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4), (1, 2, 4, 5), (2, 0, 5)])
def test_fields_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"displacement field \(2, H, W\) with a pixel, got \("):
        find_centroids(np.zeros(shape, np.float32))


def test_fields_that_are_not_finite_floats_are_refused() -> None:
    with pytest.raises(ShapeError, match="not finite; did training diverge"):
        find_centroids(strip(0, np.nan))
    with pytest.raises(ShapeError, match="of floats, got int64"):
        find_centroids(np.zeros((2, 3, 4), np.int64))


def test_centroids_that_do_not_fit_are_refused() -> None:
    field = strip(0, 0, 0)
    with pytest.raises(ShapeError, match=r"integer centroids \(2, 1, 3\), got int64 \(2, 3, 1\)"):
        cluster_centroids(np.zeros((2, 3, 1), np.int64), field)
    with pytest.raises(ShapeError, match="got float64"):
        cluster_centroids(np.zeros((2, 1, 3)), field)
    for outside in (-1, 3):
        with pytest.raises(ShapeError, match="within the 1 x 3 pixels"):
            cluster_centroids(np.full((2, 1, 3), outside), field)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="iterations: expected 0 or more, got -1"):
        find_centroids(strip(0), iterations=-1)
    with pytest.raises(ConfigError, match="threshold: expected a length above 0, got 0"):
        cluster_centroids(np.zeros((2, 1, 1), int), strip(0), threshold=0)


def test_instances_come_one_by_one_with_class_and_score() -> None:
    masks = np.array([[[1, 0, 0]], [[1, 1, 0]]], np.bool_)
    instances = Instances(masks, np.array([79, 0]), np.array([1, 0.25], np.float32))
    assert len(instances) == 2
    assert instances.size_hw == (1, 3)
    assert [(mask.tolist(), key, score) for mask, key, score in instances] == [
        ([[True, False, False]], 79, 1.0),
        ([[True, True, False]], 0, 0.25),
    ]


def test_an_image_may_have_no_instances() -> None:
    instances = Instances.none((3, 5))
    assert (len(instances), instances.size_hw, list(instances)) == (0, (3, 5), [])


@pytest.mark.parametrize(
    ("masks", "keys", "scores", "text"),
    [
        (np.ones((1, 3), bool), [0], [1], r"expected masks \(K, H, W\) bool"),
        (np.ones((1, 2, 3), np.uint8), [0], [1], r"got \(1, 2, 3\) uint8"),
        (np.ones((1, 0, 3), bool), [0], [1], r"with a pixel, got \(1, 0, 3\)"),
        (np.ones((1, 2, 3), bool), [0, 1], [1], r"int64 keys \(1,\), one per mask, got int64 \(2,\)"),
        (np.ones((1, 2, 3), bool), [254], [1], r"class indices in 0..253, got \[254\]"),
        (np.ones((1, 2, 3), bool), [-1], [1], r"class indices in 0..253, got \[-1\]"),
        (np.ones((1, 2, 3), bool), [0], [1, 1], r"float32 scores \(1,\), got float32 \(2,\)"),
        (np.ones((1, 2, 3), bool), [0], [1.5], r"lie in 0..1, got \[1.5\]"),
        (np.ones((1, 2, 3), bool), [0], [np.nan], r"lie in 0..1, got \[nan\]"),
        (np.arange(12).reshape(2, 2, 3) > 5, [0, 1], [1, 1], r"these masks are empty: \[0\]"),
    ],
)
def test_what_are_no_instances_is_refused(masks: np.ndarray, keys: list[int], scores: list[float], text: str) -> None:
    with pytest.raises(ShapeError, match=text):
        Instances(masks, np.array(keys, np.int64), np.array(scores, np.float32))


def test_keys_and_scores_of_another_dtype_are_refused() -> None:
    masks = np.ones((1, 2, 3), np.bool_)
    with pytest.raises(ShapeError, match="got int32"):
        Instances(masks, np.zeros(1, np.int32), np.ones(1, np.float32))
    with pytest.raises(ShapeError, match="got float64"):
        Instances(masks, np.zeros(1, np.int64), np.ones(1))


def test_true_instances_may_be_empty_but_must_fit() -> None:
    masks, keys = np.zeros((2, 2, 3), np.bool_), np.array([0, 1])
    crowd, void = np.zeros(2, np.bool_), np.zeros((2, 3), np.bool_)
    truth = InstanceTruth(masks, keys, crowd, void)
    assert (len(truth), truth.size_hw) == (2, (2, 3))
    with pytest.raises(ShapeError, match=r"crowd \(2,\) bool, got \(1,\) bool"):
        InstanceTruth(masks, keys, crowd[:1], void)
    with pytest.raises(ShapeError, match=r"void \(2, 3\) bool, got \(3, 2\) bool"):
        InstanceTruth(masks, keys, crowd, void.T)
    with pytest.raises(ShapeError, match=r"class indices in 0..253"):
        InstanceTruth(masks, keys + 253, crowd, void)


def test_instances_are_resized_by_the_nearest_pixel() -> None:
    masks = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], bool)
    small = Instances(masks, np.array([3, 0], np.int64), np.array([1.0, 0.5], np.float32))
    large = small.resized((4, 6))
    assert large.masks[0].astype(int).tolist() == [[1, 1, 1, 0, 0, 0]] * 2 + [[0] * 6] * 2
    assert (large.keys.tolist(), large.scores.tolist()) == ([3, 0], [1.0, 0.5])
    back = large.resized((2, 2))
    assert back.masks.tolist() == masks.tolist()
    assert small.resized((2, 2)) is small


def test_an_instance_that_a_smaller_image_has_no_pixel_for_is_left_out() -> None:
    masks = np.zeros((2, 1, 9), bool)
    masks[0, 0, 0] = masks[1, 0, 3:6] = True
    found = Instances(masks, np.array([1, 2], np.int64), np.ones(2, np.float32)).resized((1, 3))
    assert found.keys.tolist() == [2]
    assert found.masks.astype(int).tolist() == [[[0, 1, 0]]]
