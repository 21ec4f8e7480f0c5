import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weakseg.errors import ShapeError
from weakseg.ops.metrics import ConfusionMatrix, SweepResult, ThresholdSweep
from weakseg.refine.masks import seed_to_mask

TRUTH = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
PREDICTION = np.array([[0, 1, 1], [255, 2, 1]], np.uint8)


def confuse(*pairs: tuple[NDArray[np.integer], NDArray[np.integer]], num_labels: int) -> ConfusionMatrix:
    confusion = ConfusionMatrix(num_labels)
    for prediction, truth in pairs:
        confusion.update(prediction, truth)
    return confusion


def test_scores_by_hand() -> None:
    result = confuse((PREDICTION, TRUTH), num_labels=4).result()
    # Void is left out; the prediction of 255 misses a pixel of label 1 and is nobody's false positive.
    np.testing.assert_array_equal(result.iou, [1 / 2, 1 / 3, 1.0, np.nan])
    np.testing.assert_array_equal(result.precision, [1.0, 1 / 2, 1.0, np.nan])
    np.testing.assert_array_equal(result.recall, [1 / 2, 1 / 2, 1.0, np.nan])
    assert result.mean_iou == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert result.pixel_accuracy == pytest.approx(3 / 5)
    assert result.support.tolist() == [2, 2, 1, 0]
    assert result.support.dtype == np.int64
    assert result.images == 1


def test_images_are_counted_together_and_not_averaged() -> None:
    large = (np.ones((3, 3), np.uint8), np.ones((3, 3), np.uint8))
    small = (np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8))
    result = confuse(large, small, num_labels=2).result()
    assert result.iou.tolist() == [0.0, 0.9]
    assert result.images == 2


def test_label_only_predicted_scores_zero_and_absent_label_is_nan() -> None:
    result = confuse((np.array([[1]]), np.array([[0]])), num_labels=3).result()
    np.testing.assert_array_equal(result.iou, [0.0, 0.0, np.nan])
    assert result.mean_iou == 0.0
    np.testing.assert_array_equal(result.recall, [0.0, np.nan, np.nan])


def test_nothing_counted_gives_nan() -> None:
    for confusion in (
        ConfusionMatrix(3),
        confuse((np.zeros((2, 3), int), np.full((2, 3), 255)), num_labels=3),
    ):
        result = confusion.result()
        assert np.isnan(result.mean_iou)
        assert np.isnan(result.pixel_accuracy)
        assert np.isnan(result.iou).all()
        assert not result.support.any()


@pytest.mark.parametrize("num_labels", [2, 4, 81, 255])
def test_perfect_prediction_scores_one(num_labels: int) -> None:
    truth = np.arange(num_labels, dtype=np.uint8)[None].repeat(3, axis=0)
    result = confuse((truth, truth), num_labels=num_labels).result()
    assert result.mean_iou == 1.0
    assert result.pixel_accuracy == 1.0
    assert result.iou.shape == (num_labels,)


def test_merged_counts_are_those_of_one_pass_also_after_pickling() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 4, (5, 7)), rng.integers(0, 4, (5, 7))) for _ in range(4)]
    whole = confuse(*pairs, num_labels=4)
    merged = pickle.loads(pickle.dumps(confuse(*pairs[:1], num_labels=4)))
    other = confuse(*pairs[1:], num_labels=4)
    before = other.counts.copy()
    merged.merge(other)
    assert np.array_equal(merged.counts, whole.counts)
    assert merged.result().images == 4
    assert np.array_equal(other.counts, before)


def test_counts_of_other_labels_do_not_merge() -> None:
    with pytest.raises(ShapeError, match="cannot merge counts of 3 labels into those of 4"):
        ConfusionMatrix(4).merge(ConfusionMatrix(3))


def test_label_maps_are_not_modified() -> None:
    prediction, truth = PREDICTION.copy(), TRUTH.copy()
    confuse((prediction, truth), num_labels=3)
    assert np.array_equal(prediction, PREDICTION)
    assert np.array_equal(truth, TRUTH)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"prediction \(2, 3\) and truth \(3, 2\) differ in shape"),
        (np.zeros((1, 1)), np.zeros((1, 1), int), "prediction: expected integer labels, got float64"),
        (np.array([[3]]), np.array([[0]]), r"prediction: expected labels 0\.\.2 or 255, got \[3\]"),
        (np.array([[0]]), np.array([[-1]]), r"truth: expected labels 0\.\.2 or 255, got \[-1\]"),
        (np.array([[7]]), np.array([[255]]), r"prediction: expected labels 0\.\.2 or 255, got \[7\]"),
    ],
)
def test_wrong_label_maps_are_refused_and_not_counted(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], message: str
) -> None:
    confusion = ConfusionMatrix(3)
    with pytest.raises(ShapeError, match=message):
        confusion.update(prediction, truth)
    assert confusion.images == 0
    assert not confusion.counts.any()


@pytest.mark.parametrize("num_labels", [0, 256])
def test_number_of_labels_a_mask_cannot_hold_is_refused(num_labels: int) -> None:
    with pytest.raises(ShapeError, match=f"1 to 255 labels with the background, got {num_labels}"):
        ConfusionMatrix(num_labels)
    with pytest.raises(ShapeError, match=f"1 to 255 labels with the background, got {num_labels}"):
        ThresholdSweep(num_labels, [0.5])


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_iou_is_intersection_over_union_of_pixel_sets(num_labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    choices = [*range(num_labels), 255]
    prediction, truth = rng.choice(choices, (4, 5)), rng.choice(choices, (4, 5))
    result = confuse((prediction, truth), num_labels=num_labels).result()
    for label in range(num_labels):
        given_label, has_label = (prediction == label) & (truth != 255), truth == label
        union = (given_label | has_label).sum()
        expected = (given_label & has_label).sum() / union if union else np.nan
        np.testing.assert_equal(result.iou[label], expected)


def sweep(
    *images: tuple[NDArray[np.floating], tuple[int, ...], NDArray[np.integer]],
    num_labels: int,
    thresholds: list[float],
) -> ThresholdSweep:
    result = ThresholdSweep(num_labels, thresholds)
    for maps, keys, truth in images:
        result.update(maps, keys, truth)
    return result


def test_sweep_by_hand() -> None:
    maps = np.array([[[0.2, 0.5, 0.8, 0.9]]], np.float32)
    truth = np.array([[0, 1, 1, 255]], np.uint8)
    result = sweep((maps, (0,), truth), num_labels=2, thresholds=[0.1, 0.2, 0.5, 0.9]).result()
    # Labels of the first three pixels: 111, 011, 001, 000.
    np.testing.assert_allclose(result.iou, [[0, 2 / 3], [1, 1], [1 / 2, 1 / 2], [1 / 3, 0]])
    np.testing.assert_allclose(result.mean_iou, [1 / 3, 1, 1 / 2, 1 / 6])
    np.testing.assert_array_equal(result.precision, [2 / 3, 1, 1, np.nan])
    np.testing.assert_array_equal(result.recall, [1, 1, 1 / 2, 0])
    assert (result.best_index, result.best_threshold, result.best_mean_iou) == (1, 0.2, 1.0)
    assert result.support.tolist() == [1, 2]
    assert result.images == 1


def test_precision_and_recall_want_the_right_class() -> None:
    maps = np.array([[[0.9, 0.9]], [[0.1, 0.1]]])
    result = sweep((maps, (0, 1), np.array([[1, 2]])), num_labels=3, thresholds=[0.5]).result()
    assert result.precision.tolist() == [0.5]
    assert result.recall.tolist() == [0.5]


def test_lowest_threshold_wins_among_equals() -> None:
    maps = np.array([[[0.0, 1.0]]])
    result = sweep((maps, (0,), np.array([[0, 1]])), num_labels=2, thresholds=[0.2, 0.4, 0.6]).result()
    assert result.best_threshold == 0.2


def literal_sweep(
    images: list[tuple[NDArray[np.floating], tuple[int, ...], NDArray[np.integer]]],
    num_labels: int,
    thresholds: list[float],
) -> list[tuple[NDArray[np.float64], float, float]]:
    """Score one threshold after the other: IoU, foreground precision, foreground recall."""
    rows = []
    for threshold in thresholds:
        masks = [seed_to_mask(maps, keys, background_threshold=threshold) for maps, keys, _ in images]
        pairs = [(mask, truth) for mask, (_, _, truth) in zip(masks, images, strict=True)]
        iou = confuse(*pairs, num_labels=num_labels).result().iou
        mask, truth = (np.concatenate([np.ravel(pair[side]) for pair in pairs]) for side in (0, 1))
        right = ((mask == truth) & (truth > 0) & (truth < 255)).sum()
        given_class, has_class = ((mask > 0) & (truth < 255)).sum(), ((truth > 0) & (truth < 255)).sum()
        rows.append((iou, right / given_class if given_class else np.nan, right / has_class if has_class else np.nan))
    return rows


@settings(deadline=None, max_examples=60)
@given(
    num_classes=st.sampled_from([1, 3, 80]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    thresholds=st.lists(st.integers(0, 10), min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_sweep_equals_one_confusion_matrix_per_threshold(
    num_classes: int, dtype: type[np.floating], thresholds: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = [level / 10 for level in sorted(thresholds)]
    images = []
    for _ in range(int(rng.integers(1, 4))):
        height, width, count = (int(n) for n in (*rng.integers(1, 6, 2), rng.integers(0, min(num_classes, 3) + 1)))
        keys = tuple(int(key) for key in np.sort(rng.choice(num_classes, count, replace=False)))
        # Tenths on a grid of tenths, so that ties with the thresholds and between maps occur.
        maps = (rng.integers(0, 11, (count, height, width)) / 10).astype(dtype)
        truth = rng.choice([0, *(key + 1 for key in keys), num_classes, 255], (height, width))
        images.append((maps, keys, truth))
    result = sweep(*images, num_labels=num_classes + 1, thresholds=levels).result()
    assert result.iou.shape == (len(levels), num_classes + 1)
    for index, (iou, precision, recall) in enumerate(literal_sweep(images, num_classes + 1, levels)):
        np.testing.assert_allclose(result.iou[index], iou)
        np.testing.assert_allclose(result.precision[index], precision)
        np.testing.assert_allclose(result.recall[index], recall)


def test_images_without_tags_count_as_background() -> None:
    empty = np.zeros((0, 2, 3), np.float32)
    truth = np.array([[0, 0, 1], [0, 255, 0]])
    result = sweep((empty, (), truth), num_labels=3, thresholds=[0.0, 0.5]).result()
    np.testing.assert_array_equal(result.iou, [[4 / 5, 0, np.nan]] * 2)


def test_sweep_without_images_is_nan() -> None:
    result = ThresholdSweep(3, [0.1, 0.2]).result()
    assert np.isnan(result.mean_iou).all()
    assert np.isnan(result.best_mean_iou)
    assert result.best_index == 0
    assert result.images == 0


def test_merged_sweeps_are_those_of_one_pass_also_after_pickling() -> None:
    rng = np.random.default_rng(0)
    images = [(rng.random((2, 5, 7)), (0, 2), rng.integers(0, 4, (5, 7))) for _ in range(3)]
    thresholds = [0.2, 0.4, 0.8]
    whole = sweep(*images, num_labels=4, thresholds=thresholds).result()
    parts = [sweep(*chosen, num_labels=4, thresholds=thresholds) for chosen in (images[:1], images[1:])]
    first: ThresholdSweep = pickle.loads(pickle.dumps(parts[0]))
    first.merge(parts[1])
    merged: SweepResult = first.result()
    assert np.array_equal(merged.iou, whole.iou)
    assert np.array_equal(merged.support, whole.support)
    assert merged.images == 3


def test_sweeps_that_differ_do_not_merge() -> None:
    with pytest.raises(ShapeError, match="cannot merge sweeps"):
        ThresholdSweep(4, [0.1]).merge(ThresholdSweep(4, [0.2]))
    with pytest.raises(ShapeError, match="cannot merge sweeps"):
        ThresholdSweep(4, [0.1]).merge(ThresholdSweep(3, [0.1]))


@pytest.mark.parametrize("thresholds", [[float("nan")], [0.1, float("inf")]])
def test_thresholds_that_are_not_finite_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(ShapeError, match="thresholds: expected finite values"):
        ThresholdSweep(4, thresholds)


@pytest.mark.parametrize("thresholds", [[], [0.2, 0.1], [0.1, 0.1], [float("nan"), 0.1], [[0.1]]])
def test_thresholds_that_do_not_ascend_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(ShapeError, match="thresholds: expected one or more, strictly ascending"):
        ThresholdSweep(3, thresholds)


@pytest.mark.parametrize(
    ("keys", "truth", "message"),
    [
        ((2,), np.zeros((2, 3), int), r"keys: expected class indices below 2, got \[2\]"),
        ((0,), np.zeros((3, 2), int), r"maps \(1, 2, 3\) and truth \(3, 2\) must agree"),
        ((0,), np.full((2, 3), 3), r"truth: expected labels 0\.\.2 or 255, got \[3\]"),
    ],
)
def test_wrong_images_are_refused_and_not_counted(
    keys: tuple[int, ...], truth: NDArray[np.integer], message: str
) -> None:
    tried = ThresholdSweep(3, [0.5])
    with pytest.raises(ShapeError, match=message):
        tried.update(np.ones((1, 2, 3)), keys, truth)
    assert tried.result().images == 0
    assert not tried.result().support.any()
