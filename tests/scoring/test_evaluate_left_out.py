"""What the stage `evaluate` does not score, and how it says so: without truth, with a broken one, or taught by it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.scoring.made_scored import (
    CONFIG,
    TRAIN_MASK,
    TRAIN_TRUTH,
    VAL_TRUTH,
    context,
    make_seed,
    metrics_of,
    rows_of,
    sample,
    with_truth,
)
from tests.tiny import DictMasks, with_settings
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_json
from weakseg.pipeline.artifacts import save_mask, save_seed
from weakseg.pipeline.context import Context
from weakseg.scoring.evaluate import EVALUATE, evaluate
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.truth import read_truth
from weakseg.train.loop import EpochRecord
from weakseg.types import Sample

assert context, "a fixture"


@dataclass(frozen=True)
class Breaking:
    """A reader that cannot read any mask."""

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        raise DataError(f"cannot read mask {sample.id}.png: broken")


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
