import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from tests.tiny import with_settings
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset, SourceId
from weakseg.errors import ArtifactError, DataError
from weakseg.ops.instances import Instances, InstanceTruth
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.refine.instance_files import save_instances
from weakseg.scoring.detections import detection_files, makes_instances, score_instances, write_instance_results
from weakseg.scoring.scores import InstanceScore
from weakseg.types import ClassSet, Sample

SIZE_HW = (5, 20)
CLASSES = ClassSet(("avo", "bex", "cim"))
CONFIG = with_settings(
    RunConfig(),
    ("localize.splits", ("train", "val")),
    ("refine.method", "irn"),
    ("refine.irn.instances", True),
    ("refine.irn.instance_threshold", 0.3),
)
Box = tuple[int, int, int, int]
"""Top, left, bottom, right."""
A, B, C = (0, 0, 2, 4), (0, 6, 2, 10), (3, 0, 5, 4)
MISSED = 0.50495  # 51 of the 101 recalls are reached, all of them rightly


@dataclass(frozen=True)
class DictInstances:
    """True instances held in memory, by image id; an error where text stands."""

    instances: Mapping[str, InstanceTruth | str]

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        found = self.instances.get(sample.id)
        if isinstance(found, str):
            raise DataError(found)
        return found


def draw(boxes: Sequence[Box], size_hw: tuple[int, int]) -> np.ndarray:
    masks = np.zeros((len(boxes), *size_hw), np.bool_)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def true(*entries: tuple[Box, int], size_hw: tuple[int, int] = SIZE_HW) -> InstanceTruth:
    keys = np.array([key for _, key in entries], np.int64)
    masks = draw([box for box, _ in entries], size_hw)
    return InstanceTruth(masks, keys, np.zeros(len(keys), np.bool_), np.zeros(size_hw, np.bool_))


def found(*entries: tuple[Box, int]) -> Instances:
    keys = np.array([key for _, key in entries], np.int64)
    return Instances(draw([box for box, _ in entries], SIZE_HW), keys, np.ones(len(keys), np.float32))


def make_split(
    split: str,
    ids: Sequence[str],
    truth: Mapping[str, InstanceTruth | str] | None,
    source_ids: Mapping[str, SourceId] | None = None,
) -> Dataset:
    tags, known = np.ones(len(CLASSES), np.uint8), np.ones(len(CLASSES), np.bool_)
    samples = tuple(Sample(id, Path(f"/nowhere/{id}.png"), tags, known) for id in ids)
    reader = None if truth is None else DictInstances(truth)
    return Dataset("folder", split, CLASSES, samples, instance_reader=reader, source_ids=source_ids)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """On train one of two objects is missed; on val everything is found; nobody has outlined "w"."""
    folder = RunFolder(tmp_path / "run")
    save_instances(folder.instance("t"), found((A, 0)))
    save_instances(folder.instance("v"), found((A, 0), (C, 1)))
    save_instances(folder.instance("w"), found((A, 2)))
    train = make_split("train", ("t",), {"t": true((A, 0), (B, 0))})
    val = make_split("val", ("v", "w"), {"v": true((A, 0), (C, 1))})
    return Context(CONFIG, folder, torch.device("cpu"), train, val, {})


def score(context: Context, faults: Sequence[str] = ()) -> tuple[tuple[InstanceScore, ...], list[str]]:
    notes: list[str] = []
    return score_instances(context, notes, frozenset(faults)), notes


def write(context: Context) -> list[list[dict[str, object]]]:
    """Return the entries of the files of train and val."""
    write_instance_results(context)
    assert [path.name for path in detection_files(context)] == ["train.json", "val.json"]
    return [json.loads(path.read_text()) for path in detection_files(context)]


def with_val_truth(context: Context, truth: Mapping[str, InstanceTruth | str] | None) -> Context:
    return replace(context, val=make_split("val", ("v", "w"), truth))


def test_a_missed_object_and_a_perfect_image_are_scored_by_hand(context: Context) -> None:
    (train, val), notes = score(context)
    assert train == InstanceScore(
        split="train",
        images=1,
        given_tags=True,
        threshold_choice="fixed",
        threshold=0.3,
        mean_ap50=MISSED,
        mean_ap75=MISSED,
        mean_ap=MISSED,
        ap50=(MISSED, None, None),
        ap75=(MISSED, None, None),
        ap=(MISSED, None, None),
        support=(2, 0, 0),
    )
    assert (val.split, val.images, val.objects, val.support) == ("val", 1, 2, (1, 1, 0))
    assert (val.mean_ap50, val.mean_ap75, val.mean_ap) == (1.0, 1.0, 1.0)
    assert val.ap == (1.0, 1.0, None)
    assert notes == []


def test_a_loose_mask_counts_at_the_lower_iou_only(context: Context) -> None:
    save_instances(context.folder.instance("v"), found(((0, 0, 3, 4), 0), (C, 1)))  # avo: 8 of 12 pixels, IoU 0.67
    (_, val), _ = score(context)
    assert val.ap50 == (1.0, 1.0, None)
    assert val.ap75 == (0.0, 1.0, None)
    assert val.ap == (0.4, 1.0, None)  # 0.5, 0.55, 0.6 and 0.65 of ten
    assert val.mean_ap == 0.7


def test_only_images_with_true_instances_count_and_those_without_an_object_are_among_them(context: Context) -> None:
    (_, val), _ = score(with_val_truth(context, {"v": true((A, 0)), "w": true()}))
    assert (val.images, val.objects) == (2, 1)


def test_a_split_without_true_instances_has_a_note(context: Context) -> None:
    (train,), notes = score(with_val_truth(context, None))
    assert train.split == "train"
    assert notes == ["val: no true instances, so instances are not scored"]


def test_a_truth_without_any_object_has_a_note(context: Context) -> None:
    _, notes = score(with_val_truth(context, {"v": true()}))
    assert notes == ["val: the truth has no object, so instances are not scored"]


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        (true((A, 0), size_hw=(20, 5)), "they have (20, 5) pixels, but the upright image is (5, 20) (height, width)"),
        ("cannot read v.png: broken", "cannot read v.png: broken"),
    ],
)
def test_true_instances_that_cannot_be_used_are_named_and_left_out(
    truth: InstanceTruth | str, reason: str, context: Context, told: list[str]
) -> None:
    (_, val), notes = score(with_val_truth(context, {"v": truth, "w": true((A, 2))}))
    assert (val.images, val.support) == (1, (0, 0, 1))
    assert told == [f"folder 'v': true instances are not used: {reason}"]
    assert notes == ["true instances that cannot be used: 1; warnings in the log name them"]


def test_an_image_whose_truth_mask_was_named_is_not_named_again(context: Context, told: list[str]) -> None:
    scores, notes = score(with_val_truth(context, {"v": "broken", "w": true((A, 2))}), faults=["v"])
    assert [entry.images for entry in scores] == [1, 1]
    assert (told, notes) == ([], [])


def test_only_splits_with_seeds_are_scored(context: Context) -> None:
    context = replace(context, config=with_settings(CONFIG, ("localize.splits", ("val",))))
    assert [entry.split for entry in score(context)[0]] == ["val"]


@pytest.mark.parametrize(("method", "instances"), [("irn", False), ("crf", True), ("none", False)])
def test_a_recipe_without_instances_scores_and_writes_nothing(method: str, instances: bool, context: Context) -> None:
    config = with_settings(CONFIG, ("refine.method", method), ("refine.irn.instances", instances))
    assert not makes_instances(config)
    context = replace(context, config=config)
    assert score(context) == ((), [])
    write_instance_results(context)
    assert not context.folder.detections.exists()


def test_missing_instances_name_their_stage(context: Context) -> None:
    context.folder.instance("v").unlink()
    with pytest.raises(ArtifactError, match=r"expected instances at .*v\.npz, but there are none; run the stage 'refi"):
        score(context)
    with pytest.raises(ArtifactError, match="run the stage 'refine'"):
        write(context)
    assert not context.folder.detection("val").exists()


def test_results_without_source_ids_have_image_ids_and_labels(context: Context) -> None:
    train, val = write(context)
    assert [(entry["image_id"], entry["category_id"]) for entry in train] == [("t", 1)]
    assert [(entry["image_id"], entry["category_id"]) for entry in val] == [("v", 1), ("v", 2), ("w", 3)]
    segmentation = val[1]["segmentation"]
    assert isinstance(segmentation, dict)
    assert segmentation["size"] == [5, 20]
    np.testing.assert_array_equal(rle_tools.decode(segmentation), draw([C], SIZE_HW)[0])


def test_results_of_coco_have_its_ids_and_load_again(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    classes = replace(CLASSES, source_ids=(7, 11, 90))
    train = replace(context.train, classes=classes, source_ids={"t": 31})
    context = replace(context, train=train, val=replace(context.val, classes=classes, source_ids={"v": 52, "w": 8}))
    of_train, of_val = write(context)
    assert [(entry["image_id"], entry["category_id"]) for entry in of_train] == [(31, 7)]
    assert [(entry["image_id"], entry["category_id"]) for entry in of_val] == [(52, 7), (52, 11), (8, 90)]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": id, "height": 5, "width": 20} for id in (52, 8)],
        "categories": [{"id": id, "name": str(id)} for id in (7, 11, 90)],
        "annotations": [],
    }
    coco.createIndex()
    assert len(coco.loadRes(str(context.folder.detection("val"))).anns) == 3
    capsys.readouterr()  # pycocotools reports every step


def test_no_instances_at_all_are_an_empty_list(context: Context) -> None:
    for id in ("t", "v", "w"):
        save_instances(context.folder.instance(id), Instances.none(SIZE_HW))
    assert write(context) == [[], []]
    (train, val), _ = score(context)
    assert (train.mean_ap50, val.mean_ap50) == (0.0, 0.0)


def test_list_files_of_one_name_get_a_file_each(context: Context) -> None:
    assert context.val is not None
    same = replace(
        context, train=replace(context.train, split="/a/mine.txt"), val=replace(context.val, split="/b/mine.txt")
    )
    write_instance_results(same)
    assert [path.name for path in detection_files(same)] == ["mine.json", "mine-2.json"]
    assert [len(json.loads(path.read_text())) for path in detection_files(same)] == [1, 3]
