"""Files of a run by image id."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from weakseg.api import ById
from weakseg.data.masks import read_mask
from weakseg.errors import DataError, UnknownImage
from weakseg.pipeline.artifacts import RunFolder, save_mask

LABELS = np.array([[0, 1, 255], [2, 0, 0]], np.uint8)


@pytest.fixture
def masks(tmp_path: Path) -> ById[NDArray[np.uint8]]:
    folder = RunFolder(tmp_path)
    for id in ("holiday/beach", "12:30", "garden 1"):
        save_mask(folder.mask(id), LABELS)
    (folder.masks / ".garden 1.png.4711.part").write_bytes(b"half")
    return ById(folder.masks, ".png", read_mask, what="mask", stage="refine")


def test_a_mask_is_found_by_its_id(masks: ById[NDArray[np.uint8]]) -> None:
    for id in ("holiday/beach", "12:30", "garden 1"):
        assert id in masks
        assert masks[id].dtype == np.uint8
        assert masks[id].tolist() == LABELS.tolist()


def test_it_names_the_files_that_are_whole(masks: ById[NDArray[np.uint8]]) -> None:
    assert [name.split("~")[0] for name in masks] == ["12_30", "garden 1", "holiday/beach"]
    assert all(name in masks for name in masks)
    assert len(masks) == len(dict(masks)) == 3
    assert repr(masks) == "<3 masks by image id>"


def test_an_id_that_is_not_there_is_named_with_the_nearest(masks: ById[NDArray[np.uint8]]) -> None:
    with pytest.raises(UnknownImage, match=r"masks has no mask of 'holiday/beech'; did you mean 'holiday/beach'\?$"):
        masks["holiday/beech"]
    assert "holiday/beech" not in masks
    assert 7 not in masks
    assert masks.get("holiday/beech") is None


def test_the_error_is_a_data_error_and_a_key_error_of_one_plain_line() -> None:
    error = UnknownImage("there is no 'a'")
    assert isinstance(error, DataError)
    assert isinstance(error, KeyError)
    assert str(error) == "there is no 'a'"


def test_without_any_the_stage_that_makes_them_is_named(tmp_path: Path) -> None:
    none = ById(tmp_path / "seeds", ".npz", Path.read_bytes, what="seed", stage="localize")
    assert list(none) == []
    with pytest.raises(UnknownImage, match=r"no seed of 'a'; there are none yet: run the stage 'localize'"):
        none["a"]


@pytest.mark.parametrize("id", ["../../etc/passwd", "/etc/passwd", ""])
def test_an_id_never_leads_out_of_the_folder(masks: ById[NDArray[np.uint8]], id: str) -> None:
    assert id not in masks
