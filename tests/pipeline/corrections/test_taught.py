from pathlib import Path

import numpy as np
import pytest

from tests.tiny import NAMES, SIZE_HW, make_dataset
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder, save_mask
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask, read_taught, require_classes
from weakseg.types import ClassSet

MASK = np.zeros(SIZE_HW, np.uint8)
DIGEST = digest_mask(MASK)
IMAGES = {
    "train_0": TaughtImage("train_0", DIGEST, is_right=True),
    "train_1": TaughtImage("train_1", is_wrong=True),
    "train_2": TaughtImage("train_2", DIGEST, added_tags=("dog",), removed_tags=("fox",)),
    "val_0": TaughtImage("val_0", DIGEST),
}


@pytest.fixture
def splits(tmp_path: Path) -> tuple[Dataset, Dataset]:
    unknown = ((), (), (1,), (), (), ())
    return make_dataset(tmp_path / "a", unknown=unknown), make_dataset(tmp_path / "b", ((0,),), split="val")


@pytest.fixture
def taught(tmp_path: Path) -> Taught:
    folder = RunFolder(tmp_path / "run")
    for sample_id in ("train_0", "train_2", "val_0"):
        save_mask(folder.taught / f"{sample_id}.png", MASK)
    write_json(folder.taught_index, Taught(folder.taught, "/runs/a", ClassSet(NAMES), IMAGES).to_json())
    found = read_taught(folder)
    assert found is not None
    return found


def test_what_is_written_is_read_back(taught: Taught, tmp_path: Path) -> None:
    assert (taught.images, taught.source, taught.classes.names) == (IMAGES, "/runs/a", NAMES)
    assert read_taught(RunFolder(tmp_path / "other")) is None
    mask = taught.read_mask("train_2")
    assert mask is not None
    assert (mask == MASK).all()
    assert taught.read_mask("train_1") is None
    assert taught.read_mask("train_3") is None


def test_tags_are_corrected_and_known_and_nothing_else_changes(taught: Taught, splits: tuple[Dataset, Dataset]) -> None:
    train, _ = splits
    before = [sample.tags.copy() for sample in train]
    corrected = taught.correct(train)
    assert corrected.samples[2].tags.tolist() == [0, 1, 0]
    assert corrected.samples[2].known.tolist() == [True, True, True]
    assert [sample is own for sample, own in zip(corrected, train, strict=True)] == [True, True, False, *3 * [True]]
    assert all((sample.tags == own).all() for sample, own in zip(train, before, strict=True))


def test_counts_are_of_the_images_that_a_run_has(taught: Taught, splits: tuple[Dataset, Dataset]) -> None:
    train, val = splits
    counts = taught.count(train, val)
    assert (counts.masks, counts.right, counts.wrong, counts.tags, counts.others) == (2, 1, 1, 1, 1)
    assert counts.describe() == (
        "2 corrected masks (1 of them called right), 1 image with corrected tags, 1 wrong mask left out, "
        "1 corrected mask of images that do not teach"
    )
    assert taught.count(train.keep(["train_3"]), None).describe() == "nothing"


def test_fingerprints_tell_what_teaches(taught: Taught, splits: tuple[Dataset, Dataset]) -> None:
    train, val = splits
    whole, less = taught.name_masks([train, val]), taught.name_masks([train])
    assert (whole["corrected masks"], less["corrected masks"]) == (3, 2)
    assert whole["contents of corrected masks"] != less["contents of corrected masks"]
    lessons = taught.name_lessons(train)
    assert {key: value for key, value in lessons.items() if not key.startswith("contents of")} == {
        "corrected masks": 2,
        "wrong masks that teach nothing": 1,
    }
    assert taught.name_tags([train, val]) == {"images with corrected tags": 1}
    rest = train.keep(["train_3"])
    assert taught.name_masks([rest]) == taught.name_lessons(rest) == taught.name_tags([rest]) == {}


def test_a_mask_that_has_changed_since_is_refused(taught: Taught) -> None:
    save_mask(taught.masks / "train_0.png", MASK + 1)
    with pytest.raises(ArtifactError, match=r"train_0\.png, which the run learns from, is not what it was"):
        taught.read_mask("train_0")
    (taught.masks / "train_0.png").unlink()
    with pytest.raises(ArtifactError, match=r"train_0\.png, which the run learns from, cannot be read"):
        taught.read_mask("train_0")


@pytest.mark.parametrize("damage", ["", "[]", '{"images": [{"id": 1}]}', '{"source": "", "classes": [], "images": []}'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(tmp_path)
    folder.taught_index.write_text(damage)
    with pytest.raises(ArtifactError, match=r"taught\.json is damaged \(.*; begin the run again in another --out"):
        read_taught(folder)


def test_other_classes_are_refused(taught: Taught, tmp_path: Path) -> None:
    require_classes(taught, ClassSet(NAMES), RunFolder(tmp_path))
    with pytest.raises(ArtifactError, match="learns from corrections of the classes cat, dog, fox, but the data now"):
        require_classes(taught, ClassSet(("cat", "dog")), RunFolder(tmp_path))


def test_digests_tell_sizes_and_labels_apart() -> None:
    masks = (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), np.ones((2, 3), np.uint8))
    assert len({digest_mask(mask) for mask in masks}) == 3
    assert digest_mask(masks[0]) == digest_mask(np.asfortranarray(masks[0]))
