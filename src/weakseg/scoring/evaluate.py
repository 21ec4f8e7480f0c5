"""Stage `evaluate`: the segmenter's masks of the validation split, and every number that can be had, truth or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.csv_cells import to_csv
from weakseg.data.base import Dataset
from weakseg.data.images import ShrunkImage
from weakseg.data.masks import read_mask
from weakseg.files import JsonValue, write_text
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.pipeline.artifacts import RunFolder, load_info, load_seed, save_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.image_jobs import ImageJob, ImageWork, run_job
from weakseg.pipeline.images import first_missing, seeded_datasets
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.networks import WEIGHTS_FROM
from weakseg.pipeline.origin import read_map, read_origin
from weakseg.pipeline.pseudo_masks import choose_training_images, truly_taught
from weakseg.pipeline.requirements import require_for_evaluate
from weakseg.pipeline.segmenters import load_segmenter
from weakseg.pipeline.stage import Stage
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.threshold import mask_threshold
from weakseg.refine.masks import shows_class
from weakseg.scoring.ablation import mask_files, predict_steps, prediction_steps, score_ablation
from weakseg.scoring.compare import score_comparison
from weakseg.scoring.detections import detection_files, score_instances, write_instance_results
from weakseg.scoring.from_counts import NAN, make_curve, note_unscored, score_confusion, score_sweep
from weakseg.scoring.health import write_tag_rows
from weakseg.scoring.scores import (
    ClassifierScore,
    Curve,
    Metrics,
    Score,
    number,
    percent,
    save_metrics,
)
from weakseg.scoring.truth import read_truth
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

IMAGE_COLUMNS = ("id", "split", "tags", "mask_iou", "segmenter_iou")
"""Columns of `image_scores.csv`; a score is empty where there is no truth or nothing to score."""


def evaluate(context: Context) -> str:
    """Predict the validation split and score seeds, masks, instances and predictions: everything -> `metrics.json`."""
    predict_split(context)
    checked = check_masks(context)
    wait_for_all()
    if rank() != 0:
        return ""
    datasets = seeded_datasets(context)
    scores: list[Score] = []
    curves: list[Curve] = []
    notes: list[str] = []
    rows: dict[str, dict[str, str]] = {}
    faults: set[str] = set()
    with show_progress("scoring") as tick:
        total = sum(len(dataset) for dataset in datasets) + len(context.val or ())
        done = 0
        for dataset in datasets:
            tally = SplitTally(context, dataset, faults)
            for sample in dataset:
                rows[sample.id] = tally.count(sample)
                done += 1
                tick(done, total)
            tally.collect(scores, curves, notes)
        if context.val is None:
            notes.append("no validation split, so the segmenter is not scored")
        else:
            scores += _score_predictions(context, context.val, rows, notes, faults)
            tick(total, total)
    notes += _tell_teachers(context)
    compared = score_comparison(context, notes, faults)
    instances = score_instances(context, notes, faults)
    ablation = score_ablation(context, notes, faults)
    write_instance_results(context)
    if faults:
        notes.append(f"truth masks that cannot be used: {len(faults)}; 'weakseg check' lists them")
    metrics = Metrics(
        dataset=context.train.name,
        label_names=context.train.classes.label_names,
        classifier=_classifier_score(context),
        scores=tuple(scores),
        curves=tuple(curves),
        notes=tuple(notes),
        compared=compared,
        instances=instances,
        ablation=ablation,
        health=checked.health,
        taught=None if context.taught is None else context.taught.count(context.train, context.val),
    )
    write_tag_rows(context.folder.mask_health, checked.tags, context.train.classes.names)
    _write_rows(context.folder, rows)
    save_metrics(context.folder.metrics, metrics)
    return _summarise(metrics)


def predict_split(context: Context) -> None:
    """Write the segmenter's masks of every validation image that lacks one."""
    context.folder.predictions.mkdir(parents=True, exist_ok=True)  # the stage's output, even when it stays empty
    if context.val is None:
        return
    run_job(context, PREDICTIONS, [context.val])


def unpredicted_file(context: Context, sample_id: str) -> Path:
    """Name the first of an image's predictions that is missing."""
    return first_missing(mask_files(context, sample_id))


@contextmanager
def open_predictions(context: Context) -> Iterator[ImageWork]:
    """Lend the run's segmenter as what writes predictions."""
    segmenter, _ = load_segmenter(context.folder.network("segmenter").model, context.device)
    steps = prediction_steps(context.config.evaluate)

    def write(sample: Sample, image: ShrunkImage) -> None:
        found = predict_steps(segmenter, image.pixels, steps, max_side_px=context.config.data.max_side_px)
        for path, labels in zip(mask_files(context, sample.id), found, strict=True):
            save_mask(path, labels)  # the prediction itself last

    yield write


PREDICTIONS = ImageJob(
    name="predictions",
    stage="evaluate",
    label="predicting",
    output=unpredicted_file,
    open=open_predictions,
    reading="whole",
)
"""What makes the segmenter's masks of validation images -> `predictions/`."""


class SplitTally:
    """Counts seeds and masks of one split against its truth.

    Args:
        context: The run.
        dataset: The split.
        faults: See `read_truth`.
    """

    def __init__(self, context: Context, dataset: Dataset, faults: set[str]) -> None:
        self.context = context
        self.dataset = dataset
        self.faults = faults
        # The first threshold is 0, the last just below 1: at 1 nothing is foreground.
        steps = context.config.evaluate.threshold_steps
        self.sweep = ThresholdSweep(dataset.classes.num_labels, np.arange(steps) / steps)
        # A person's masks say nothing of how good the run's own are.
        self.masks, self.corrected = (ConfusionMatrix(dataset.classes.num_labels) for _ in range(2))

    def count(self, sample: Sample) -> dict[str, str]:
        """Count one image and return its row of `image_scores.csv`."""
        row = _row(self.dataset, sample)
        mask = read_mask(self.context.folder.mask(sample.id))
        truth = read_truth(self.dataset, sample, mask.shape, self.faults)
        if truth is not None:
            maps = load_seed(self.context.folder.seed(sample.id))
            self.sweep.update(maps.full().numpy(), maps.keys, truth)
            is_corrected = self.context.taught is not None and self.context.taught.has_mask(sample.id)
            (self.corrected if is_corrected else self.masks).update(mask, truth)
            row["mask_iou"] = _image_iou(mask, truth, self.dataset.classes.num_labels)
        return row

    def collect(self, scores: list[Score], curves: list[Curve], notes: list[str]) -> None:
        """Append what was counted."""
        split = self.dataset.split
        if self.masks.images + self.corrected.images == 0:
            notes.append(f"{split}: no truth masks, so seeds and masks are not scored")
            return
        threshold = mask_threshold(self.context)
        sweep = self.sweep.result()
        scores.append(score_sweep(sweep, split=split))
        if scores[-1].undefined is None:
            curves.append(make_curve(sweep, split=split))
        names = self.dataset.classes.label_names
        parts = ((None, self.masks),) if not self.corrected.images else ((False, self.masks), (True, self.corrected))
        for is_corrected, counts in parts:
            if not counts.images:
                continue
            found = counts.result()
            cut_at = None if is_corrected else threshold
            notes += filter(None, [note_unscored(found, subject="masks", split=split, label_names=names)])
            scores.append(
                score_confusion(
                    found,
                    subject="masks",
                    split=split,
                    given_tags=True,
                    threshold_choice="none" if cut_at is None else cut_at.choice,
                    threshold=None if cut_at is None else cut_at.value,
                    corrected=is_corrected,
                )
            )


def _score_predictions(
    context: Context, val: Dataset, rows: dict[str, dict[str, str]], notes: list[str], faults: set[str]
) -> list[Score]:
    confusion = ConfusionMatrix(val.classes.num_labels)
    found_any = False
    known = _taught_and_tested(context)
    if known:
        notes.append(
            f"{val.split}: {len(known)} of its {len(val)} images taught the segmenter by their true or corrected "
            "masks, so that its score leaves them out"
        )
    for sample in val:
        row = rows.setdefault(sample.id, _row(val, sample))
        prediction = read_mask(context.folder.prediction(sample.id))
        found_any = found_any or shows_class(prediction)
        truth = None if sample.id in known else read_truth(val, sample, prediction.shape, faults)
        if truth is None:
            continue
        confusion.update(prediction, truth)
        row["segmenter_iou"] = _image_iou(prediction, truth, val.classes.num_labels)
    if not found_any:
        notes.append(
            f"{val.split}: the segmenter takes all {len(val)} images for background; look at the masks of train"
        )
    if confusion.images == 0:
        why = "no image is left to score" if known else "no truth masks"
        notes.append(f"{val.split}: {why}, so the segmenter is not scored")
        return []
    result = confusion.result()
    names = val.classes.label_names
    notes += filter(None, [note_unscored(result, subject="segmenter", split=val.split, label_names=names)])
    return [
        score_confusion(
            result,
            subject="segmenter",
            split=val.split,
            given_tags=False,
            threshold_choice="none",
            threshold=None,
        )
    ]


def _taught_and_tested(context: Context) -> frozenset[str]:
    """Name the images of the validation split by whose true or corrected masks the segmenter has learnt."""
    return truly_taught(context) & {sample.id for sample in context.val or ()}


def _name_taught_and_tested(context: Context) -> dict[str, JsonValue]:
    number = len(_taught_and_tested(context))
    return {"images that are left out, since the segmenter has learnt from their masks": number} if number else {}


def _tell_teachers(context: Context) -> list[str]:
    """Mark what has learnt from more than tags."""
    told = []
    if context.config.segmenter.masks == "truth":
        number = len(choose_training_images(context))
        told.append(f"the segmenter has learnt from the true masks of {number} images of {context.train.split}")
    if context.taught is not None:
        told.append(f"a person has helped: {context.taught.count(context.train, context.val).describe()}")
    return told


def _classifier_score(context: Context) -> ClassifierScore | None:
    if why_no_classifier(context):
        return None
    folder = context.folder.network("classifier")
    reached, origin = read_map(folder), read_origin(folder)
    return ClassifierScore(
        split=None if context.val is None else context.val.split,
        images=0 if context.val is None else len(context.val),
        mean_average_precision=None if reached is None else number(reached),
        weights_from=str(load_info(folder.model).get(WEIGHTS_FROM)),
        released_sha256=None if origin is None else origin.sha256,
    )


def _row(dataset: Dataset, sample: Sample) -> dict[str, str]:
    tags = ";".join(dataset.classes.decode(sample.tags))
    return {"id": sample.id, "split": dataset.split, "tags": tags, "mask_iou": "", "segmenter_iou": ""}


def _image_iou(labels: NDArray[np.uint8], truth: NDArray[np.uint8], num_labels: int) -> str:
    confusion = ConfusionMatrix(num_labels)
    confusion.update(labels, truth)
    iou = number(confusion.result().mean_iou)
    return "" if iou is None else f"{iou:.4f}"


def _write_rows(folder: RunFolder, rows: dict[str, dict[str, str]]) -> None:
    cells = ([row[column] for column in IMAGE_COLUMNS] for row in rows.values())
    write_text(folder.image_scores, to_csv(IMAGE_COLUMNS, cells))


def _summarise(metrics: Metrics) -> str:
    found = [
        f"{score.what} {percent(score.mean_iou, undefined=NAN)} on {score.split}"
        + ("" if score.undefined is None else f" ({score.undefined})")
        for score in metrics.scores
    ]
    found += [f"instances AP50 {percent(score.mean_ap50)} on {score.split}" for score in metrics.instances]
    return "; ".join(found) or "no truth masks: nothing to score"


def _written_files(context: Context) -> list[Path]:
    predictions = [path for sample in context.val or () for path in mask_files(context, sample.id)]
    return [context.folder.metrics, context.folder.image_scores, *detection_files(context), *predictions]


EVALUATE = Stage(
    name="evaluate",
    version=4,
    settings=("evaluate", "data.max_side_px"),
    needs=("classify", "localize", "refine", "segment"),
    outputs=("predictions", "ablation", "metrics.json", "image_scores.csv", "mask_health.csv", "detections"),
    run=evaluate,
    files=_written_files,
    inputs=_name_taught_and_tested,
    require=require_for_evaluate,
    images=lambda context: len(context.val or ()),
    derived=True,
)
