from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weakseg.errors import ShapeError
from weakseg.ops.coverage import CoverageSweep
from weakseg.refine.masks import seed_to_mask

THRESHOLDS = (0.0, 0.25, 0.5)


def test_pixels_are_counted_at_every_threshold() -> None:
    sweep = CoverageSweep(THRESHOLDS, num_parts=2)
    maps = np.array([[[0.0, 0.2, 0.3, 0.9, 0.9]]], np.float32)
    truth = np.array([[2, 0, 2, 2, 255]], np.uint8)
    parts = np.array([[2, 0, 2, 1, 255]], np.uint8)
    sweep.update(maps, (1,), truth, parts)
    found = sweep.result()
    assert found.given_px.tolist() == [3, 2, 1]
    assert found.hits_px.tolist() == [2, 2, 1]
    assert found.part_hits_px.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (found.pixels_px, found.objects_px, found.parts_px.tolist()) == (4, 3, [1, 2])
    np.testing.assert_array_equal(found.coverage, [0.75, 0.5, 0.25])


def test_the_threshold_of_the_nearest_coverage_is_found_the_lowest_among_equals() -> None:
    sweep = CoverageSweep((0.1, 0.2, 0.6, 0.8))
    sweep.update(np.array([[[0.0, 0.3, 0.7, 0.9]]], np.float32), (0,), np.ones((1, 4), np.uint8))
    found = sweep.result()
    assert found.coverage.tolist() == [0.75, 0.75, 0.5, 0.25]
    assert [found.match(value) for value in (1.0, 0.75, 0.51, 0.3, 0.0)] == [0, 0, 2, 3, 3]


def test_an_image_without_tags_covers_nothing_and_its_objects_count_as_missed() -> None:
    sweep = CoverageSweep(THRESHOLDS)
    sweep.update(np.zeros((0, 2, 3), np.float32), (), np.ones((2, 3), np.uint8))
    found = sweep.result()
    assert found.given_px.tolist() == [0, 0, 0]
    assert (found.pixels_px, found.objects_px) == (6, 6)
    assert found.part_hits_px.shape == (0, 3)


def test_nothing_seen_has_no_coverage() -> None:
    found = CoverageSweep(THRESHOLDS).result()
    assert np.isnan(found.coverage).all()
    assert found.match(0.5) == 0


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (2, 3, 5), elements=st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.75])),
    arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 1, 80, 255])),
)
def test_counts_agree_with_masks_made_at_the_threshold(maps: np.ndarray, truth: np.ndarray) -> None:
    sweep = CoverageSweep(THRESHOLDS, num_parts=1)
    sweep.update(maps, (0, 79), truth, np.ones_like(truth))
    found = sweep.result()
    for at, threshold in enumerate(THRESHOLDS):
        mask = seed_to_mask(maps, (0, 79), background_threshold=threshold)
        given = (mask > 0) & (truth != 255)
        assert found.given_px[at] == given.sum()
        assert found.hits_px[at] == found.part_hits_px[0, at] == (given & (mask == truth)).sum()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="expected one or more, strictly ascending"):
        CoverageSweep((0.5, 0.5))
    sweep = CoverageSweep(THRESHOLDS, num_parts=1)
    maps = np.zeros((1, 2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"maps \(1, 2, 3\) and truth \(3, 2\) must agree"):
        sweep.update(maps, (0,), np.zeros((3, 2), np.uint8))
    with pytest.raises(ShapeError, match=r"and parts \(1, 3\) must agree"):
        sweep.update(maps, (0,), np.zeros((2, 3), np.uint8), np.zeros((1, 3), np.uint8))
    for truth, parts, name in (
        (np.zeros((2, 3)), None, "truth"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3)), "parts"),
    ):
        with pytest.raises(ShapeError, match=f"{name}: expected integer labels, got float64"):
            sweep.update(maps, (0,), truth, parts)
    assert sweep.result().pixels_px == 0
