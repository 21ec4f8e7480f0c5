"""Which images of a folder are of train and of val: those of lists, and a share that is held out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.layouts import write_folder, write_image, write_mask, write_text
from tests.data.opening import open_split, tag_lists
from weakseg.data.folder import open_folder, open_folder_splits
from weakseg.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abcde":
        write_image(tmp_path / "images" / f"{name}.jpg")
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\nd.jpg,\n")
    return tmp_path


def ids(root: Path, split: str, val_fraction: float = 0.25) -> list[str]:
    dataset = open_split(root, split, val_fraction=val_fraction)
    return [sample.id.removeprefix("images/") for sample in dataset]


def test_lists_in_the_root_are_the_splits(root: Path) -> None:
    write_text(root / "train.txt", "c\na\n")
    write_text(root / "val.txt", "images/b.jpg\n")
    assert (ids(root, "train"), ids(root, "val"), ids(root, "all")) == (["a", "c"], ["b"], ["a", "b", "c", "d"])
    assert ids(root, "val.txt") == ["b"]


@pytest.mark.parametrize(("name", "other"), [("train", "val"), ("val", "train")])
def test_one_list_leaves_the_other_part_the_rest(root: Path, name: str, other: str) -> None:
    write_text(root / f"{name}.txt", "a\nc\n")
    assert (ids(root, name), ids(root, other)) == (["a", "c"], ["b", "d"])


def test_a_listed_image_without_tags_is_told(root: Path) -> None:
    write_text(root / "train.txt", "a\ne\nf\n")
    dataset = open_split(root, "train", val_fraction=0.25)
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("untagged", "images/e"),
        ("missing-image", "f"),
    ]


def test_a_list_that_chooses_nothing_is_told_with_its_cause(root: Path) -> None:
    write_text(root / "val.txt", "x1\nx2\n")
    with pytest.raises(DataError, match=r"val\.txt chooses no image: it has 2 lines \(x1, x2.*4 images have tags"):
        open_split(root, "val", val_fraction=0.25)
    write_text(root / "train.txt", "a\nb\nc\nd\n")
    (root / "val.txt").unlink()
    with pytest.raises(DataError, match=r"'val' is empty: 4 tagged images, of which those that train\.txt does not"):
        open_split(root, "val", val_fraction=0.25)


def test_splits_opened_together_are_those_opened_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {f"{n}.png": ("cat", "dog")[n % 2] for n in range(10)})
    write_mask(root / "masks" / "3.png", np.zeros((4, 5), np.uint8))
    together = open_folder_splits(root, splits=("train", "val"), tags=None, val_fraction=0.3)
    for split, dataset in zip(("train", "val"), together, strict=True):
        alone = open_folder(root, split=split, tags=None, val_fraction=0.3)
        assert (dataset.split, tag_lists(dataset), dataset.problems) == (split, tag_lists(alone), alone.problems)
    assert [len(dataset) for dataset in together] == [7, 3]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("forty"), {f"{n:02}.png": "cat" if n % 2 else "" for n in range(40)})


@settings(max_examples=20, deadline=None)
@given(val_fraction=st.floats(0.02, 0.98))
def test_train_and_val_part_the_images(forty: Path, val_fraction: float) -> None:
    train, val = ids(forty, "train", val_fraction), ids(forty, "val", val_fraction)
    assert len(val) == round(val_fraction * 40)
    assert sorted(train + val) == ids(forty, "all", val_fraction)


def test_the_chosen_images_are_fixed_and_grow_with_the_share(forty: Path) -> None:
    val = ids(forty, "val", 0.1)
    assert val == ["17", "18", "23", "29"]  # recorded; another hash would silently mix old and new splits
    assert set(val) < set(ids(forty, "val", 0.3))


def test_one_more_image_moves_at_most_one_other(tmp_path: Path) -> None:
    rows = {f"{n}.png": "cat" for n in range(30)}
    before = set(ids(write_folder(tmp_path, rows), "val", 0.2))
    for extra in range(30, 40):
        after = set(ids(write_folder(tmp_path, {**rows, f"{extra}.png": "cat"}), "val", 0.2))
        (tmp_path / f"{extra}.png").unlink()
        assert len(before - after) <= 1


def test_a_split_may_be_a_list(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a b.png": "cat", "sub/c.png": "dog", "d.png": ""})
    write_text(root / "some.txt", "sub/c.png\na b\ngone.jpg\n")
    for split in ("some.txt", str(root / "some.txt")):
        dataset = open_folder(root, split=split, tags=None, val_fraction=0.5)
        assert (dataset.split, [sample.id for sample in dataset]) == ("some", ["a b", "sub/c"])
        assert [(p.kind, p.where) for p in dataset.problems] == [("missing-image", "gone.jpg")]
