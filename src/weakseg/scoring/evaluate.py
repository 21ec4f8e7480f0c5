"""Stage `evaluate`: every number that can be had of a run, with truth or without."""

from __future__ import annotations

from pathlib import Path

from weakseg.files import JsonValue
from weakseg.pipeline.artifacts import load_info
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.networks import WEIGHTS_FROM
from weakseg.pipeline.origin import read_map, read_origin
from weakseg.pipeline.pseudo_masks import choose_training_images
from weakseg.pipeline.requirements import require_for_evaluate
from weakseg.pipeline.stage import Stage
from weakseg.pipeline.telling import show_progress
from weakseg.scoring.ablation import mask_files, score_ablation
from weakseg.scoring.compare import score_comparison
from weakseg.scoring.detections import detection_files, score_instances, write_instance_results
from weakseg.scoring.from_counts import NAN
from weakseg.scoring.health import write_tag_rows
from weakseg.scoring.image_scores import write_image_scores
from weakseg.scoring.metrics_file import save_metrics
from weakseg.scoring.predictions import predict_split
from weakseg.scoring.scores import ClassifierScore, Curve, Metrics, Score, number, percent
from weakseg.scoring.tally import SplitTally, list_taught_and_tested, score_predictions
from weakseg.train.distributed import rank, wait_for_all


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
            scores += score_predictions(context, context.val, rows, notes, faults)
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
    write_image_scores(context.folder.image_scores, rows.values())
    save_metrics(context.folder.metrics, metrics)
    return _summarise(metrics)


def _name_taught_and_tested(context: Context) -> dict[str, JsonValue]:
    number = len(list_taught_and_tested(context))
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
