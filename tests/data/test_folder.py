"""A folder of images: its tags and classes, the files it tells them in, its masks, and what is missing."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, write_folder, write_image, write_json, write_mask, write_text
from tests.data.opening import open_all, tag_lists
from weakseg.data.folder import FolderReading, open_folder
from weakseg.errors import ConfigError, DataError


def test_images_get_the_tags_of_the_csv(tmp_path: Path) -> None:
    dataset = open_all(write_folder(tmp_path, {"b.png": "sofa;cat", "sub/deep/a.jpg": "cat", "z.JPG": ""}))
    assert (dataset.name, dataset.split, dataset.classes.names) == ("folder", "all", ("cat", "sofa"))
    assert tag_lists(dataset) == {"b": ("cat", "sofa"), "sub/deep/a": ("cat",), "z": ()}
    assert all(sample.known.all() for sample in dataset)
    assert dataset.mask_reader is None
    assert dataset.problems == ()


def test_a_question_mark_makes_a_tag_unknown(tmp_path: Path) -> None:
    sample = open_all(write_folder(tmp_path, {"a.jpg": "cat;?dog"})).samples[0]
    assert sample.tags.tolist() == [1, 0]
    assert sample.known.tolist() == [True, False]


def test_classes_txt_may_be_written_in_any_case(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat;dog"})
    write_text(root / "Classes.TXT", "dog\ncat\n")
    assert open_all(root).classes.names == ("dog", "cat")


def test_classes_txt_fixes_the_order_and_other_tags_are_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "dog;fox", "b.jpg": "fox"})
    write_text(root / "classes.txt", "dog\ncat\n")
    dataset = open_all(root)
    assert dataset.classes.names == ("dog", "cat")
    assert [sample.tags.tolist() for sample in dataset] == [[1, 0], [0, 0]]
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [("warning", "unknown-tag", "fox")]
    assert "2 images (such as a)" in dataset.problems[0].message


def test_the_commonest_layout_needs_only_bare_names(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/sub/b.png", "images/C.JPG"):
        write_image(tmp_path / name, (1, 2))
    for name in ("masks/a.png", "masks/sub/b.png", "masks/C.png"):
        write_mask(tmp_path / name, [[0, 1]])
    write_text(tmp_path / "tags.csv", "image,tags\na.jpg,cat\nb,dog\nc.jpg,\n")
    write_text(tmp_path / "classes.txt", "dog\ncat\n")
    write_text(tmp_path / "train.txt", "a\nC\n")
    write_text(tmp_path / "val.txt", "b\n")
    train, val = (open_folder(tmp_path, split=split, tags=None, val_fraction=0.1) for split in ("train", "val"))
    assert [tag_lists(dataset) for dataset in (train, val)] == [
        {"images/C": (), "images/a": ("cat",)},
        {"images/sub/b": ("dog",)},
    ]
    assert all(dataset.load_mask(sample) is not None for dataset in (train, val) for sample in dataset)
    assert train.problems == val.problems == ()


def test_background_is_no_class(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a.jpg": "cat", "b.jpg": "Background", "c.jpg": "cat;background"})
    with pytest.raises(DataError, match=r"tags\.csv has the tag 'Background', which is no class: .*tag drop"):
        open_all(root)
    reading = FolderReading(drop_background=True)
    dataset = open_folder(root, split="all", tags=None, val_fraction=0.0, reading=reading)
    assert tag_lists(dataset) == {"a": ("cat",), "b": (), "c": ("cat",)}
    write_text(root / "classes.txt", "background\ncat\n")
    with pytest.raises(DataError, match=r"classes\.txt lists 'background', which is no class"):
        open_all(root)
    assert open_folder(root, split="all", tags=None, val_fraction=0.0, reading=reading).classes.names == ("cat",)


def test_odd_class_names_are_told(tmp_path: Path) -> None:
    dataset = open_all(write_folder(tmp_path, {"a.jpg": "cat;nan", "b.jpg": "Cat"}))
    assert [(p.kind, p.where) for p in dataset.problems] == [
        ("odd-class-name", "tags.csv"),
        ("similar-tags", "tags.csv"),
    ]


def test_tables_of_other_names_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "1.jpg")
    write_text(tmp_path / "labels.csv", "image,tags\n1,dog\n")
    problems = [(p.kind, p.where) for p in open_all(tmp_path).problems]
    assert problems == [("table-not-read", "labels.csv"), ("unknown-absence", "tags")]
    (tmp_path / "cat" / "1.jpg").rename(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=r"has no tags\.csv, but labels\.csv: --data\.tags labels\.csv reads it"):
        open_all(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "labels.xlsx")
    with pytest.raises(DataError, match=r"but labels\.xlsx: save it as 'CSV UTF-8' under the name tags\.csv"):
        open_all(tmp_path)


@pytest.mark.parametrize("name", ["tags.json", "instances.json", "annotations.json"])
def test_coco_style_json_gives_tags(tmp_path: Path, name: str) -> None:
    for image in ("a.jpg", "b.jpg"):
        write_image(tmp_path / "images" / image)
    write_json(tmp_path / name, coco_document(["dog", "cat"], ["a.jpg", "b.jpg"], [(0, 1, None)], (6, 9)))
    dataset = open_all(tmp_path)
    assert dataset.classes.names == ("dog", "cat")
    assert tag_lists(dataset) == {"images/a": ("cat",), "images/b": ()}
    assert all(sample.known.all() for sample in dataset)


def test_tags_csv_comes_before_json_and_a_given_file_before_both(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", {"a.jpg": "from csv"})
    write_json(root / "tags.json", coco_document(["from json"], ["a.jpg"], [(0, 0, None)], (6, 9)))
    write_text(root / "mine.csv", "image,tags\na,from mine\n")
    write_text(tmp_path / "other.csv", "image,tags\na,from other\n")
    assert open_all(root).classes.names == ("from csv",)
    assert open_all(root, tags=Path("mine.csv")).classes.names == ("from mine",)
    assert open_all(root, tags=tmp_path / "other.csv").classes.names == ("from other",)
    with pytest.raises(DataError, match=r"there is no tag file gone\.csv"):
        open_all(root, tags=Path("gone.csv"))


def test_masks_are_read_but_are_no_images(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"sub/a.png": "cat", "b.png": "cat"})
    write_mask(root / "masks" / "sub" / "a.png", [[0, 1], [255, 1]])
    dataset = pickle.loads(pickle.dumps(open_all(root)))
    assert [sample.id for sample in dataset] == ["b", "sub/a"]
    assert dataset.load_mask(dataset.samples[0]) is None
    np.testing.assert_array_equal(dataset.load_mask(dataset.samples[1]), [[0, 1], [255, 1]])


def test_eighty_classes_and_one_image(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "\n".join(f"class {k}" for k in range(80)))
    (sample,) = open_all(write_folder(tmp_path, {"only.png": "class 79;class 0"}))
    assert sample.keys == (0, 79)


def test_errors_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        open_all(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no images"):
        open_all(tmp_path)
    write_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"says nothing about its 1 images: write tags\.csv"):
        open_all(tmp_path)
    write_text(tmp_path / "tags.csv", "image,tags\na,\n")
    with pytest.raises(DataError, match=r"tags\.csv of .* names no class: every image is without tags"):
        open_all(tmp_path)
    write_text(tmp_path / "tags.csv", "image,tags\na,cat\n")
    with pytest.raises(DataError, match="no split 'test': a folder has 'train', 'val', 'all'"):
        open_folder(tmp_path, split="test", tags=None, val_fraction=0.1)
    with pytest.raises(DataError, match="split 'val' is empty: 1 tagged images, of which 10% are held out"):
        open_folder(tmp_path, split="val", tags=None, val_fraction=0.1)
    with pytest.raises(ConfigError, match=r"from 0 to below 1, got 1\.0"):
        open_folder(tmp_path, split="val", tags=None, val_fraction=1.0)


@pytest.mark.parametrize(
    ("file", "recipe"), [("SegmentationClass/1.png", "voc"), ("annotations/instances_train2014.json", "coco")]
)
def test_the_layout_of_a_known_data_set_is_told_and_not_taken_for_classes(
    tmp_path: Path, file: str, recipe: str
) -> None:
    write_image(tmp_path / "JPEGImages" / "1.jpg")
    write_text(tmp_path / file, "")
    with pytest.raises(DataError, match=rf"take the recipe {recipe} \(weakseg check {recipe} --data\.root"):
        open_all(tmp_path)


def test_the_tag_file_is_found_whatever_its_case(tmp_path: Path) -> None:
    write_image(tmp_path / "1.jpg")
    write_text(tmp_path / "Tags.CSV", "image,tags\n1,cat\n")
    assert open_all(tmp_path).classes.names == ("cat",)
