import numpy as np

from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.cuts import Cuts


def test_everything_but_background_counts_at_every_threshold() -> None:
    masks = np.array([[[1, 2, 0], [0, 3, 0]], [[0, 2, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.uint8)
    before = masks.copy()
    cuts = Cuts(np.zeros((2, 3, 3), np.uint8), (0, 1, 2), np.zeros((2, 3), np.float32), (0.1, 0.2, 0.5), masks, masks)
    areas = measure_areas(cuts)
    np.testing.assert_allclose(areas, [0.5, 1 / 6, 0.0])
    assert areas.dtype == np.float64
    np.testing.assert_array_equal(masks, before)


def test_an_image_without_a_tag_has_no_foreground() -> None:
    masks = np.zeros((1, 1, 4), np.uint8)
    cuts = Cuts(np.zeros((1, 4, 3), np.uint8), (), np.zeros((1, 4), np.float32), (0.5,), masks, masks)
    np.testing.assert_array_equal(measure_areas(cuts), [0.0])
