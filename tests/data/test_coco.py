import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.data.layouts import coco_document, square, write_image, write_json
from weakseg.data.coco import open_coco
from weakseg.errors import DataError

IMAGES = ("000000000009.jpg", "000000000025.jpg", "000000000030.jpg")
OBJECTS = [(1, 0, square(0, 0, 2)), (0, 1, square(3, 1, 2)), (0, 0, square(2, 0, 4))]


def write_flat(root: Path, **changes: object) -> Path:
    document = coco_document(["cat", "dog"], IMAGES, OBJECTS, (6, 9)) | changes
    write_json(root / "instances.json", document)
    for name in IMAGES:
        write_image(root / "images" / name)
    return root


def write_official(root: Path, *splits: str) -> Path:
    for split in splits:
        names = [f"{split}_{name}" for name in IMAGES]
        write_json(root / "annotations" / f"instances_{split}.json", coco_document(["cat"], names, [], (6, 9)))
        for name in names:
            write_image(root / split / name)
    return root


def test_a_flat_folder_opens_under_any_split_name(tmp_path: Path) -> None:
    dataset = open_coco(write_flat(tmp_path), split="holiday")
    assert (dataset.name, dataset.split) == ("coco", "holiday")
    assert dataset.classes.names == ("cat", "dog")
    assert dataset.classes.source_ids == (10, 20)
    assert [sample.id for sample in dataset] == ["000000000009", "000000000025", "000000000030"]
    assert [sample.tags.tolist() for sample in dataset] == [[1, 1], [1, 0], [0, 0]]
    assert all(sample.known.all() for sample in dataset)
    assert dataset.problems == ()
    assert dataset.load_image(dataset.samples[0]).shape == (6, 9, 3)


def test_masks_survive_pickling_and_have_the_smaller_object_on_top(tmp_path: Path) -> None:
    dataset = pickle.loads(pickle.dumps(open_coco(write_flat(tmp_path), split="train")))
    first, second, empty = (dataset.load_mask(sample) for sample in dataset)
    expected = np.zeros((6, 9), np.uint8)
    expected[0:4, 2:6] = 1
    expected[1:3, 3:5] = 2
    np.testing.assert_array_equal(first, expected)
    assert second is not None
    assert second.sum() == 4
    assert empty is not None
    assert empty.shape == (6, 9)
    assert not empty.any()


def test_a_crowd_counts_as_a_tag_and_is_ignored_in_the_mask(tmp_path: Path) -> None:
    document = coco_document(["cat"], IMAGES, [(0, 0, {"size": [6, 9], "counts": [0, 6, 48]})], (6, 9))
    document["annotations"][0]["iscrowd"] = 1
    dataset = open_coco(write_flat(tmp_path, **document), split="train")
    mask = dataset.load_mask(dataset.samples[0])
    assert dataset.samples[0].keys == (0,)
    assert mask is not None
    assert (mask[:, 0] == 255).all()
    assert not mask[:, 1:].any()


@pytest.mark.parametrize("split", ["train", "train2017"])
def test_the_official_layout_opens_with_or_without_the_year(tmp_path: Path, split: str) -> None:
    dataset = open_coco(write_official(tmp_path, "train2017", "val2017"), split=split)
    assert dataset.split == "train2017"
    assert dataset.samples[0].id == "train2017_000000000009"


def test_two_years_are_ambiguous_without_the_year(tmp_path: Path) -> None:
    root = write_official(tmp_path, "val2014", "val2017")
    with pytest.raises(DataError, match=r"'val' is ambiguous.*write val2014 or val2017"):
        open_coco(root, split="val")
    assert open_coco(root, split="val2014").split == "val2014"


@pytest.mark.parametrize("absolute", [True, False])
def test_a_split_may_be_a_json_file(tmp_path: Path, absolute: bool) -> None:
    write_official(tmp_path, "minival")
    path = tmp_path / "annotations" / "instances_minival.json"
    dataset = open_coco(tmp_path, split=str(path if absolute else path.relative_to(tmp_path)))
    assert (dataset.split, len(dataset)) == ("minival", 3)


def test_eighty_classes_keep_the_gaps_of_their_ids(tmp_path: Path) -> None:
    ids = [k for k in range(1, 91) if k not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    categories = [{"id": k, "name": f"class {k}"} for k in ids]
    annotations = [{"image_id": 100, "category_id": 90, "iscrowd": 0, "segmentation": square(0, 0, 1)}]
    root = write_flat(tmp_path, categories=categories, annotations=annotations)
    dataset = open_coco(root, split="train")
    assert dataset.classes.num_classes == 80
    assert dataset.samples[0].keys == (79,)
    mask = dataset.load_mask(dataset.samples[0])
    assert mask is not None
    assert mask[0, 0] == 80


def test_missing_repeated_and_unusable_images_are_problems(tmp_path: Path) -> None:
    names = [*IMAGES, "gone.jpg", "000000000009.png", "../000000000009.jpg"]
    root = write_flat(tmp_path, **coco_document(["cat", "dog"], names, [], (6, 9)))
    write_image(root / "images" / "000000000009.png")
    write_image(root / "000000000009.jpg")
    dataset = open_coco(root, split="train")
    assert len(dataset) == 3
    assert [(p.severity, p.kind, p.where) for p in dataset.problems] == [
        ("warning", "missing-image", "gone"),
        ("warning", "same-id", "000000000009"),
        ("warning", "bad-id", "../000000000009.jpg"),
    ]


def test_images_in_sub_folders_keep_them_in_their_ids(tmp_path: Path) -> None:
    write_json(tmp_path / "instances.json", coco_document(["cat"], ["b/1.jpg", "a/1.jpg"], [(0, 0, None)], (6, 9)))
    for name in ("a/1.jpg", "b/1.jpg"):
        write_image(tmp_path / name)
    dataset = open_coco(tmp_path, split="train")
    assert [(sample.id, sample.keys) for sample in dataset] == [("a/1", ()), ("b/1", (0,))]
    assert dataset.mask_reader is None


@pytest.mark.parametrize("name", ["images\\\\1.jpg", "images//1.jpg", "images/./1.jpg"])
def test_a_path_with_empty_parts_is_the_plain_one(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "instances.json", coco_document(["cat"], [name], [(0, 0, None)], (6, 9)))
    write_image(tmp_path / "images" / "1.jpg")
    assert [(sample.id, sample.keys) for sample in open_coco(tmp_path, split="train")] == [("images/1", (0,))]


def test_an_image_with_a_broken_outline_has_no_mask(tmp_path: Path) -> None:
    objects = [*OBJECTS, (0, 0, [[1, 2, 3]])]
    dataset = open_coco(write_flat(tmp_path, **coco_document(["cat", "dog"], IMAGES, objects, (6, 9))), split="train")
    assert dataset.load_mask(dataset.samples[0]) is None
    assert dataset.load_mask(dataset.samples[1]) is not None
    assert [dataset.has_mask(sample) for sample in dataset][:2] == [False, True]
    assert [problem.kind for problem in dataset.problems] == ["bad-outline"]


def test_a_file_that_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    dataset = open_coco(write_flat(tmp_path), split="train")
    (tmp_path / "instances.json").write_text("{}")
    with pytest.raises(DataError, match="has changed since it was opened"):
        dataset.load_mask(dataset.samples[0])


def test_errors_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split 'train'.*instances_train2014\.json.*instances\.json"):
        open_coco(tmp_path, split="train")
    with pytest.raises(DataError, match=r"there is no file gone\.json"):
        open_coco(tmp_path, split="gone.json")
    write_json(tmp_path / "instances.json", coco_document(["cat"], ["a.jpg"], [], (6, 9)))
    with pytest.raises(DataError, match=r"found none of the images .*\['a\.jpg'\].*looked in"):
        open_coco(tmp_path, split="train")


def test_instances_have_their_own_outlines_and_overlap(tmp_path: Path) -> None:
    dataset = pickle.loads(pickle.dumps(open_coco(write_flat(tmp_path), split="train")))
    first, second, empty = (dataset.load_instances(sample) for sample in dataset)
    assert first.keys.tolist() == [1, 0]
    expected = np.zeros((2, 6, 9), np.bool_)
    expected[0, 1:3, 3:5] = True
    expected[1, 0:4, 2:6] = True  # whole, though the other lies on it
    np.testing.assert_array_equal(first.masks, expected)
    assert not first.crowd.any()
    assert not first.void.any()
    assert (second.keys.tolist(), int(second.masks.sum())) == ([0], 4)
    assert empty.masks.shape == (0, 6, 9)


def test_crowds_are_told_from_objects(tmp_path: Path) -> None:
    crowd = {"size": [6, 9], "counts": [0, 6, 48]}
    document = coco_document(["cat"], IMAGES, [(0, 0, square(3, 1, 2)), (0, 0, crowd)], (6, 9))
    document["annotations"][1]["iscrowd"] = 1
    dataset = open_coco(write_flat(tmp_path, **document), split="train")
    truth = dataset.load_instances(dataset.samples[0])
    assert truth is not None
    assert truth.crowd.tolist() == [False, True]
    assert truth.masks[1, :, 0].all()


def test_image_ids_of_the_file_are_kept_by_sample(tmp_path: Path) -> None:
    dataset = open_coco(write_flat(tmp_path), split="train")
    assert dataset.source_ids == {"000000000009": 100, "000000000025": 101, "000000000030": 102}


def test_an_image_with_a_broken_outline_has_no_instances(tmp_path: Path) -> None:
    objects = [*OBJECTS, (0, 0, [[1, 2, 3]])]
    dataset = open_coco(write_flat(tmp_path, **coco_document(["cat", "dog"], IMAGES, objects, (6, 9))), split="train")
    assert dataset.load_instances(dataset.samples[0]) is None
    assert dataset.load_instances(dataset.samples[1]) is not None


def test_without_any_outline_there_is_no_reader_of_instances(tmp_path: Path) -> None:
    root = write_flat(tmp_path, **coco_document(["cat"], IMAGES, [(0, 0, None)], (6, 9)))
    dataset = open_coco(root, split="train")
    assert dataset.instance_reader is None
    assert dataset.load_instances(dataset.samples[0]) is None
