"""Folders, splits and names of images as people have them: each is a kind of trouble, and what comes of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.data.four_images import TABLE, with_images
from tests.data.layouts import write_image, write_text
from tests.data.opening import open_all, open_split, problems_of, shown_by
from weakseg.data.folder import FolderReading
from weakseg.errors import DataError

ONLY_FOLDER = FolderReading(only_folder_class=True)
FIRST, LAST = "image,tags\n1.jpg,cat\n2.jpg,dog\n", "image,tags\n3.jpg,cat;dog\n4.jpg,\n"
LISTED = {"Train.txt": "1.jpg\n2.jpg\n", "valid.txt": "3.jpg\n4.jpg\n"}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"train.csv": FIRST, "val.csv": LAST}, id="a table per split"),
        pytest.param({"Train_labels.csv": FIRST, "valid_labels.csv": LAST}, id="under longer names"),
        pytest.param({"tags_train.tsv": FIRST.replace(",", "\t"), "tags_val.csv": LAST}, id="the other way round"),
        pytest.param(
            {"tags.csv": "image,tags,Split\n1.jpg,cat,train\n2.jpg,dog,training\n3.jpg,cat;dog,val\n4.jpg,,Valid\n"},
            id="a column of splits",
        ),
        pytest.param({"tags.csv": TABLE, **LISTED}, id="lists in another case"),
        pytest.param({"tags.csv": TABLE, **{f"splits/{n}": t for n, t in LISTED.items()}}, id="lists in a folder"),
        pytest.param(
            {"tags.csv": TABLE, **{n: t.replace("\n", "\r\n") for n, t in LISTED.items()}}, id="lists of Windows"
        ),
    ],
)
def test_splits_are_those_that_are_written(tmp_path: Path, files: Mapping[str, str]) -> None:
    with_images(tmp_path, below="images")
    for name, text in files.items():
        write_text(tmp_path / name, text)
    assert sorted(shown_by(open_split(tmp_path, "train"))) == ["1", "2"]
    assert shown_by(open_split(tmp_path, "val")) == {"3": ("cat", "dog"), "4": ()}


def test_bare_names_of_a_table_per_split_mean_images_in_the_folder_of_that_split(tmp_path: Path) -> None:
    for part, tag in (("train", "cat"), ("val", "dog")):
        write_image(tmp_path / part / "1.jpg", shade=len(part))
        write_text(tmp_path / f"{part}.csv", f"image,tags\n1.jpg,{tag}\n")
    assert shown_by(open_split(tmp_path, "train")) == {"1": ("cat",)}
    assert shown_by(open_split(tmp_path, "val")) == {"1": ("dog",)}


def test_an_empty_split_is_told_with_the_rows_that_fit_no_image(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_image(tmp_path / part / "1.jpg", shade=len(part))
    write_image(tmp_path / "train" / "2.jpg", shade=9)
    write_text(tmp_path / "tags.csv", "image,tags\n1.jpg,cat\n2.jpg,dog\n")
    with pytest.raises(DataError, match=r"1 tagged images \(1 rows fit no image: .* may be any of 2 images"):
        open_split(tmp_path, "val", val_fraction=0.1)


@pytest.mark.parametrize(
    ("place", "has_val"),
    [
        ("{part}2017/{tag}/{n}.jpg", True),
        ("{part}_set/{tag}/{n}.jpg", True),
        ("pets/{part}/{tag}/{n}.jpg", True),
        ("{tag}/{part}/{n}.jpg", True),
        ("pets/{tag}/{n}.jpg", False),
        ("train/{tag}/{n}.jpg", False),
        ("a/b/images/{tag}/{n}.jpg", False),
    ],
)
def test_folders_around_classes_are_no_classes(tmp_path: Path, place: str, has_val: bool) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "val") for t in ("cat", "dog")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n), shade=n)
    train = open_split(tmp_path, "train", reading=ONLY_FOLDER)
    assert train.classes.names == ("cat", "dog")
    assert len(train) == (2 if has_val else 4)


@pytest.mark.parametrize(
    ("place", "classes", "has_val"),
    [
        ("{part}/{tag}/{n}.jpg", ("cat", "dog"), True),
        ("data/{part}/{tag}/{n}.jpg", ("cat", "dog"), True),
        ("{tag}/{part}/{n}.jpg", ("cat", "dog"), True),
        ("01_{part}/{tag}/{n}.jpg", ("cat", "dog"), True),
        ("train/{tag}/{n}{part}.jpg", ("cat", "dog"), False),
    ],
)
def test_negatives_beside_folders_of_splits_change_nothing(
    tmp_path: Path, place: str, classes: tuple[str, ...], has_val: bool
) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "val") for t in ("cat", "dog")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n), shade=n)
    write_image(tmp_path / "_None" / "9.jpg", shade=9)
    train = open_split(tmp_path, "train", reading=ONLY_FOLDER)
    assert train.classes.names == classes
    assert len(train) == (3 if has_val else 5)
    assert problems_of(train, "split-folders") == []


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("my_{part}/{tag}/{n}.jpg", "the classes my_test, my_train look like splits"),
        ("fold{fold}/{tag}/{n}.jpg", "each of fold0, fold1 is taken for a class and holds the folders cat, dog"),
        ("{tag}_{part}/{n}.jpg", "the classes cat_test, cat_train, dog_test, dog_train look like splits"),
    ],
)
def test_folders_that_may_be_no_classes_are_told(tmp_path: Path, place: str, expected: str) -> None:
    for n, (part, tag) in enumerate((p, t) for p in ("train", "test") for t in ("cat", "dog")):
        write_image(tmp_path / place.format(part=part, tag=tag, n=n, fold=n // 2), shade=n)
    assert problems_of(open_all(tmp_path, reading=ONLY_FOLDER), "split-folders")[0].startswith(expected)


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (("cat/1.jpg", "dog/2.jpg", "_none/3.jpg", "test/4.jpg"), "the class 'test' looks like a split"),
        (("cat/1.jpg", "dog/2.jpg", "val/cat/3.jpg", "val/dog/4.jpg"), "the class 'val' looks like a split"),
        (("cat/1.jpg", "dog/2.jpg", "train/cat/3.jpg"), "the class 'train' looks like a split"),
        (("car/1.jpg", "train/2.jpg", "bus/3.jpg"), None),
    ],
)
def test_a_lone_folder_of_a_split_beside_classes_is_told(
    tmp_path: Path, places: tuple[str, ...], told: str | None
) -> None:
    with_images(tmp_path, places)
    found = problems_of(open_all(tmp_path), "split-folders")
    assert [message.startswith(told or "") for message in found] == ([] if told is None else [True])


def test_splits_without_classes_in_them_are_told(tmp_path: Path) -> None:
    with_images(tmp_path, ("train/1.jpg", "val/2.jpg", "_none/3.jpg"))
    with pytest.raises(
        DataError, match=r"the folders of train, val are taken for splits, and hold no folder per class"
    ):
        open_all(tmp_path)


def test_a_folder_of_two_classes_is_told(tmp_path: Path) -> None:
    with_images(tmp_path, ("cat/1.jpg", "dog/2.jpg", "cat+dog/3.jpg"))
    assert (
        "the folder 'cat+dog' looks like several classes (cat and dog)"
        in problems_of(open_all(tmp_path), "several-in-one")[0]
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("0", "1"), "the only classes are 0, 1, which look like marks"),
        (("010", "100"), "look like marks of several classes"),
        (("cat:0.9", "dog:0.2"), "ends in a number, as if a score or a mark were meant"),
        (("cat", "no cat"), "the class no cat seems to say that an image shows none of the classes"),
        (("cat", "Hintergrund"), "seems to say that an image shows none of the classes"),
        (("cat", "unknown"), "seems to say that it is not known"),
    ],
)
def test_names_that_are_no_classes_are_told(tmp_path: Path, names: Sequence[str], expected: str) -> None:
    rows = "".join(f"{n}.jpg,{name}\n" for n, name in enumerate(names, 1))
    write_text(with_images(tmp_path, ("1.jpg", "2.jpg")) / "tags.csv", f"image,tags\n{rows}")
    assert any(expected in message for message in problems_of(open_all(tmp_path), "odd-class-name"))


def test_pictures_by_other_names_and_links_are_told(tmp_path: Path) -> None:
    write_text(with_images(tmp_path / "set") / "tags.csv", TABLE.replace("2.jpg", "2.jpg_large"))
    (tmp_path / "set" / "2.jpg").rename(tmp_path / "set" / "2.jpg_large")
    with_images(tmp_path / "more", ("5.jpg",))
    (tmp_path / "set" / "link").symlink_to(tmp_path / "more")
    dataset = open_all(tmp_path / "set")
    assert problems_of(dataset, "missing-image") == [
        "'2.jpg_large' is there, but its format is not read here; it is left out"
    ]
    assert (
        "1 files such as 2.jpg_large hold pictures, but their names do not say so"
        in problems_of(dataset, "other-format")[0]
    )
    assert problems_of(dataset, "not-a-file") == [
        "a link to a folder, which is not followed; put the folder itself there"
    ]


def test_names_that_fit_several_images_and_folders_without_any_are_told(tmp_path: Path) -> None:
    write_text(with_images(tmp_path, ("a/1.jpg", "b/1.jpg")) / "tags.csv", "image,tags\n1.jpg,cat\n")
    with pytest.raises(DataError, match=r"fits one image alone: tags.csv names '1.jpg', which may be any of 2 images"):
        open_all(tmp_path)
    (with_images(tmp_path / "c", ("1.jpg",)) / "1.jpg").rename(tmp_path / "c" / "1.orig")
    with pytest.raises(DataError, match=r"holds no images that are read: 1 files such as 1.orig hold pictures"):
        open_all(tmp_path / "c")
