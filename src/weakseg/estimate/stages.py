"""What each stage of a recipe consists of, done by the very functions that a run calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from weakseg.config.chosen import needs_classifier
from weakseg.estimate.costs import PartCost
from weakseg.estimate.localizing import localize_parts
from weakseg.estimate.parts import ImageWork, Part, image_part, training_part
from weakseg.estimate.refining import refine_parts
from weakseg.estimate.trial import (
    StandInMasks,
    Trial,
    count_tagged,
    put_classifier,
    put_segmenter,
    write_masks,
    write_seeds,
)
from weakseg.models.classifier import Classifier
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.pipeline.classifiers import fit_classifier
from weakseg.pipeline.context import Context
from weakseg.pipeline.health import check_masks
from weakseg.pipeline.segmenters import fit_segmenter
from weakseg.scoring.ablation import mask_files, prediction_steps
from weakseg.scoring.predictions import predict_split
from weakseg.scoring.tally import SplitTally
from weakseg.train.classify import predict_logits
from weakseg.train.length import count_epochs
from weakseg.train.plan import TrainingHooks

REPORT_S, PICTURE_S, LOOK_S = 2.0, 0.15, 0.01
"""Seconds of a report, of an image that it shows, and of one that it compares; on a laptop. Not worth more trouble."""

LOOKED_AT = 1000
"""It compares no more images."""


def plan_parts(trial: Trial) -> tuple[Part, ...]:
    """Name the parts of all stages of a recipe, in order."""
    return (
        *_classify_parts(trial),
        *localize_parts(trial),
        *refine_parts(trial),
        *_segment_parts(trial),
        *_evaluate_parts(trial),
        _report_part(trial),
    )


def _classify_parts(trial: Trial) -> list[Part]:
    context, config = trial.context, trial.recipe.classifier
    parts: list[Part] = []
    if not needs_classifier(trial.recipe.localize):
        return parts
    if config.released is None:
        pasted = config.cda.masks is not None
        parts.append(
            training_part(
                "classify",
                "classifier" + (", pasted images too" if pasted else ""),
                lambda trial: put_classifier(trial.context),
                _fit_classifier,
                images=len(context.train) * (2 if pasted else 1),
                epochs=count_epochs(config, len(context.train)),
                batch=config.batch_size,
            )
        )
    if context.val is not None:
        every = config.released is None and trial.recipe.runtime.validate == "every"
        repeats = count_epochs(config, len(context.train)) if every else 1
        parts.append(image_part("classify", "its mAP", _look_at_whole, images=len(context.val), repeats=repeats))
    return parts


def _fit_classifier(context: Context, network: nn.Module, batch: int, hooks: TrainingHooks) -> None:
    assert isinstance(network, Classifier)
    config = replace(context.config, classifier=replace(context.config.classifier, batch_size=batch))
    fit_classifier(replace(context, config=config), network, None, hooks)


def _look_at_whole(trial: Trial) -> ImageWork:
    network = put_classifier(trial.context)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        workers, max_side_px = context.config.runtime.workers, context.config.data.max_side_px
        predict_logits(network, context.train, workers=workers, max_side_px=max_side_px)

    return work


def _segment_parts(trial: Trial) -> list[Part]:
    config = trial.recipe.segmenter
    return [
        training_part(
            "segment",
            "segmenter",
            _build_segmenter,
            _fit_segmenter,
            images=len(trial.context.train),
            epochs=count_epochs(config, len(trial.context.train)),
            batch=config.batch_size,
            accumulate=config.accumulate,
        )
    ]


def _build_segmenter(trial: Trial) -> nn.Module:
    return put_segmenter(trial.context)


def _fit_segmenter(context: Context, network: nn.Module, batch: int, hooks: TrainingHooks) -> None:
    assert isinstance(network, SegmentationNetwork)
    config = context.config.segmenter
    config = replace(config, batch_size=batch, accumulate=min(batch, config.accumulate))
    context = replace(context, config=replace(context.config, segmenter=config))
    fit_segmenter(context, network, context.train, StandInMasks(), hooks)


def _evaluate_parts(trial: Trial) -> list[Part]:
    context, config = trial.context, trial.recipe.evaluate
    parts = []
    if context.val is not None:
        views = len(config.scales) * (2 if config.flip else 1)
        what = f"predictions, {views} view{'s' * (views > 1)} each"
        ways = len(prediction_steps(config))
        what += f", {ways} ways" if ways > 1 else ""
        parts.append(image_part("evaluate", what, _predict, images=len(context.val), share=2.5))
    parts.append(
        image_part("evaluate", "scores", _score, images=count_tagged(context), share=0.5, shrinks=False, memory=False)
    )
    return parts


def _predict(trial: Trial) -> ImageWork:
    put_segmenter(trial.context)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.seeding(ids, side_px)
        for path in (path for name in ids for path in mask_files(context, name)):
            path.unlink(missing_ok=True)
        predict_split(context)

    return work


def _score(trial: Trial) -> ImageWork:
    write_seeds(trial, trial.pool)
    write_masks(trial, trial.pool)

    def work(ids: Sequence[str], side_px: int | None) -> None:
        context = trial.training(ids, side_px)
        tally = SplitTally(context, context.train, set())
        for sample in context.train:
            tally.count(sample)
        check_masks(context)

    return work


def _report_part(trial: Trial) -> Part:
    images = count_tagged(trial.context)
    pictures = min(trial.recipe.report.gallery_images, images)
    time_s = REPORT_S + PICTURE_S * pictures + LOOK_S * min(images, LOOKED_AT)
    what = f"report of {pictures} images"

    def run(trial: Trial, deadline_s: float) -> PartCost:
        return PartCost("report", what, time_s, note="not tried: a usual one")

    return Part("report", what, 0.0, run)
