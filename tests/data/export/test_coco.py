import contextlib
import io
import json
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from tests.data.export.made_split import CASES, NAMES, make_instances, make_split, read_files, without_void
from weakseg.data.export.coco import write_coco
from weakseg.data.export.folder import ExportFolder
from weakseg.data.export.split import LabelledSplit
from weakseg.ops.instances import Instances


def export(root: Path, split: LabelledSplit) -> list[str]:
    folder = ExportFolder(root, format="coco")
    notes = write_coco(split, folder)
    folder.finish()
    return notes


def read_semantic(root: Path) -> dict[str, np.ndarray]:
    """Put the label maps together again with pycocotools alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(root / "images.json"))
        results = truth.loadRes(str(root / "semantic_results.json"))
    label_of = {id: place + 1 for place, id in enumerate(truth.getCatIds())}
    found = {}
    for image in truth.loadImgs(truth.getImgIds()):
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for entry in results.loadAnns(results.getAnnIds(imgIds=[image["id"]])):
            mask = results.annToMask(entry).astype(bool)
            assert not labels[mask].any(), "classes overlap"
            assert mask.sum() == entry["area"] > 0
            labels[mask] = label_of[entry["category_id"]]
        found[image["file_name"]] = labels
    return found


def test_pycocotools_gives_every_label_map_back(tmp_path: Path) -> None:
    notes = export(tmp_path / "out", make_split(tmp_path / "photos"))
    found = read_semantic(tmp_path / "out")
    assert list(found) == [f"{id}.png" for id in CASES]
    for id, labels in CASES.items():
        np.testing.assert_array_equal(found[f"{id}.png"], without_void(labels))
    assert notes == ["void pixels of 2 images are written as background"]
    assert list(read_files(tmp_path / "out")) == ["images.json", "semantic_results.json"]


def test_without_source_ids_images_and_categories_are_numbered(tmp_path: Path) -> None:
    export(tmp_path / "out", make_split(tmp_path / "photos"))
    document = json.loads((tmp_path / "out/images.json").read_text())
    assert document["categories"] == [{"id": n + 1, "name": name} for n, name in enumerate(NAMES)]
    assert [image["id"] for image in document["images"]] == list(range(1, len(CASES) + 1))
    assert document["images"][0] == {"id": 1, "file_name": "empty.png", "height": 9, "width": 14}
    entries = json.loads((tmp_path / "out/semantic_results.json").read_text())
    assert all(set(entry) == {"image_id", "category_id", "segmentation"} for entry in entries)


def test_source_ids_are_used_where_there_are_any(tmp_path: Path) -> None:
    labels = np.arange(81, dtype=np.uint8).reshape(3, 27)
    names, ids = tuple(f"class {n}" for n in range(80)), tuple(range(11, 91))
    split = make_split(
        tmp_path / "photos", {"000000391895": labels}, names=names, source_ids=ids, image_ids={"000000391895": 391895}
    )
    export(tmp_path / "out", split)
    entries = json.loads((tmp_path / "out/semantic_results.json").read_text())
    assert [entry["category_id"] for entry in entries] == list(ids)
    assert {entry["image_id"] for entry in entries} == {391895}
    np.testing.assert_array_equal(read_semantic(tmp_path / "out")["000000391895.png"], labels)


def test_instances_are_written_with_the_same_ids(tmp_path: Path) -> None:
    mask = np.zeros((5, 8), bool)
    mask[1:4, 2:7] = True
    found = {
        "a": Instances.none((5, 8)),
        "b/c": make_instances(mask, ~mask, keys=[2, 0], scores=[0.25, 1.0]),
    }
    split = make_split(tmp_path / "photos", dict.fromkeys(found, np.zeros((5, 8), np.uint8)), instances=found)
    assert export(tmp_path / "out", split)[-1] == "2 instances"
    entries = json.loads((tmp_path / "out/instances_results.json").read_text())
    assert [(entry["image_id"], entry["category_id"], entry["score"]) for entry in entries] == [
        (2, 3, 0.25),
        (2, 1, 1.0),
    ]
    for entry, expected in zip(entries, (mask, ~mask), strict=True):
        np.testing.assert_array_equal(rle_tools.decode(entry["segmentation"]), expected)
    assert json.loads((tmp_path / "out/semantic_results.json").read_text()) == []
