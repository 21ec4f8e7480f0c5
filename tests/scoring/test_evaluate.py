"""The stage `evaluate`: every score by hand, and every file it writes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.scoring.made_scored import CLASSES, CONFIG, TRAIN_MASK, TRAIN_TRUTH, VAL_PREDICTION, context, metrics_of
from tests.tiny import with_settings
from weakseg.ops.instances import Instances, InstanceTruth
from weakseg.pipeline.artifacts import save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.taught import Taught, TaughtCounts, TaughtImage
from weakseg.refine.instance_files import save_instances
from weakseg.scoring.evaluate import EVALUATE, evaluate
from weakseg.scoring.metrics_file import load_metrics
from weakseg.types import Sample

assert context, "a fixture"


@dataclass(frozen=True)
class OneObject:
    """Reads the first class of every truth mask as one object."""

    masks: Mapping[str, NDArray[np.uint8]]

    def __call__(self, sample: Sample, /) -> InstanceTruth | None:
        truth = self.masks[sample.id]
        return InstanceTruth((truth == 1)[None], np.zeros(1, np.int64), np.zeros(1, np.bool_), truth == 255)


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


def test_a_segmenter_that_finds_nothing_is_pointed_out(context: Context) -> None:
    save_mask(context.folder.prediction("v"), np.zeros_like(VAL_PREDICTION))
    assert metrics_of(context).notes == (
        "val: the segmenter takes all 1 images for background; look at the masks of train",
    )


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


def test_masks_that_a_person_has_corrected_are_counted_apart(context: Context) -> None:
    images = {"t": TaughtImage("t", "digest")}
    taught = Taught(context.folder.taught, "", CLASSES, images)
    metrics = metrics_of(replace(context, taught=taught))
    told = [(score.what, score.split, score.images) for score in metrics.scores if score.subject == "masks"]
    assert told == [("masks, corrected", "train", 1), ("masks", "val", 1)]
    assert metrics.taught == TaughtCounts(masks=1, right=0, wrong=0, tags=0, others=0)
    assert "a person has helped: 1 corrected mask" in metrics.notes
