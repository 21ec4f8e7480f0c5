import pickle
from pathlib import Path

import numpy as np
import pytest

from weakseg.data.grey import encode_grey
from weakseg.data.masks import PngMasks, encode_mask
from weakseg.data.sure_masks import SureMasks
from weakseg.errors import DataError
from weakseg.types import Sample

SAMPLE = Sample("sub/a", Path("a.png"), np.zeros(3, np.uint8), np.ones(3, np.bool_))
LABELS = np.array([[0, 1, 2], [255, 3, 0]], np.uint8)
CONFIDENCE = np.array([[255, 204, 203], [0, 128, 100]], np.uint8)


@pytest.fixture
def masks(tmp_path: Path) -> PngMasks:
    for name, content in (("masks", encode_mask(LABELS)), ("confidence", encode_grey(CONFIDENCE))):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.png").write_bytes(content)
    return PngMasks((tmp_path / "masks",))


@pytest.mark.parametrize(
    ("ignore_below", "expected"),
    [
        (0.0, LABELS.tolist()),
        (0.5, [[0, 1, 2], [255, 3, 255]]),  # 127.5 is rounded to 128
        (0.8, [[0, 1, 255], [255, 255, 255]]),  # 204, a tie, stays
        (1.0, [[0, 255, 255], [255, 255, 255]]),
    ],
)
def test_unsure_pixels_are_ignored(
    masks: PngMasks, tmp_path: Path, ignore_below: float, expected: list[list[int]]
) -> None:
    before = (tmp_path / "masks/sub/a.png").read_bytes()
    reader = pickle.loads(pickle.dumps(SureMasks(masks, tmp_path / "confidence", ignore_below)))
    labels = reader(SAMPLE)
    assert (labels.tolist(), labels.dtype) == (expected, np.uint8)
    assert (tmp_path / "masks/sub/a.png").read_bytes() == before


def test_without_a_mask_there_is_none(tmp_path: Path) -> None:
    assert SureMasks(PngMasks((tmp_path,)), tmp_path, 0.5)(SAMPLE) is None


def test_missing_confidence_is_an_error_that_says_what_to_do(masks: PngMasks, tmp_path: Path) -> None:
    path = tmp_path / "confidence/sub/a.png"
    path.unlink()
    with pytest.raises(DataError) as raised:
        SureMasks(masks, tmp_path / "confidence", 0.5)(SAMPLE)
    assert str(raised.value) == (
        f"image 'sub/a' has no confidence at {path}, which segmenter.ignore_below needs; set refine.confidence to true "
        "and run with --redo refine, or set segmenter.ignore_below to 0"
    )


def test_confidence_of_another_size_is_an_error(masks: PngMasks, tmp_path: Path) -> None:
    (tmp_path / "confidence/sub/a.png").write_bytes(encode_grey(CONFIDENCE.T))
    with pytest.raises(DataError, match=r"'sub/a': the mask is \(2, 3\) \(height, width\), its confidence .* \(3, 2\)"):
        SureMasks(masks, tmp_path / "confidence", 0.5)(SAMPLE)
