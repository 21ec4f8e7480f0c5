import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from weakseg.data.coco_results import write_coco_results
from weakseg.errors import DataError, ShapeError
from weakseg.ops.instances import Instances

CATEGORIES = (10, 20, 90)


def make_instances(*pixels: tuple[int, int], keys: list[int], scores: list[float]) -> Instances:
    masks = np.zeros((len(pixels), 5, 7), np.bool_)
    for mask, (row, column) in zip(masks, pixels, strict=True):
        mask[row:, column:] = True
    return Instances(masks, np.array(keys, np.int64), np.array(scores, np.float32))


RESULTS = {
    "b": make_instances((4, 6), (0, 3), keys=[2, 0], scores=[0.3, 1.0]),
    "nothing": Instances.none((5, 7)),
    "sub/a": make_instances((1, 2), keys=[1], scores=[0.0]),
}
IMAGE_IDS = {"b": 391895, "nothing": 7, "sub/a": 9}


def write(path: Path) -> list[dict[str, object]]:
    assert write_coco_results(path, RESULTS.items(), image_ids=IMAGE_IDS, category_ids=CATEGORIES) == 3
    entries: list[dict[str, object]] = json.loads(path.read_text())
    return entries


def test_every_instance_is_an_entry_with_the_ids_of_the_annotation(tmp_path: Path) -> None:
    entries = write(tmp_path / "new" / "results.json")
    assert [set(entry) for entry in entries] == [{"image_id", "category_id", "segmentation", "score"}] * 3
    assert [(entry["image_id"], entry["category_id"], entry["score"]) for entry in entries] == [
        (391895, 90, 0.3),
        (391895, 10, 1.0),
        (9, 20, 0.0),
    ]


def test_run_lengths_are_text_and_give_the_masks_back(tmp_path: Path) -> None:
    masks = [mask for instances in RESULTS.values() for mask, _, _ in instances]
    for entry, mask in zip(write(tmp_path / "results.json"), masks, strict=True):
        segmentation = entry["segmentation"]
        assert isinstance(segmentation, dict)
        assert segmentation["size"] == [5, 7]
        assert isinstance(segmentation["counts"], str)
        np.testing.assert_array_equal(rle_tools.decode(segmentation), mask)


def test_pycocotools_reads_the_file(tmp_path: Path) -> None:
    write(tmp_path / "results.json")
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number, "height": 5, "width": 7} for number in IMAGE_IDS.values()],
        "categories": [{"id": number, "name": str(number)} for number in CATEGORIES],
        "annotations": [],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        read = truth.loadRes(str(tmp_path / "results.json"))
    assert {ann["image_id"]: ann["area"] for ann in read.loadAnns(read.getAnnIds(imgIds=[9]))} == {9: 20}
    assert [ann["category_id"] for ann in read.loadAnns(read.getAnnIds(imgIds=[391895]))] == [90, 10]
    assert read.getAnnIds(imgIds=[7]) == []


def test_without_image_ids_the_sample_ids_are_written(tmp_path: Path) -> None:
    write_coco_results(tmp_path / "results.json", RESULTS.items(), image_ids=None, category_ids=CATEGORIES)
    assert [entry["image_id"] for entry in json.loads((tmp_path / "results.json").read_text())] == ["b", "b", "sub/a"]


def test_no_images_make_an_empty_list(tmp_path: Path) -> None:
    assert write_coco_results(tmp_path / "results.json", [], image_ids={}, category_ids=(1,)) == 0
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_results_are_taken_one_image_at_a_time(tmp_path: Path) -> None:
    taken = []

    def stream() -> object:
        for name, instances in RESULTS.items():
            taken.append(name)
            yield name, instances

    write_coco_results(tmp_path / "results.json", stream(), image_ids=IMAGE_IDS, category_ids=CATEGORIES)
    assert taken == list(RESULTS)


def test_an_image_or_class_without_an_id_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(DataError, match=r"image 'nothing' has no id among the 1 given"):
        write_coco_results(path, RESULTS.items(), image_ids={"b": 1}, category_ids=CATEGORIES)
    with pytest.raises(ShapeError, match=r"image 'b': expected classes 0..1, one per category id, got 2"):
        write_coco_results(path, RESULTS.items(), image_ids=IMAGE_IDS, category_ids=(10, 20))
    assert list(tmp_path.iterdir()) == []
