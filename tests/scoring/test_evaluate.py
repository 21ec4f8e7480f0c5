import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import DictMasks, make_dataset, make_segmenter, with_settings
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_json
from weakseg.models.inference import predict_labels
from weakseg.ops.instances import Instances, InstanceTruth
from weakseg.pipeline.artifacts import RunFolder, save_mask, save_seed, save_tensors
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import Taught, TaughtCounts, TaughtImage
from weakseg.pipeline.networks import save_network
from weakseg.pipeline.segmenters import describe_segmenter
from weakseg.refine.instance_files import save_instances
from weakseg.scoring.evaluate import EVALUATE, evaluate
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.predictions import predict_split
from weakseg.scoring.scores import Metrics
from weakseg.scoring.truth import read_truth
from weakseg.train.loop import EpochRecord
from weakseg.types import ClassSet, Sample, ScoreMaps

CLASSES = ClassSet(("avo", "bex"))
CONFIG = with_settings(
    RunConfig(), ("evaluate.threshold_steps", 4), ("localize.splits", ("train", "val")), ("runtime.workers", 0)
)

TRAIN_TRUTH = np.array([[0, 1, 1, 255]], np.uint8)
TRAIN_SEED = [[0.2, 1.0, 0.6, 0.9]]  # perfect above 0.2 and below 0.6
TRAIN_MASK = np.array([[0, 1, 0, 1]], np.uint8)

VAL_TRUTH = np.array([[0, 0, 1, 1], [0, 2, 255, 1]], np.uint8)
VAL_PREDICTION = np.array([[0, 1, 1, 1], [0, 2, 2, 0]], np.uint8)


@dataclass(frozen=True)
class Breaking:
    """A reader that cannot read any mask."""

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        raise DataError(f"cannot read mask {sample.id}.png: broken")


def sample(id: str, tags: tuple[int, ...]) -> Sample:
    return Sample(id, Path(f"/nowhere/{id}.png"), np.array(tags, np.uint8), np.ones(2, np.bool_))


def make_seed(values: list[list[float]], size_hw: tuple[int, int], keys: tuple[int, ...]) -> ScoreMaps:
    """A seed whose `full()` is exactly `values`: 16 x 16 maps are cropped and not resized."""
    maps = torch.zeros(len(keys), 16, 16)
    maps[:, : size_hw[0], : size_hw[1]] = torch.tensor(values)
    return ScoreMaps(keys, (maps,), size_hw)


@dataclass(frozen=True)
class OneObject:
    """Reads the first class of every truth mask as one object."""

    masks: Mapping[str, NDArray[np.uint8]]

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        truth = self.masks[sample.id]
        return InstanceTruth((truth == 1)[None], np.zeros(1, np.int64), np.zeros(1, np.bool_), truth == 255)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A train image "t" and a val image "v" whose seeds, masks and prediction are known."""
    folder = RunFolder(tmp_path / "run")
    save_seed(folder.seed("t"), make_seed(TRAIN_SEED, (1, 4), (0,)))
    save_mask(folder.mask("t"), TRAIN_MASK)
    save_seed(folder.seed("v"), make_seed([[0.0, 0, 1, 1], [0, 0, 0, 1]], (2, 4), (0,)))
    save_mask(folder.mask("v"), VAL_TRUTH % 255)
    save_mask(folder.prediction("v"), VAL_PREDICTION)
    segmenter = make_segmenter(num_labels=3)
    info = describe_segmenter(segmenter, "critter", CLASSES, weights_from="random")
    save_network(folder.network("segmenter"), segmenter, info, ())
    save_tensors(folder.network("classifier").model, {}, {"weights_from": "random"})
    record = EpochRecord(1, 0.5, 0.1, {"map": 0.8125})
    write_json(folder.network("classifier").history, [record.to_json()])
    train = Dataset("folder", "train", CLASSES, (sample("t", (1, 0)),), DictMasks({"t": TRAIN_TRUTH}))
    val = Dataset("folder", "val", CLASSES, (sample("v", (1, 1)),), DictMasks({"v": VAL_TRUTH}))
    return Context(CONFIG, folder, torch.device("cpu"), train, val, {})


def metrics_of(context: Context) -> Metrics:
    evaluate(context)
    return load_metrics(context.folder.metrics)


def rows_of(context: Context) -> list[dict[str, str]]:
    return list(csv.DictReader(context.folder.image_scores.read_text(encoding="utf-8").splitlines()))


def with_truth(context: Context, masks: Mapping[str, NDArray[np.uint8]] | None) -> Context:
    reader = None if masks is None else DictMasks(masks)
    return replace(
        context, train=replace(context.train, mask_reader=reader), val=replace(context.val, mask_reader=reader)
    )


def test_the_segmenter_is_scored_by_hand(context: Context) -> None:
    score = metrics_of(context).find("segmenter", "val")
    # Background: 2 of 4 pixels; avo: 2 of 4; bex: 1 of 1, since its second pixel is void.
    assert score.iou == (0.5, 0.5, 1.0)
    assert score.mean_iou == 0.666667
    assert score.precision == score.recall == (0.666667, 0.666667, 1.0)
    assert score.support == (3, 3, 1)
    assert score.pixel_accuracy == 0.714286
    assert score.describe() == "segmenter on val, 1 images, no tags, no threshold"


def test_seeds_and_masks_are_scored_by_hand(context: Context) -> None:
    metrics = metrics_of(context)
    seeds, masks = metrics.find("seeds", "train"), metrics.find("masks", "train")
    assert (seeds.mean_iou, seeds.iou, seeds.threshold) == (1.0, (1.0, 1.0, None), 0.25)
    assert (masks.mean_iou, masks.iou, masks.threshold) == (0.5, (0.5, 0.5, None), 0.15)
    assert seeds.describe() == "seeds on train, 1 images, tags given, threshold 0.25 (oracle)"
    assert masks.describe() == "masks on train, 1 images, tags given, threshold 0.15 (fixed)"
    curve = metrics.curves[0]
    assert curve.thresholds == (0.0, 0.25, 0.5, 0.75)
    assert curve.mean_iou == (0.333333, 1.0, 1.0, 0.5)


def test_every_number_has_its_place_in_order(context: Context) -> None:
    metrics = metrics_of(context)
    assert [(score.subject, score.split) for score in metrics.scores] == [
        ("seeds", "train"),
        ("masks", "train"),
        ("seeds", "val"),
        ("masks", "val"),
        ("segmenter", "val"),
    ]
    assert [curve.split for curve in metrics.curves] == ["train", "val"]
    assert (metrics.dataset, metrics.label_names) == ("folder", ("background", "avo", "bex"))
    assert metrics.notes == ()
    classifier = metrics.classifier
    assert (classifier.split, classifier.images, classifier.mean_average_precision) == ("val", 1, 0.8125)
    assert classifier.weights_from == "random"


def test_images_have_a_row_each(context: Context) -> None:
    evaluate(context)
    assert context.folder.image_scores.read_text() == (
        "id,split,tags,mask_iou,segmenter_iou\nt,train,avo,0.5000,\nv,val,avo;bex,1.0000,0.6667\n"
    )


def test_the_summary_names_every_score_and_its_split(context: Context) -> None:
    # Seeds on val: background 3 of 4 pixels, avo all of its 3, bex none of its 1.
    assert evaluate(context) == (
        "seeds 100.0 on train; masks 50.0 on train; seeds 58.3 on val; masks 100.0 on val; segmenter 66.7 on val"
    )


def test_only_splits_with_seeds_have_scores_of_seeds_and_masks(context: Context) -> None:
    context = replace(context, config=with_settings(CONFIG, ("localize.splits", ("train",))))
    metrics = metrics_of(context)
    assert [(score.subject, score.split) for score in metrics.scores] == [
        ("seeds", "train"),
        ("masks", "train"),
        ("segmenter", "val"),
    ]
    assert [(row["id"], row["mask_iou"], row["segmenter_iou"]) for row in rows_of(context)] == [
        ("t", "0.5000", ""),
        ("v", "", "0.6667"),
    ]


def test_without_truth_nothing_is_scored_and_it_says_so(context: Context) -> None:
    bare = with_truth(context, None)
    assert evaluate(bare) == "no truth masks: nothing to score"
    metrics = load_metrics(bare.folder.metrics)
    assert (metrics.scores, metrics.curves) == ((), ())
    assert metrics.notes == (
        "train: no truth masks, so seeds and masks are not scored",
        "val: no truth masks, so seeds and masks are not scored",
        "val: no truth masks, so the segmenter is not scored",
    )
    assert [(row["id"], row["mask_iou"], row["segmenter_iou"]) for row in rows_of(bare)] == [
        ("t", "", ""),
        ("v", "", ""),
    ]


def test_a_segmenter_that_finds_nothing_is_pointed_out(context: Context) -> None:
    save_mask(context.folder.prediction("v"), np.zeros_like(VAL_PREDICTION))
    assert metrics_of(context).notes == (
        "val: the segmenter takes all 1 images for background; look at the masks of train",
    )


def test_without_a_validation_split_the_segmenter_is_not_scored(context: Context) -> None:
    metrics = metrics_of(replace(context, val=None))
    assert [score.subject for score in metrics.scores] == ["seeds", "masks"]
    assert metrics.notes == ("no validation split, so the segmenter is not scored",)
    assert (metrics.classifier.split, metrics.classifier.images) == (None, 0)


def test_only_images_with_truth_are_counted(context: Context) -> None:
    two = (*context.val.samples, sample("w", (0, 1)))
    context = replace(context, val=replace(context.val, samples=two))
    save_seed(context.folder.seed("w"), make_seed([[0.5]], (1, 1), (1,)))
    save_mask(context.folder.mask("w"), np.array([[1]], np.uint8))
    save_mask(context.folder.prediction("w"), np.array([[1]], np.uint8))
    metrics = metrics_of(context)
    assert [score.images for score in metrics.scores] == [1] * 5
    assert rows_of(context)[2] == {"id": "w", "split": "val", "tags": "bex", "mask_iou": "", "segmenter_iou": ""}


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        (np.zeros((4, 2), np.uint8), r"the truth mask is (4, 2), but the upright image is (2, 4) (height, width)"),
        (np.full((2, 4), 9, np.uint8), "the truth mask holds label 9, but there are 2 classes"),
        (None, "cannot read mask v.png: broken"),
    ],
)
def test_a_truth_that_cannot_be_used_is_named_once_and_left_out(
    truth: NDArray[np.uint8] | None, reason: str, context: Context, told: list[str]
) -> None:
    reader = Breaking() if truth is None else DictMasks({"v": truth})
    metrics = metrics_of(replace(context, val=replace(context.val, mask_reader=reader)))
    assert [(score.subject, score.split) for score in metrics.scores] == [("seeds", "train"), ("masks", "train")]
    assert told == [f"folder 'v': not scored: {reason}; 'weakseg check' lists all such masks"]
    assert metrics.notes[-1] == "truth masks that cannot be used: 1; 'weakseg check' lists them"


def test_void_and_the_highest_class_are_no_foreign_labels(context: Context) -> None:
    truth = np.array([[0, 2], [255, 255]], np.uint8)
    val = replace(context.val, mask_reader=DictMasks({"v": truth}))
    assert read_truth(val, val.samples[0], (2, 2)).tolist() == truth.tolist()


def test_an_undefined_precision_of_the_classifier_stays_undefined(context: Context) -> None:
    record = EpochRecord(1, 0.5, 0.1, {"map": float("nan")})
    write_json(context.folder.network("classifier").history, [record.to_json()])
    assert metrics_of(context).classifier.mean_average_precision is None
    write_json(context.folder.network("classifier").history, [EpochRecord(1, 0.5, 0.1, {}).to_json()])
    assert metrics_of(context).classifier.mean_average_precision is None


def test_a_missing_seed_or_mask_names_its_stage(context: Context) -> None:
    context.folder.seed("t").unlink()
    with pytest.raises(ArtifactError, match=r"expected a seed at .*t\.npz, but there is none; run the stage 'locali"):
        evaluate(context)
    context.folder.mask("t").unlink()
    with pytest.raises(DataError, match=r"cannot read mask .*t\.png"):
        evaluate(context)


def test_the_stage_lists_every_file_it_writes(context: Context) -> None:
    evaluate(context)
    assert {path.relative_to(context.folder.root).as_posix() for path in EVALUATE.files(context)} == {
        "metrics.json",
        "image_scores.csv",
        "predictions/v.png",
    }
    assert all(path.is_file() for path in EVALUATE.files(context))
    assert EVALUATE.derived


def test_instances_are_scored_and_written_where_the_recipe_asks_for_them(context: Context) -> None:
    config = with_settings(CONFIG, ("refine.method", "irn"), ("refine.irn.instances", True))
    train = replace(context.train, instance_reader=OneObject({"t": TRAIN_TRUTH}))
    context = replace(context, config=config, train=train)
    for id, labels in (("t", TRAIN_MASK), ("v", VAL_PREDICTION)):
        found = Instances((labels == 1)[None], np.zeros(1, np.int64), np.ones(1, np.float32))
        save_instances(context.folder.instance(id), found)
    summary = evaluate(context)
    # Void is cut out of the instance, so that it has one of the object's two pixels: an IoU of exactly 0.5.
    assert summary.endswith("; segmenter 66.7 on val; instances AP50 100.0 on train")
    metrics = load_metrics(context.folder.metrics)
    (score,) = metrics.instances
    assert (score.ap50, score.ap75, score.ap) == ((1.0, None), (0.0, None), (0.1, None))
    assert metrics.notes == ("val: no true instances, so instances are not scored",)
    for split in ("train", "val"):
        assert context.folder.detection(split) in EVALUATE.files(context)
        assert context.folder.detection(split).read_text().count('"image_id"') == 1
    assert "detections" in EVALUATE.outputs


def test_other_ranks_predict_and_leave_the_scoring_to_rank_0(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.scoring.evaluate.rank", lambda: 1)
    assert evaluate(context) == ""
    assert not context.folder.metrics.exists()


def test_missing_predictions_are_made_as_the_recipe_says(context: Context, tmp_path: Path) -> None:
    val = make_dataset(
        tmp_path / "images", ((0,), (1,)), split="val", names=("avo", "bex"), sizes_hw=((20, 33), (9, 7))
    )
    config = with_settings(CONFIG, ("evaluate.scales", (1.0, 0.5)), ("evaluate.flip", True), ("data.max_side_px", 24))
    context = replace(context, val=val, config=config)
    save_mask(context.folder.prediction("val_1"), np.zeros((9, 7), np.uint8))
    predict_split(context)
    segmenter = make_segmenter(num_labels=3)
    expected = predict_labels(segmenter, val.load_image(val.samples[0]), scales=(1.0, 0.5), flip=True, max_side_px=24)
    assert read_mask(context.folder.prediction("val_0")).tolist() == expected.tolist()
    assert (read_mask(context.folder.prediction("val_1")) == 0).all()


def test_without_a_validation_split_no_network_is_needed(context: Context) -> None:
    context.folder.network("segmenter").model.unlink()
    predict_split(replace(context, val=None))
    with pytest.raises(ArtifactError, match="expected a safetensors file at"):
        predict_split(context)


def test_a_split_of_negatives_has_no_score_and_says_why(context: Context) -> None:
    negatives = with_truth(context, {"t": TRAIN_TRUTH, "v": np.zeros_like(VAL_TRUTH)})
    assert evaluate(negatives) == (
        "seeds 100.0 on train; masks 50.0 on train; seeds NaN on val (the truth shows no class, only background); "
        "masks NaN on val (the truth shows no class, only background); "
        "segmenter NaN on val (the truth shows no class, only background)"
    )
    metrics = load_metrics(negatives.folder.metrics)
    assert [score.mean_iou for score in metrics.scores] == [1.0, 0.5, None, None, None]
    assert [curve.split for curve in metrics.curves] == ["train"]
    assert metrics.notes == (
        "val: masks cannot be scored: the truth shows no class, only background",
        "val: segmenter cannot be scored: the truth shows no class, only background",
    )


def test_images_whose_true_masks_taught_the_segmenter_do_not_test_it(context: Context) -> None:
    val = context.val
    assert val is not None
    masks = {"t": TRAIN_TRUTH, "v": VAL_TRUTH}
    both = replace(val, samples=(*val.samples, *context.train.samples), mask_reader=DictMasks(masks))
    save_mask(context.folder.prediction("t"), TRAIN_MASK)
    context = replace(context, val=both)
    tested = metrics_of(context).find("segmenter", "val")
    assert tested is not None
    assert tested.images == 2
    taught = replace(context, config=with_settings(context.config, ("segmenter.masks", "truth")))
    metrics = metrics_of(taught)
    score = metrics.find("segmenter", "val")
    assert score is not None
    assert score.images == 1
    assert "the segmenter has learnt from the true masks of 1 images of train" in metrics.notes
    assert any(note.startswith("val: 1 of its 2 images taught the segmenter") for note in metrics.notes)
    assert EVALUATE.inputs is not None
    assert EVALUATE.inputs(context) == {}
    assert list(EVALUATE.inputs(taught).values()) == [1]
    alone = replace(taught, val=both.keep(["t"]))
    metrics = metrics_of(alone)
    assert metrics.find("segmenter", "val") is None
    assert "val: no image is left to score, so the segmenter is not scored" in metrics.notes


def test_masks_that_a_person_has_corrected_are_counted_apart(context: Context) -> None:
    images = {"t": TaughtImage("t", "digest")}
    taught = Taught(context.folder.taught, "", CLASSES, images)
    metrics = metrics_of(replace(context, taught=taught))
    told = [(score.what, score.split, score.images) for score in metrics.scores if score.subject == "masks"]
    assert told == [("masks, corrected", "train", 1), ("masks", "val", 1)]
    assert metrics.taught == TaughtCounts(masks=1, right=0, wrong=0, tags=0, others=0)
    assert "a person has helped: 1 corrected mask" in metrics.notes
