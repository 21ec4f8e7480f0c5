"""Corrected images are drawn more often where most masks are bad, and only there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.test_health import run
from tests.tiny import NAMES, make_dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask
from weakseg.pipeline.corrections.weight import name_weight, settle_weight, tell_weight
from weakseg.types import ClassSet

TAGS = ((0,), (1,), (2,)) * 4
GOOD, BAD = 0.5, 0.99999
"""Background thresholds of masks that are true, and of empty ones."""


def teach(root: Path, threshold: float, *, corrected: int, weight: int | str) -> Context:
    """A run with masks, of some of which it is said that a person has corrected them."""
    settings = (("refine.background_threshold", threshold), ("segmenter.corrected_weight", weight))
    context = run(root, (make_dataset(root / "images", TAGS), None), ("localize.splits", ("train",)), *settings)
    mask = digest_mask(np.zeros((24, 33), np.uint8))
    images = {f"train_{number}": TaughtImage(f"train_{number}", mask) for number in range(corrected)}
    return replace(context, taught=Taught(root, "", ClassSet(NAMES), images))


@pytest.mark.parametrize(
    ("threshold", "corrected", "weight", "times"),
    [(BAD, 10, "auto", 20), (BAD, 9, "auto", 1), (GOOD, 12, "auto", 1), (BAD, 10, 3, 3), (GOOD, 1, 7, 7)],
    ids=["bad masks", "few corrected", "good masks", "told, bad masks", "told"],
)
def test_corrected_images_are_drawn_often_among_bad_masks(
    tmp_path: Path, threshold: float, corrected: int, weight: int | str, times: int
) -> None:
    assert settle_weight(teach(tmp_path, threshold, corrected=corrected, weight=weight)) == times


def test_a_run_without_corrections_weighs_nothing(tmp_path: Path) -> None:
    context = teach(tmp_path, BAD, corrected=12, weight="auto")
    assert settle_weight(replace(context, taught=None)) == 1


def test_the_rule_is_part_of_the_fingerprint_and_told(tmp_path: Path) -> None:
    context = teach(tmp_path / "auto", BAD, corrected=1, weight="auto")
    assert name_weight(context) == {"segmenter.corrected_weight": "auto", "rule of corrected_weight auto": 1}
    assert tell_weight(context, 20) == ", drawn 20 times as often, since most classes are in doubt"
    assert tell_weight(context, 1) == ""
    context = teach(tmp_path / "number", BAD, corrected=1, weight=4)
    assert name_weight(context) == {"segmenter.corrected_weight": 4}
    assert tell_weight(context, 4) == ", drawn 4 times as often"
