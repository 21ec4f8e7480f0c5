"""COCO and VOC as people have them: files and names that tools have changed, and what comes of each."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_text, write_voc
from tests.data.opening import shown_by
from weakseg.data.coco import open_coco
from weakseg.data.voc import open_voc
from weakseg.errors import DataError


def coco(root: Path, names: Sequence[str], *, path: str = "instances.json", images: str = "images/{}.jpg") -> Path:
    objects = [(0, 0, square(1, 1, 3)), (1, 1, square(2, 2, 2))]
    for n in (1, 2):
        write_image(root / images.format(n), shade=n)
    write_json(root / path, coco_document(["cat", "dog"], names, objects, (6, 9)))
    return root


@pytest.mark.parametrize(
    "name",
    [
        *("{}.JPG", "../images/{}.jpg", "/home/me/images/{}.jpg", "C:\\set\\images\\{}.jpg", "https://a.org/{}.jpg"),
        *("./{}.jpg", "{}.png", "{}", "train/{}.jpg", "images/{}.jpg", "0000{}.jpg"),
    ],
)
def test_images_of_coco_are_found_under_other_names(tmp_path: Path, name: str) -> None:
    dataset = open_coco(coco(tmp_path, [name.format(n) for n in (1, 2)]), split="train")
    assert shown_by(dataset) == {"1": ("cat",), "2": ("dog",)}
    assert [p for p in dataset.problems if p.severity == "warning"] == []
    assert dataset.source_ids is not None
    assert sorted(dataset.source_ids.values()) == [100, 101]
    first = dataset.load_mask(dataset.samples[0])
    assert first is not None
    assert first.max() == 1


@pytest.mark.parametrize(
    ("path", "images"),
    [
        ("annotations/instances_default.json", "images/{}.jpg"),
        ("annotations/instances_Train.json", "Images/{}.jpg"),
        ("annotations/train.json", "images/a/{}.jpg"),
        ("train/_annotations.coco.json", "train/{}.jpg"),
        ("_annotations.coco.json", "{}.jpg"),
        ("result.json", "images/{}.jpg"),
    ],
)
def test_files_of_coco_are_found_where_tools_put_them(tmp_path: Path, path: str, images: str) -> None:
    dataset = open_coco(coco(tmp_path, ["1.jpg", "2.jpg"], path=path, images=images), split="train")
    assert shown_by(dataset) == {"1": ("cat",), "2": ("dog",)}


def test_another_file_of_coco_is_offered(tmp_path: Path) -> None:
    coco(tmp_path, ["1.jpg", "2.jpg"], path="annotations/person_keypoints_train2017.json")
    with pytest.raises(DataError, match=r"--data.train annotations/person_keypoints_train2017.json reads it"):
        open_coco(tmp_path, split="train")


def test_outlines_in_shares_of_the_size_are_no_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "1.jpg")
    objects = [(0, 0, square(0.2, 0.2, 0.5))]
    write_json(tmp_path / "instances.json", coco_document(["cat"], ["1.jpg"], objects, (6, 9)))
    dataset = open_coco(tmp_path, split="train")
    assert dataset.mask_reader is None
    assert "bad-outline" in {p.kind for p in dataset.problems}


def test_categories_are_named_by_numbers_and_not_by_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "1.jpg")
    document = coco_document(["7"], ["1.jpg"], [(0, 0, square(1, 1, 2))], (6, 9))
    for name, expected in ((7, "7"), ("", None)):
        write_json(tmp_path / "instances.json", {**document, "categories": [{"id": 10, "name": name}]})
        if expected is None:
            with pytest.raises(DataError, match="expected categories with distinct integer ids and a name"):
                open_coco(tmp_path, split="train")
        else:
            assert open_coco(tmp_path, split="train").classes.names == (expected,)


@pytest.mark.parametrize("line", ["C:\\VOC\\JPEGImages\\{}.jpg", '"{}"', "MY Bee {n}", "{}.JPG"])
def test_lists_of_voc_name_images_in_other_ways(tmp_path: Path, line: str) -> None:
    ids = [f"my bee {n}" for n in (1, 2)]
    lines = [line.format(name, n=n) for n, name in enumerate(ids, 1)]
    write_text(tmp_path / "classes.txt", "bee\nfly\n")
    dataset = open_voc(write_voc(tmp_path, {ids[0]: ["Bee"], ids[1]: ["fly"]}, train=lines), split="train")
    assert shown_by(dataset) == {ids[0]: ("bee",), ids[1]: ("fly",)}
