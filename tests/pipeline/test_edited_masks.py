import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.errors import ArtifactError
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.edited_masks import (
    find_edited,
    find_unkept,
    is_remembered,
    is_untouched,
    remember_masks,
    require_kept,
    require_own,
    tell_of_edited,
)

IDS = ("a", "b/c", "12:30")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for place, sample_id in enumerate(IDS):
        save_mask(folder.mask(sample_id), np.full((3, 4), place, np.uint8))
    remember_masks(folder, IDS)
    return folder


def edit(folder: RunFolder, sample_id: str) -> None:
    save_mask(folder.mask(sample_id), np.full((3, 4), 255, np.uint8))
    later_ns = folder.mask_index.stat().st_mtime_ns + 1_000_000
    os.utime(folder.mask(sample_id), ns=(later_ns, later_ns))


def test_edited_masks_are_found_and_touched_or_lost_ones_are_not(folder: RunFolder) -> None:
    assert find_edited(folder) == []
    folder.mask("b/c").touch()
    folder.mask("a").unlink()
    assert find_edited(folder) == []
    edit(folder, "12:30")
    assert find_edited(folder) == ["12:30"]
    save_mask(folder.mask("a"), np.zeros((3, 4), np.uint8))  # made again
    remember_masks(folder, IDS)
    assert find_edited(folder) == ["12:30"]  # not taken for the run's own when the stage ends once more


def test_edited_masks_stop_what_would_use_or_remove_them_until_they_are_kept(
    folder: RunFolder, told: list[str]
) -> None:
    require_kept(folder, what="training on the masks")
    tell_of_edited(folder)
    assert told == []
    edit(folder, "a")
    with pytest.raises(ArtifactError, match=r"^training on the masks stops here: 1 mask in .* was edited") as caught:
        require_kept(folder, what="training on the masks")
    assert f"'weakseg correct {folder.root} --from {folder.masks}' keeps it" in str(caught.value)
    assert "delete" not in str(caught.value)
    edit(folder, "b/c")
    tell_of_edited(folder)
    assert "2 masks in" in told[0]
    assert "keeps them as corrections" in told[0]
    for sample_id in ("a", "b/c"):
        save_mask(folder.corrections / f"{sample_id}.png", np.full((3, 4), 255, np.uint8))
    assert find_edited(folder) == ["a", "b/c"]
    assert find_unkept(folder) == []
    require_kept(folder, what="training on the masks")
    with pytest.raises(ArtifactError, match=r"2 masks .* are among the corrections; 'weakseg run .* --out ") as caught:
        require_own(folder, what="training on the masks")
    assert "'--redo refine' makes the run's own again" in str(caught.value)
    save_mask(folder.corrections / "a.png", np.zeros((3, 4), np.uint8))
    assert find_unkept(folder) == ["a"]


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 3}', '{"a": ["x", 1]}'])
def test_a_run_that_remembers_nothing_has_no_edited_masks(folder: RunFolder, damage: str) -> None:
    folder.mask_index.write_text(damage)
    edit(folder, "a")
    assert find_edited(folder) == []
    assert not is_remembered(folder)


def test_masks_are_untouched_as_long_as_they_are_what_was_written(folder: RunFolder) -> None:
    assert is_untouched(folder)
    edit(folder, "a")
    assert not is_untouched(folder)
    folder.mask_index.unlink()  # an older version: a mask that is packed as this package packs it is its own
    assert is_untouched(folder)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(folder.mask("a"))
    assert not is_untouched(folder)
