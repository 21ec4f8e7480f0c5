import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import write_image, write_mask, write_text, write_voc, write_xml
from weakseg.data.base import Dataset
from weakseg.data.voc import VOC_CLASSES, open_voc
from weakseg.data.voc_splits import find_split
from weakseg.errors import DataError


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tags = {"2007_000032": ["person", "aeroplane", "person"], "2007_000039": ["tvmonitor"], "2007_000063": []}
    return write_voc(tmp_path, tags, train=["2007_000039", "2007_000032"], val=["2007_000063"])


def test_a_split_follows_its_list_and_takes_tags_from_all_objects(root: Path) -> None:
    train = open_voc(root, split="train")
    assert (train.name, train.split, train.classes.names) == ("voc", "train", VOC_CLASSES)
    assert [sample.id for sample in train] == ["2007_000039", "2007_000032"]
    assert [train.classes.decode(sample.tags) for sample in train] == [("tvmonitor",), ("aeroplane", "person")]
    assert all(sample.known.all() for sample in train)
    assert train.mask_reader is None
    assert train.problems == ()
    assert train.load_image(train.samples[0]).shape == (6, 9, 3)


def test_an_image_without_objects_is_known_to_show_no_class(root: Path) -> None:
    (sample,) = open_voc(root, split="val")
    assert sample.keys == ()
    assert sample.known.all()


@pytest.mark.parametrize("below", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_the_root_may_be_any_folder_above(tmp_path: Path, below: str) -> None:
    write_voc(tmp_path / below, {"a": ["cat"]}, train=["a"])
    assert len(open_voc(tmp_path, split="train")) == 1


def test_own_classes_replace_those_of_voc(root: Path) -> None:
    write_text(root / "classes.txt", "person\nfox\n")
    train = open_voc(root, split="train")
    assert train.classes.names == ("person", "fox")
    assert [sample.tags.tolist() for sample in train] == [[0, 0], [1, 0]]
    assert [(p.severity, p.kind, p.where) for p in train.problems] == [
        ("warning", "unknown-tag", "aeroplane"),
        ("warning", "unknown-tag", "tvmonitor"),
    ]
    assert "in 1 images (such as 2007_000032)" in train.problems[0].message


def test_own_classes_are_found_whatever_the_case_of_their_file(root: Path) -> None:
    write_text(root / "Classes.txt", "person\naeroplane\ntvmonitor\n")
    train = open_voc(root, split="train")
    assert train.classes.names == ("person", "aeroplane", "tvmonitor")
    assert [sample.tags.tolist() for sample in train] == [[0, 0, 1], [1, 1, 0]]


def test_names_of_object_parts_are_no_tags(root: Path) -> None:
    write_text(root / "classes.txt", "person\naeroplane\ntvmonitor\nhead\n")  # every object of the fixture has a head
    assert open_voc(root, split="train").classes.decode(open_voc(root, split="train").samples[0].tags) == ("tvmonitor",)


def test_lists_of_pairs_and_of_paths_are_read(root: Path) -> None:
    pairs = "/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png\n2007_000063.jpg\n2007_000039 1\n"
    path = write_text(root / "own_list.txt", pairs)
    dataset = open_voc(root, split=str(path))
    assert dataset.split == "own_list"
    assert [sample.id for sample in dataset] == ["2007_000032", "2007_000063", "2007_000039"]


def test_lists_of_main_are_a_substitute(root: Path) -> None:
    write_text(root / "ImageSets" / "Main" / "trainval.txt", "2007_000032\n2007_000063\n")
    assert len(open_voc(root, split="trainval")) == 2


def test_repeated_missing_and_malformed_entries_are_problems(root: Path) -> None:
    write_text(root / "ImageSets" / "Segmentation" / "odd.txt", "2007_000032\n2007_000032\ngone\n../secret\n")
    dataset = open_voc(root, split="odd")
    assert [sample.id for sample in dataset] == ["2007_000032"]
    assert kinds(dataset) == ["same-id", "bad-id", "missing-image"]
    assert {problem.severity for problem in dataset.problems} == {"warning"}
    assert "gone" in [problem.where for problem in dataset.problems]


def test_train_aug_without_a_list_is_every_augmented_mask_but_val(root: Path) -> None:
    for name in ("2007_000032", "2007_000039", "2007_000063"):
        write_mask(root / "SegmentationClassAug" / f"{name}.png", [[0, 15], [255, 1]])
    write_mask(root / "SegmentationClass" / "2007_000032.png", [[0, 0], [0, 20]])
    augmented = open_voc(root, split="train_aug")
    assert [sample.id for sample in augmented] == ["2007_000032", "2007_000039"]
    assert kinds(augmented) == ["made-split"]
    np.testing.assert_array_equal(augmented.load_mask(augmented.samples[0]), [[0, 15], [255, 1]])
    plain = pickle.loads(pickle.dumps(open_voc(root, split="train")))
    np.testing.assert_array_equal(plain.load_mask(plain.samples[1]), [[0, 0], [0, 20]])
    np.testing.assert_array_equal(plain.load_mask(plain.samples[0]), [[0, 15], [255, 1]])  # only the augmented exists


@pytest.mark.parametrize("list_name", ["train_aug", "trainaug"])
@pytest.mark.parametrize("split", ["train_aug", "trainaug"])
def test_both_spellings_of_the_augmented_list_are_found(root: Path, list_name: str, split: str) -> None:
    write_text(root / "ImageSets" / "Segmentation" / f"{list_name}.txt", "2007_000063\n")
    assert [sample.id for sample in open_voc(root, split=split)] == ["2007_000063"]


def test_tags_come_from_the_mask_only_where_there_is_no_xml(root: Path) -> None:
    write_mask(root / "SegmentationClass" / "2007_000032.png", [[0, 3], [255, 3]])
    write_mask(root / "SegmentationClass" / "2007_000039.png", [[0, 7], [255, 60]])
    (root / "Annotations" / "2007_000039.xml").unlink()
    train = open_voc(root, split="train")
    assert [train.classes.decode(sample.tags) for sample in train] == [("car",), ("aeroplane", "person")]
    assert train.samples[0].known.all()
    assert [(p.severity, p.kind) for p in train.problems] == [("warning", "unknown-tag"), ("note", "tags-from-masks")]
    assert "'label 60'" in train.problems[0].message


def test_without_xml_and_mask_all_classes_are_unknown(root: Path) -> None:
    (root / "Annotations" / "2007_000039.xml").unlink()
    train = open_voc(root, split="train")
    assert not train.samples[0].known.any()
    assert [(p.severity, p.kind, p.where) for p in train.problems] == [("warning", "untagged", "2007_000039")]


def test_the_test_split_needs_no_tags(root: Path) -> None:
    write_image(root / "JPEGImages" / "t.png")
    write_text(root / "ImageSets" / "Segmentation" / "test.txt", "t\n")
    test = open_voc(root, split="test")
    assert test.problems == ()
    assert not test.samples[0].known.any()


def test_damaged_xml_and_damaged_masks_are_problems(root: Path) -> None:
    write_text(root / "Annotations" / "2007_000039.xml", "<annotation><object>")
    write_text(root / "SegmentationClass" / "2007_000039.png", "no image")
    train = open_voc(root, split="train")
    assert kinds(train) == ["bad-annotation", "bad-mask", "untagged"]
    assert len(train) == 2


def test_eighty_classes_and_ids_in_folders(tmp_path: Path) -> None:
    names = [f"class {k}" for k in range(80)]
    write_text(tmp_path / "classes.txt", "\n".join(names))
    write_image(tmp_path / "JPEGImages" / "day 1" / "a.jpeg")
    write_image(tmp_path / "JPEGImages" / "b" / "c.jpg")
    write_xml(tmp_path, "b/c", ["class 79"])
    write_text(tmp_path / "ImageSets" / "Segmentation" / "train.txt", "b/c\n")
    (sample,) = open_voc(tmp_path, split="train")
    assert (sample.id, sample.keys, sample.tags.shape) == ("b/c", (79,), (80,))


def test_what_is_no_voc_folder_is_told_what_one_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no JPEGImages.*Annotations/<id>\.xml.*ImageSets/Segmentation"):
        open_voc(tmp_path, split="train")
    with pytest.raises(DataError, match="gone is not a folder"):
        open_voc(tmp_path / "gone", split="train")


def test_an_unknown_split_lists_those_that_exist(root: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'trian'.*lists found: train, val"):
        open_voc(root, split="trian")


def test_a_split_without_any_image_is_an_error(root: Path) -> None:
    write_text(root / "ImageSets" / "Segmentation" / "test.txt", "x\ny\n")
    with pytest.raises(DataError, match=r"none of the 2 images of split 'test'.*3 images were found"):
        open_voc(root, split="test")


def test_a_line_of_a_list_may_be_an_id_with_spaces(tmp_path: Path) -> None:
    root = write_voc(tmp_path, {"my photo 00": ["dog"], "my photo 01": ["cat"], "c": ["cat"]}, train=["c"])
    lines = "my photo 00\nJPEGImages/my photo 01.jpg\nJPEGImages/c.jpg SegmentationClass/c.png\n"
    write_text(root / "ImageSets" / "Segmentation" / "train.txt", lines)
    assert [sample.id for sample in open_voc(root, split="train")] == ["my photo 00", "my photo 01", "c"]


@pytest.mark.parametrize(
    ("present", "lines", "taken"),
    [
        (["my photo 00", "my photo 01", "my"], "my photo 00\nmy photo 07\n", ["my photo 00"]),
        (["my photo", "my"], "my photo 1\nmy photo 2\n", []),  # neither is a flag: the ids would be the same
        (["a b", "c"], "a b  1\nc -1\n", ["a b", "c"]),
        (["a", "a b"], "JPEGImages/a b.jpg SegmentationClass/a b.png\n", ["a b"]),
        (["a b", "a"], "a b.jpg, a b.png\n", ["a b"]),
        (["a", "b"], "a.jpg masks/a_mask.png\nb b\n", ["a", "b"]),
        (["a.b c", "a"], "a.b c \r\na.b d\r\n", ["a.b c"]),
        (["end ", "end"], "end .jpg\n", ["end "]),
        (["f\u0075\u0308r uns", "fr"], "f\u00fcr uns\n", ["f\u0075\u0308r uns"]),
        (["a,b", "a"], "a,b\na,c\n", ["a,b"]),
        (["wide\u2028name"], "wide\u2028name\n", ["wide\u2028name"]),
    ],
)
def test_a_line_means_its_image_or_none(present: list[str], lines: str, taken: list[str], tmp_path: Path) -> None:
    path = write_text(tmp_path / "list.txt", lines)
    listed = find_split(tmp_path, str(path), present=present).ids
    assert [key for key in listed if key in present] == taken


def test_the_folder_of_ribs_repository_is_found_from_above(tmp_path: Path) -> None:
    write_voc(tmp_path / "Dataset" / "VOC2012_SEG_AUG", {"2007_000032": ["cat"]}, train=["2007_000032"])
    assert len(open_voc(tmp_path / "Dataset", split="train")) == 1
