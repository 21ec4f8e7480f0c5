"""COCO in the layout of RIB's repository: images of all splits in one folder, masks of others in another."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, square, write_image, write_json, write_mask, write_text
from weakseg.data.base import Dataset
from weakseg.data.coco import open_coco
from weakseg.data.coco_names import COCO_CLASSES
from weakseg.errors import DataError

PERSON, STOP_SIGN, TOOTHBRUSH = 0, 11, 79
BY_ROW = {PERSON: 1, STOP_SIGN: 12, TOOTHBRUSH: 80}
BY_ID = {PERSON: 1, STOP_SIGN: 13, TOOTHBRUSH: 90}

SHOWN: dict[int, Sequence[int]] = {9: (PERSON,), 25: (STOP_SIGN, PERSON), 30: (), 42: (TOOTHBRUSH,)}
"""Class indices that the images of these numbers show."""


def write_layout(
    base: Path,
    *,
    name: str = "{number:012d}",
    numbering: Mapping[int, int] = BY_ROW,
    shown: Mapping[int, Sequence[int]] = SHOWN,
) -> Path:
    for number, keys in shown.items():
        write_image(base / "JPEGImages" / f"{name.format(number=number, split=split_of(number))}.jpg", shade=number)
        labels = np.zeros((6, 9), np.uint8)
        for column, key in enumerate(keys):
            labels[1:4, column] = numbering[key]
        labels[-1] = 255
        write_mask(base / "coco_seg_anno" / f"{number:012d}.png", labels)
    return base


def split_of(number: int) -> str:
    return "train" if number < 30 else "val"


def write_lists(folder: Path) -> None:
    write_text(folder / "train14.txt", "9\n25\n")
    write_text(folder / "val14.txt", "000000000030\nCOCO_val2014_000000000042.jpg\n")


def tags_of(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {sample.id: dataset.classes.decode(sample.tags) for sample in dataset}


def kinds(dataset: Dataset) -> list[str]:
    return [problem.kind for problem in dataset.problems]


@pytest.mark.parametrize("root", ["Dataset/coco_2017", "Dataset"])
@pytest.mark.parametrize("lists", ["Dataset/coco_2017", "coco14", "Dataset/coco14"])
@pytest.mark.parametrize("name", ["{number:012d}", "COCO_{split}2014_{number:012d}"])
def test_the_folder_of_ribs_readme_opens(tmp_path: Path, root: str, lists: str, name: str) -> None:
    write_layout(tmp_path / "Dataset" / "coco_2017", name=name)
    write_lists(tmp_path / lists)
    train, val = (open_coco(tmp_path / root, split=split) for split in ("train", "val"))
    assert train.classes == COCO_CLASSES
    assert list(tags_of(train).values()) == [("person",), ("person", "stop sign")]
    assert list(tags_of(val).values()) == [(), ("toothbrush",)]
    assert all(sample.known.all() for sample in (*train, *val))
    assert sorted((train.source_ids or {}).values()) == [9, 25]
    mask = train.load_mask(train.samples[1])
    assert mask is not None
    assert np.unique(mask).tolist() == [0, 1, STOP_SIGN + 1, 255]


def test_names_of_2014_tell_the_splits_without_a_list(tmp_path: Path) -> None:
    root = write_layout(tmp_path, name="COCO_{split}2014_{number:012d}")
    assert [sample.id for sample in open_coco(root, split="val")] == [
        "COCO_val2014_000000000030",
        "COCO_val2014_000000000042",
    ]
    assert len(open_coco(root, split="train2014")) == 2


def test_names_of_2017_without_a_list_are_refused_with_what_would_tell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing tells which images .* are 'train': expected train14\.txt"):
        open_coco(write_layout(tmp_path), split="train")


@pytest.mark.parametrize(("numbering", "words"), [(BY_ROW, "1 to 80 in a row"), (BY_ID, "category ids")])
def test_the_numbering_is_found_from_the_values_and_said(
    tmp_path: Path, numbering: Mapping[int, int], words: str
) -> None:
    root = write_layout(tmp_path, numbering=numbering)
    write_lists(root)
    for split in ("train", "val"):  # of the training split's values, 1 tells nothing and 12 or 13 does
        dataset = open_coco(root, split=split)
        (note,) = [problem for problem in dataset.problems if problem.kind == "mask-numbering"]
        assert f"masks number classes by {words}" in note.message
        assert {len(sample.keys) for sample in dataset} == ({1, 2} if split == "train" else {0, 1})
    assert np.unique(open_coco(root, split="val").load_mask(dataset.samples[1])).tolist() == [0, TOOTHBRUSH + 1, 255]


def test_a_split_that_does_not_tell_is_numbered_as_the_other_masks(tmp_path: Path) -> None:
    root = write_layout(tmp_path, numbering=BY_ID, shown={9: (PERSON,), 25: (PERSON,), 42: (TOOTHBRUSH,)})
    write_lists(root)
    (note,) = [p for p in open_coco(root, split="train").problems if p.kind == "mask-numbering"]
    assert "by category ids" in note.message


def test_numbers_that_fit_badly_either_way_are_refused(tmp_path: Path) -> None:
    root = write_layout(tmp_path, numbering={PERSON: 1, STOP_SIGN: 120, TOOTHBRUSH: 181})
    write_lists(root)
    with pytest.raises(DataError, match=r"hold the numbers 1, 120, which are no classes .* fit 1 of 2 masks"):
        open_coco(root, split="train")


def instances(numbers: Sequence[int], shown: Mapping[int, Sequence[int]]) -> dict[str, object]:
    """An instances file with all 80 categories."""
    objects = [(at, key, square(0, 0, 2)) for at, number in enumerate(numbers) for key in shown[number]]
    document = coco_document(COCO_CLASSES.names, [f"{number:012d}.jpg" for number in numbers], objects, (6, 9))
    ids = COCO_CLASSES.source_ids or ()
    document["categories"] = [{"id": key, "name": name} for key, name in zip(ids, COCO_CLASSES, strict=True)]
    for annotation in document["annotations"]:  # type: ignore[attr-defined]
        annotation["category_id"] = ids[annotation["category_id"] // 10 - 1]
    return document


def test_tags_come_from_an_instances_file_where_there_is_one(tmp_path: Path) -> None:
    root = write_layout(tmp_path, numbering=BY_ID)
    shown = {**SHOWN, 30: (STOP_SIGN,)}  # the mask of 30 is empty
    write_json(root / "annotations" / "instances_train2017.json", instances([9, 25], shown))
    write_json(root / "annotations" / "instances_val2017.json", instances([30, 42], shown))
    val = open_coco(root, split="val")
    assert tags_of(val) == {"000000000030": ("stop sign",), "000000000042": ("toothbrush",)}
    assert "tags-from-masks" not in kinds(val)
    write_lists(root)  # lists go before the files of 2017, whose splits are others
    write_text(root / "train14.txt", "9\n30\n")
    assert tags_of(open_coco(root, split="train")) == {"000000000009": ("person",), "000000000030": ("stop sign",)}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    root = write_layout(tmp_path)
    write_text(root / "train14.txt", "9\n77\n")
    write_image(root / "JPEGImages" / "holiday.jpg")
    (root / "coco_seg_anno" / "000000000009.png").unlink()
    dataset = open_coco(root, split="train")
    assert [(p.kind, p.where) for p in dataset.problems if p.severity == "warning"] == [
        ("bad-id", "holiday"),
        ("missing-image", "77"),
        ("untagged", "000000000009"),
    ]
    assert dataset.mask_reader is None
