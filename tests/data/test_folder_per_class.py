"""Folders whose sub-folders are the classes, and sub-folders that are splits or containers instead."""

from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_text
from tests.data.opening import open_all
from weakseg.data.folder import FolderReading, open_folder
from weakseg.errors import DataError


def test_photographs_of_a_folder_per_class_may_be_said_to_show_nothing_else(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        write_image(tmp_path / name)
    reading = FolderReading(only_folder_class=True)
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0, reading=reading)
    assert [(s.tags.tolist(), s.known.tolist()) for s in dataset] == [([1, 0], [True, True]), ([0, 1], [True, True])]
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("files", "classes", "train", "val"),
    [
        (["train/cat/1", "val/cat/1", "val/dog/2"], ("cat", "dog"), ["train/cat/1"], ["val/cat/1", "val/dog/2"]),
        (["Train/cat/1", "valid/dog/1", "test/cat/1"], ("cat", "dog"), ["Train/cat/1"], ["valid/dog/1"]),
        (["train/cat/1", "val/dog/1", "_none/1"], ("cat", "dog"), ["_none/1", "train/cat/1"], ["val/dog/1"]),
        (["images/train/cat/1", "images/val/cat/1"], ("cat",), ["images/train/cat/1"], ["images/val/cat/1"]),
        (["train/images/cat/1", "val/images/cat/1"], ("cat",), ["train/images/cat/1"], ["val/images/cat/1"]),
    ],
)
def test_folders_of_parts_are_splits_and_no_classes(
    tmp_path: Path, files: list[str], classes: tuple[str, ...], train: list[str], val: list[str]
) -> None:
    for shade, name in enumerate(files):
        write_image(tmp_path / f"{name}.jpg", shade=shade)
    datasets = [open_folder(tmp_path, split=split, tags=None, val_fraction=0.1) for split in ("train", "val")]
    assert [dataset.classes.names for dataset in datasets] == [classes, classes]
    assert [[sample.id for sample in dataset] for dataset in datasets] == [train, val]


def test_a_container_of_images_is_no_class_and_a_vehicle_is_one(tmp_path: Path) -> None:
    for name in ("one/images/cat/1.jpg", "one/images/dog/1.jpg", "two/bus/1.jpg", "two/train/1.jpg"):
        write_image(tmp_path / name)
    assert open_all(tmp_path / "one").classes.names == ("cat", "dog")
    assert open_all(tmp_path / "two").classes.names == ("bus", "train")


def test_sub_folders_are_the_classes_where_there_is_no_tag_file(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/sub/1.jpg", "_none/street.jpg", "loose.jpg"):
        write_image(tmp_path / name)
    dataset = open_all(tmp_path)
    assert dataset.classes.names == ("cat", "dog")
    assert [(s.id, s.tags.tolist(), s.known.tolist()) for s in dataset] == [
        ("_none/street", [0, 0], [True, True]),
        ("cat/1", [1, 0], [True, False]),
        ("dog/sub/1", [0, 1], [False, True]),
    ]
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [
        ("note", "unknown-absence", "tags"),
        ("warning", "untagged", "loose"),
    ]


def test_a_sub_folder_that_is_no_class_tells_nothing(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        write_image(tmp_path / name)
    write_text(tmp_path / "classes.txt", "cat\n")
    dataset = open_all(tmp_path)
    assert [sample.id for sample in dataset] == ["cat/1"]
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("unknown-absence", "tags"),
        ("untagged", "dog/1"),
        ("unknown-tag", "dog"),
    ]


def test_parts_without_classes_or_table_say_nothing_rather_than_train_and_val(tmp_path: Path) -> None:
    for name in ("train/1.jpg", "val/2.jpg"):
        write_image(tmp_path / name)
    write_text(tmp_path / "train" / "labels.csv", "image,tags\n1,dog\n")
    message = r"has no tags\.csv, but train/labels\.csv: --data\.tags train/labels\.csv reads it"
    with pytest.raises(DataError, match=message):
        open_all(tmp_path)
