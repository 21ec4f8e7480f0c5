import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from weakseg.config.schema import RefineConfig
from weakseg.errors import DataError
from weakseg.refine.masks_merge import merge_masks
from weakseg.refine.merge import MAX_NAMED, MERGE, MergeConfig, OutlineReader, find_files
from weakseg.refine.method import ImageRefiner, RefineContext, SeededImage
from weakseg.refine.none import NONE
from weakseg.types import Sample, ScoreMaps

SIZE_HW = (16, 32)
"""Multiples of 16, at which a seed is what was given."""

CPU = torch.device("cpu")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("weakseg"), "propagate", True)
    caplog.set_level("WARNING", "weakseg")
    return caplog


def make_item(
    keys: tuple[int, ...] = (1,), *, name: str = "one", original_hw: tuple[int, int] | None = None
) -> SeededImage:
    maps = torch.zeros(len(keys), *SIZE_HW)
    maps[:1, 4:12, 4:12] = 1
    tags = np.isin(np.arange(3), keys).astype(np.uint8)
    sample = Sample(name, Path(f"{name}.png"), tags, np.ones(3, np.bool_))
    image = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)
    return SeededImage(sample, image, ScoreMaps(keys, (maps,), SIZE_HW), SIZE_HW, original_hw)


def object_mask(scale: int = 1) -> np.ndarray:
    """An object two columns wider than the seed on its right; the seed covers 8 of its 10 columns."""
    mask = np.zeros((1, *SIZE_HW), np.uint8)
    mask[:, 4:12, 4:14] = 1
    return mask.repeat(scale, axis=1).repeat(scale, axis=2)


def write(folder: Path, masks: np.ndarray, *, name: str = "one") -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", masks=masks)
    return folder


def open_refiner(folder: Path | None, **settings: str) -> ImageRefiner:
    config = replace(MergeConfig(on="none", folder=None if folder is None else str(folder)), **settings)  # type: ignore[arg-type]
    return MERGE.open(RefineContext(replace(RefineConfig(), merge=config), CPU))


@pytest.mark.parametrize("scale", [1, 3])
def test_a_seed_takes_the_outlines_of_masks_of_the_images_original_size(tmp_path: Path, scale: int) -> None:
    item = make_item(original_hw=(16 * scale, 32 * scale))
    found = open_refiner(write(tmp_path, object_mask(scale)))(item, (0.5, 0.4)).mask
    np.testing.assert_array_equal(found.labels, 2 * object_mask()[0])
    seed = NONE.open(RefineContext(RefineConfig(), CPU))(item, (0.5,)).mask
    won = found.labels != seed.labels
    assert int(won.sum()) == 8 * 2
    np.testing.assert_allclose(found.confidence[won], 0.8)
    np.testing.assert_array_equal(found.confidence[~won], seed.confidence[~won])


def test_what_becomes_background_has_what_its_label_left(tmp_path: Path) -> None:
    everything = np.ones((1, *SIZE_HW), np.uint8)
    everything[:, :, :6] = 0
    found = open_refiner(write(tmp_path, everything))(make_item(), (0.5,)).mask
    expected = np.zeros(SIZE_HW, np.uint8)
    expected[4:12, 4:6] = 2  # the mask covers the rest, but holds no 85 % of the class
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_allclose(found.confidence[6, 8], 1 - 1 / 1.5, atol=1e-4)


@pytest.mark.parametrize("on", ["none", "crf"])
def test_every_threshold_is_merged_by_itself(tmp_path: Path, on: str) -> None:
    item, thresholds = make_item(), (0.3, 0.6, 0.9)
    found = open_refiner(write(tmp_path, object_mask()), on=on)(item, thresholds)
    first = open_refiner(None, on=on)(item, thresholds)
    masks = object_mask().astype(bool)
    for merged, alone in zip((found.mask.labels, *found.others), (first.mask.labels, *first.others), strict=True):
        np.testing.assert_array_equal(merged, merge_masks(alone, masks))


def test_images_without_masks_or_tags_keep_theirs(tmp_path: Path) -> None:
    refine = open_refiner(write(tmp_path, object_mask()))
    alone = open_refiner(None)(make_item(name="two"), (0.5,)).mask.labels
    np.testing.assert_array_equal(refine(make_item(name="two"), (0.5,)).mask.labels, alone)
    assert not refine(make_item(()), (0.5,)).mask.labels.any()


def test_masks_that_cannot_be_used_are_named_and_the_image_keeps_its_own(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    refine = open_refiner(write(tmp_path, object_mask()))
    refine(make_item(), (0.5,))
    for number in range(MAX_NAMED + 2):
        write(tmp_path, object_mask(2), name=f"large_{number}")
        found = refine(make_item(name=f"large_{number}"), (0.5,)).mask.labels
        assert int((found == 2).sum()) == 8 * 8
    told = [record.getMessage() for record in warnings.records]
    assert len(told) == MAX_NAMED
    assert "large_0.npz: expected 16 x 32 px (height, width) as the upright image has, got 32 x 64" in told[0]
    assert told[0].endswith("; the image keeps its mask")
    assert told[-1].endswith("; others like it are not named")


def test_files_of_which_none_fits_end_it(tmp_path: Path) -> None:
    reader = OutlineReader(write(tmp_path, object_mask(2)))
    for _ in range(MAX_NAMED - 1):
        assert reader.read(make_item(), SIZE_HW) is None
    with pytest.raises(DataError, match=r"^refine.merge.folder: the first 5 images' masks cannot be used; masks .*16"):
        reader.read(make_item(), SIZE_HW)


def test_files_are_found_in_order(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("b.png", "a.png", "notes.txt"):
        (tmp_path / "one" / name).touch()
    (tmp_path / "two.json").touch()
    assert [path.name for path in find_files(tmp_path, "one")] == ["a.png", "b.png"]
    assert [path.name for path in find_files(tmp_path, "two")] == ["two.json"]
    assert find_files(tmp_path, "three") == ()
