from pathlib import Path

import numpy as np
import pytest

from weakseg.scoring.evidence import measure_image
from weakseg.types import Sample

MASK = np.array([[0, 0, 1, 1], [0, 2, 2, 255]], np.uint8)


def make_sample(tags: tuple[int, ...]) -> Sample:
    return Sample("a", Path("a.png"), np.array(tags, np.uint8), np.ones(len(tags), bool))


def test_shares_of_pixels_that_speak_against_a_mask() -> None:
    maps = np.zeros((2, 2, 4), np.float32)
    maps[0, 0, 2:] = 0.9
    maps[1, 1, 1] = 0.9
    maps[1, 1, 2] = 0.45  # below the threshold
    probabilities = np.zeros((4, 2, 4), np.float32)
    probabilities[0] = 0.4
    probabilities[1, 0, 2:] = 0.8
    probabilities[3, 1, 1:] = 0.9  # a class that the image is not tagged with
    probabilities[2, 1, 1:3] = 0.5
    mask = MASK.copy()
    found = measure_image(
        make_sample((1, 1, 0)),
        "train",
        mask,
        maps=maps,
        threshold=0.5,
        confidence=np.array([[255, 0, 255, 204]], np.uint8),
        probabilities=probabilities,
        likely=(0.1234567, 0.5, 1.0),
    )
    assert found.free == pytest.approx(3 / 8)
    assert found.given == pytest.approx(1 / 8)  # the pixel that the mask leaves open
    assert found.seed == pytest.approx(2 / 8)
    assert found.unstable == pytest.approx(0.25)
    assert found.shares == {0: 0.25, 1: 0.25}
    assert found.likely == (0.123457, 0.5, 1.0)
    np.testing.assert_array_equal(mask, MASK)


def test_without_tags_threshold_or_segmenter() -> None:
    found = measure_image(
        make_sample((0,)),
        "val",
        np.zeros((2, 3), np.uint8),
        maps=np.zeros((0, 2, 3), np.float32),
        threshold=0.05,
        confidence=None,
        probabilities=None,
        likely=(0.5,),
    )
    assert (found.free, found.given, found.seed, found.unstable, found.shares) == (None, None, 0.0, None, {})
    found = measure_image(
        make_sample((0,)),
        "val",
        np.zeros((2, 3), np.uint8),
        maps=np.zeros((0, 2, 3), np.float32),
        threshold=None,
        confidence=np.full((2, 3), 255, np.uint8),
        probabilities=np.ones((2, 2, 3), np.float32) * np.array([0.4, 0.6], np.float32)[:, None, None],
        likely=(0.5,),
    )
    assert (found.free, found.given, found.seed, found.unstable) == (1.0, 0.0, None, 0.0)
