from pathlib import Path

import pytest

from tests.data.layouts import write_image, write_mask, write_text
from weakseg.data.folder import open_folder
from weakseg.data.mask_folders import find_mask_folders


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        # beside the images, under the same path
        ("a.jpg", "masks/a.png"),
        ("sub/a.jpg", "masks/sub/a.png"),
        # one folder for each
        ("images/a.jpg", "masks/a.png"),
        ("images/a.jpg", "labels/a.png"),
        ("images/sub/a.jpg", "masks/sub/a.png"),
        ("images/a.jpg", "masks/images/a.png"),
        ("JPEGImages/a.jpg", "masks/a.png"),
        # one pair of folders a part
        ("train/images/a.jpg", "train/masks/a.png"),
        ("images/train/a.jpg", "masks/train/a.png"),
        # the same file name in another spelling, or with the image's suffix in it
        ("images/A.JPG", "masks/a.png"),
        ("images/a.jpg", "masks/a.jpg.png"),
        ("photos/a.jpg", "masks/a.png"),
    ],
)
def test_a_mask_is_found_where_people_put_it(tmp_path: Path, image: str, mask: str) -> None:
    write_image(tmp_path / image, (2, 3))
    write_mask(tmp_path / mask, [[0, 1, 1], [0, 0, 255]])
    write_text(tmp_path / "tags.csv", f"image,tags\n{image},cat\n")
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    assert [sample.id for sample in dataset] == [image.rpartition(".")[0]]
    mask_read = dataset.load_mask(dataset.samples[0])
    assert mask_read is not None
    assert mask_read.tolist() == [[0, 1, 1], [0, 0, 255]]
    assert dataset.problems == ()


def test_images_of_one_name_get_the_masks_of_their_own_part(tmp_path: Path) -> None:
    for label, part in enumerate(("train", "val")):
        write_image(tmp_path / part / "images" / "a.jpg", (1, 2))
        write_mask(tmp_path / part / "masks" / "a.png", [[label, label]])
    write_text(tmp_path / "tags.csv", "image,tags\ntrain/images/a,cat\nval/images/a,cat\n")
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    masks = [dataset.load_mask(sample) for sample in dataset]
    assert [None if mask is None else mask.tolist() for mask in masks] == [[[0, 0]], [[1, 1]]]


def test_a_mask_without_an_image_is_told(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write_mask(tmp_path / "masks" / "b.png", [[0]])
    write_mask(tmp_path / "masks" / "a.png", [[1]])
    write_text(tmp_path / "tags.csv", "image,tags\na,cat\n")
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    assert dataset.load_mask(dataset.samples[0]) is not None
    assert [(p.kind, p.where) for p in dataset.problems] == [("mask-unused", "b")]
    assert "(nearest: images/a.jpg)" in dataset.problems[0].message


def test_masks_of_which_none_fits_are_told_at_once(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    for name in ("b.png", "c.png"):
        write_mask(tmp_path / "masks" / name, [[0]])
    write_text(tmp_path / "tags.csv", "image,tags\na,cat\n")
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    assert [(p.kind, p.where) for p in dataset.problems] == [("mask-unused", "masks/")]
    assert "none of its 2 files is called like an image; rename it if they are images" in dataset.problems[0].message


def test_a_folder_of_masks_holds_png_files_and_labels_lies_beside_images(tmp_path: Path) -> None:
    for name in (
        "labels/a.png",
        "deep/images/a.jpg",
        "deep/labels/inner/a.png",
        ".hid/images/a.jpg",
        ".hid/labels/a.png",
    ):
        write_image(tmp_path / name)
    assert find_mask_folders(tmp_path) == ("deep/labels",)
    write_image(tmp_path / "masks" / "carnival.jpg")
    assert find_mask_folders(tmp_path) == ("deep/labels",)
    write_image(tmp_path / "masks" / "a.png")
    assert find_mask_folders(tmp_path) == ("deep/labels", "masks")


def test_a_class_may_be_called_masks(tmp_path: Path) -> None:
    for name in ("masks/a.jpg", "no masks/b.jpg"):
        write_image(tmp_path / name)
    dataset = open_folder(tmp_path, split="all", tags=None, val_fraction=0.0)
    assert dataset.classes.names == ("masks", "no masks")
