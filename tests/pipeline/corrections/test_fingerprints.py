"""A run that was taught something cannot be taken for one that was not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.made_context import make_context
from tests.tiny import NAMES, SIZE_HW, make_dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.stages import STAGES
from weakseg.types import ClassSet

MASK = digest_mask(np.zeros(SIZE_HW, np.uint8))
OTHER = digest_mask(np.ones(SIZE_HW, np.uint8))

Settings = tuple[tuple[str, object], ...]

HEAVY: Settings = (("segmenter.corrected_weight", 3),)
TRUTH: Settings = (("segmenter.masks", "truth"),)


def make(root: Path, images: tuple[TaughtImage, ...], settings: Settings) -> Context:
    context = make_context(root / "run", (make_dataset(root / "images"), None), *settings)
    if not images:
        return context
    return replace(context, taught=Taught(root, "", ClassSet(NAMES), {image.id: image for image in images}))


def differing(one: Context, other: Context) -> list[str]:
    first, second = plan_records(one, STAGES), plan_records(other, STAGES)
    return [name for name in first if first[name].fingerprint != second[name].fingerprint]


DRAWN, REDRAWN = TaughtImage("train_0", MASK), TaughtImage("train_0", OTHER)
WRONG, ELSEWHERE = TaughtImage("train_1", is_wrong=True), TaughtImage("val_9", MASK)


@pytest.mark.parametrize(
    ("one", "other", "stages"),
    [
        (((), ()), ((), HEAVY), []),  # without corrections the weight has no effect
        (((), ()), ((DRAWN,), ()), ["refine", "segment"]),
        (((DRAWN,), ()), ((REDRAWN,), ()), ["refine", "segment"]),
        (((DRAWN,), ()), ((DRAWN,), HEAVY), ["segment"]),
        (((DRAWN,), ()), ((DRAWN, WRONG), ()), ["segment"]),
        (((DRAWN,), ()), ((replace(DRAWN, is_right=True),), ()), []),
        (((DRAWN,), ()), ((DRAWN, ELSEWHERE), ()), []),
        (((DRAWN, WRONG), TRUTH), ((DRAWN,), (*TRUTH, *HEAVY)), []),
    ],
)
def test_fingerprints_cover_what_teaches_and_nothing_else(
    tmp_path: Path,
    one: tuple[tuple[TaughtImage, ...], Settings],
    other: tuple[tuple[TaughtImage, ...], Settings],
    stages: list[str],
) -> None:
    assert differing(make(tmp_path, *one), make(tmp_path, *other)) == stages
