from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_text
from weakseg.data.base import Dataset
from weakseg.data.folder import open_folder
from weakseg.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abcde":
        write_image(tmp_path / "images" / f"{name}.jpg")
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\nd.jpg,\n")
    return tmp_path


def open_split(root: Path, split: str) -> Dataset:
    return open_folder(root, split=split, tags=None, val_fraction=0.25)


def ids(root: Path, split: str) -> list[str]:
    return [sample.id.removeprefix("images/") for sample in open_split(root, split)]


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
    dataset = open_split(root, "train")
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("untagged", "images/e"),
        ("missing-image", "f"),
    ]


def test_a_list_that_chooses_nothing_is_told_with_its_cause(root: Path) -> None:
    write_text(root / "val.txt", "x1\nx2\n")
    with pytest.raises(DataError, match=r"val\.txt chooses no image: it has 2 lines \(x1, x2.*4 images have tags"):
        open_split(root, "val")
    write_text(root / "train.txt", "a\nb\nc\nd\n")
    (root / "val.txt").unlink()
    with pytest.raises(DataError, match=r"'val' is empty: 4 tagged images, of which those that train\.txt does not"):
        open_split(root, "val")
