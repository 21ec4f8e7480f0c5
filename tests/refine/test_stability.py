import numpy as np
import pytest

from weakseg.errors import ShapeError
from weakseg.refine.soft_labels import SoftMask
from weakseg.refine.stability import doubt_unstable, neighbouring_thresholds


@pytest.mark.parametrize(
    ("threshold", "within", "expected"),
    [
        (0.2, (2.0, 1.5), (0.1, 0.3)),
        (0.2, (1.0, 1.0), (0.2, 0.2)),
        (0.8, (1.6, 1.6), (0.5, 0.99)),
        (1.0, (2.0, 2.0), (0.5, 1.0)),
    ],
)
def test_the_neighbours_are_so_many_times_lower_and_higher(
    threshold: float, within: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert neighbouring_thresholds(threshold, within) == pytest.approx(expected)


def test_a_pixel_that_any_other_mask_labels_otherwise_loses_its_confidence() -> None:
    mask = SoftMask(np.array([[0, 1, 2], [1, 1, 0]], np.uint8), np.full((2, 3), 0.75, np.float32))
    lower = np.array([[1, 1, 2], [1, 1, 0]], np.uint8)
    higher = np.array([[0, 1, 0], [2, 1, 0]], np.uint8)
    found = doubt_unstable(mask, (lower, higher))
    np.testing.assert_array_equal(found.confidence, np.array([[0, 0.75, 0], [0, 0.75, 0.75]], np.float32))
    np.testing.assert_array_equal(found.labels, mask.labels)
    assert mask.confidence.min() == 0.75, "the mask that was given stays as it is"
    np.testing.assert_array_equal(doubt_unstable(mask, ()).confidence, mask.confidence)


def test_masks_of_another_size_are_named() -> None:
    mask = SoftMask(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match=r"expected masks of one size \(2, 3\), got \(3, 2\)"):
        doubt_unstable(mask, (np.zeros((3, 2), np.uint8),))
