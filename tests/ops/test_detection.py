import contextlib
import io
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weakseg.errors import ShapeError
from weakseg.ops.detection import DetectionResult, DetectionScores
from weakseg.ops.instances import Instances, InstanceTruth

SIZE_HW = (5, 20)
Box = tuple[int, int, int, int]
"""Top, left, bottom, right."""


def draw(boxes: Sequence[Box], size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    masks = np.zeros((len(boxes), *size_hw), np.bool_)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def found(*entries: tuple[Box, int, float], size_hw: tuple[int, int] = SIZE_HW) -> Instances:
    return Instances(
        masks=draw([box for box, _, _ in entries], size_hw),
        keys=np.array([key for _, key, _ in entries], np.int64),
        scores=np.array([score for _, _, score in entries], np.float32),
    )


def true(*entries: tuple[Box, int], crowd: Sequence[int] = (), void: Box = (0, 0, 0, 0)) -> InstanceTruth:
    return InstanceTruth(
        masks=draw([box for box, _ in entries]),
        keys=np.array([key for _, key in entries], np.int64),
        crowd=np.isin(np.arange(len(entries)), crowd),
        void=draw([void])[0],
    )


def score(*images: tuple[Instances, InstanceTruth], num_classes: int = 1) -> DetectionResult:
    scores = DetectionScores(num_classes)
    for number, (prediction, truth) in enumerate(images):
        scores.update(str(number), prediction, truth)
    result = scores.result()
    assert result is not None
    return result


A, B, C = (0, 0, 2, 4), (0, 6, 2, 10), (3, 0, 5, 4)


def test_a_perfect_detection_scores_one() -> None:
    result = score((found((A, 0, 0.3)), true((A, 0))))
    for value in (*result.ap50, *result.ap75, *result.ap, result.mean_ap50, result.mean_ap75, result.mean_ap):
        assert value == pytest.approx(1.0)
    assert (result.support.tolist(), result.images) == ([1], 1)


def test_a_missed_object_halves_the_precision() -> None:
    # Recall ends at 1/2: of the recalls 0, 0.01, ..., 1 the first 51 have precision 1 and the others 0.
    result = score((found((A, 0, 0.9)), true((A, 0), (B, 0))))
    assert result.ap50.tolist() == pytest.approx([51 / 101])
    assert result.support.tolist() == [2]


def test_a_duplicate_after_the_last_object_costs_nothing_and_one_before_costs_precision() -> None:
    after = score((found((A, 0, 0.9), (B, 0, 0.8), (A, 0, 0.7)), true((A, 0), (B, 0))))
    assert after.ap50.tolist() == pytest.approx([1.0])
    # Right, duplicate, right: precision 1 up to recall 1/2 (51 recalls), then 2/3 (50 recalls).
    before = score((found((A, 0, 0.9), (B, 0, 0.7), (A, 0, 0.8)), true((A, 0), (B, 0))))
    assert before.ap50.tolist() == pytest.approx([(51 + 50 * 2 / 3) / 101])


def test_a_surer_false_detection_halves_the_precision() -> None:
    assert score((found((A, 0, 0.5), (C, 0, 0.9)), true((A, 0)))).ap50.tolist() == pytest.approx([0.5])
    assert score((found((A, 0, 0.9), (C, 0, 0.5)), true((A, 0)))).ap50.tolist() == pytest.approx([1.0])


def test_the_iou_decides_at_which_limits_a_detection_is_right() -> None:
    # Four of five columns: an IoU of 0.8 reaches the limits 0.5, 0.55, ..., 0.8: seven of ten.
    result = score((found(((0, 0, 5, 4), 0, 1.0)), true(((0, 0, 5, 5), 0))))
    assert result.ap50.tolist() == pytest.approx([1.0])
    assert result.ap75.tolist() == pytest.approx([1.0])
    assert result.ap.tolist() == pytest.approx([0.7])
    # Three of five: 0.6 reaches three limits and not 0.75.
    result = score((found(((0, 0, 5, 3), 0, 1.0)), true(((0, 0, 5, 5), 0))))
    assert (result.mean_ap50, result.mean_ap75, result.mean_ap) == pytest.approx((1.0, 0.0, 0.3))


def test_without_detections_the_score_is_zero() -> None:
    result = score((Instances.none(SIZE_HW), true((A, 0))))
    assert (result.ap50.tolist(), result.mean_ap) == ([0.0], 0.0)


def test_classes_do_not_mix_and_those_without_objects_are_left_out_of_the_mean() -> None:
    images = (found((A, 0, 1.0), (B, 1, 1.0), (C, 2, 1.0)), true((A, 0), (B, 2)))
    result = score(images, num_classes=4)
    np.testing.assert_allclose(result.ap50, [1.0, np.nan, 0.0, np.nan])
    assert result.mean_ap50 == pytest.approx(0.5)
    assert result.support.tolist() == [1, 0, 1, 0]


def test_without_a_true_object_there_is_no_result() -> None:
    scores = DetectionScores(3)
    assert scores.result() is None
    scores.update("a", found((A, 0, 1.0)), true())
    scores.update("b", found((A, 0, 1.0)), true((A, 0), crowd=[0]))
    assert scores.result() is None
    assert scores.images == 2


def test_detections_in_an_image_without_objects_are_false() -> None:
    empty = (found((A, 0, 0.9)), true())
    assert score((found((A, 0, 0.5)), true((A, 0))), empty).ap50.tolist() == pytest.approx([0.5])


def test_eighty_classes_are_scored() -> None:
    result = score((found((A, 79, 1.0), (B, 0, 1.0)), true((A, 79), (B, 0))), num_classes=80)
    assert result.ap.shape == (80,)
    assert np.isnan(result.ap).sum() == 78
    assert result.ap[[0, 79]].tolist() == pytest.approx([1.0, 1.0])


def test_one_pixel_is_found() -> None:
    pixel = (2, 3, 3, 4)
    assert score((found((pixel, 0, 1.0)), true((pixel, 0)))).mean_ap == pytest.approx(1.0)


def test_a_true_object_without_a_pixel_is_missed() -> None:
    result = score((found((A, 0, 1.0)), true((A, 0), ((0, 0, 0, 0), 0))))
    assert result.ap50.tolist() == pytest.approx([51 / 101])


def test_a_detection_in_a_crowd_of_its_class_is_neither_right_nor_wrong() -> None:
    crowd = ((0, 5, 5, 20), 0)
    surer_in_crowd = found((B, 0, 0.9), (A, 0, 0.5))
    assert score((surer_in_crowd, true((A, 0), crowd, crowd=[1]))).ap50.tolist() == pytest.approx([1.0])
    other_class = true((A, 0), ((0, 5, 5, 20), 1), crowd=[1])
    result = score((surer_in_crowd, other_class), num_classes=2)
    assert result.ap50[0] == pytest.approx(0.5)
    assert result.support.tolist() == [1, 0]


def test_void_pixels_count_for_nothing() -> None:
    # The detection covers the object and as much void; another one lies in void alone.
    detections = found(((0, 0, 5, 4), 0, 0.5), ((1, 3, 3, 4), 0, 0.9))
    objects = ((0, 0, 5, 2), 0)
    assert score((detections, true(objects, void=(0, 2, 5, 5)))).ap.tolist() == pytest.approx([1.0])
    assert score((detections, true(objects))).ap50.tolist() == pytest.approx([0.5])


def test_only_the_surest_detections_of_a_class_count() -> None:
    scores = DetectionScores(1)
    scores.update("a", found((A, 0, 0.9), (B, 0, 0.8)), true((A, 0), (B, 0)))
    limited = scores.result(max_detections=1)
    assert limited is not None
    assert limited.ap50.tolist() == pytest.approx([51 / 101])


def test_nothing_is_printed_or_modified() -> None:
    prediction, truth = found((A, 0, 1.0)), true((A, 0), void=B)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        score((prediction, truth))
    assert printed.getvalue() == ""
    np.testing.assert_array_equal(prediction.masks, draw([A]))
    np.testing.assert_array_equal(truth.masks, draw([A]))


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)), cut=st.integers(0, 5))
def test_neither_order_nor_processes_change_the_result(order: list[int], cut: int) -> None:
    images = {
        0: (found((A, 0, 1.0)), true((A, 0))),
        1: (found((C, 0, 1.0)), true((A, 0))),  # all scores are equal
        2: (found((A, 0, 1.0), (B, 1, 1.0)), true((C, 1))),
        3: (found((B, 0, 1.0)), true((B, 0), (C, 1))),
        4: (Instances.none(SIZE_HW), true((B, 0))),
    }
    expected = score(*images.values(), num_classes=2)
    parts = DetectionScores(2), DetectionScores(2)
    for place, number in enumerate(order):
        parts[place >= cut].update(str(number), *images[number])
    joined, other = pickle.loads(pickle.dumps(parts))
    joined.merge(other)
    result = joined.result()
    np.testing.assert_array_equal(result.ap, expected.ap)
    np.testing.assert_array_equal(result.support, expected.support)
    assert (result.images, other.images) == (5, 5 - cut)


def test_what_does_not_fit_is_refused() -> None:
    scores = DetectionScores(2)
    with pytest.raises(ShapeError, match=r"image a: detections \(4, 20\) and truth \(5, 20\) differ"):
        scores.update("a", Instances.none((4, 20)), true())
    with pytest.raises(ShapeError, match=r"image a: the prediction holds class 2, expected 0..1"):
        scores.update("a", found((A, 2, 1.0)), true())
    with pytest.raises(ShapeError, match=r"image a: the truth holds class 3, expected 0..1"):
        scores.update("a", Instances.none(SIZE_HW), true((A, 3)))
    scores.update("a", Instances.none(SIZE_HW), true())
    with pytest.raises(ShapeError, match="image a was counted before"):
        scores.update("a", Instances.none(SIZE_HW), true())
    with pytest.raises(ShapeError, match="share 1 images, such as a"):
        scores.merge(scores)
    with pytest.raises(ShapeError, match="cannot merge scores of 3 classes into those of 2"):
        scores.merge(DetectionScores(3))
    for count in (0, 255):
        with pytest.raises(ShapeError, match=f"1 to 254 classes, got {count}"):
            DetectionScores(count)
