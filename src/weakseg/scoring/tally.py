"""Holding a split's seeds, masks and predictions against its truth, image by image."""

from __future__ import annotations

import numpy as np

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.pseudo_masks import truly_taught
from weakseg.pipeline.threshold import mask_threshold
from weakseg.refine.masks import shows_class
from weakseg.scoring.from_counts import make_curve, note_unscored, score_confusion, score_sweep
from weakseg.scoring.image_scores import begin_row, image_iou
from weakseg.scoring.scores import Curve, Score
from weakseg.scoring.truth import read_truth
from weakseg.types import Sample


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
        row = begin_row(self.dataset, sample)
        mask = read_mask(self.context.folder.mask(sample.id))
        truth = read_truth(self.dataset, sample, mask.shape, self.faults)
        if truth is not None:
            maps = load_seed(self.context.folder.seed(sample.id))
            self.sweep.update(maps.full().numpy(), maps.keys, truth)
            is_corrected = self.context.taught is not None and self.context.taught.has_mask(sample.id)
            (self.corrected if is_corrected else self.masks).update(mask, truth)
            row["mask_iou"] = image_iou(mask, truth, self.dataset.classes.num_labels)
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


def score_predictions(
    context: Context, val: Dataset, rows: dict[str, dict[str, str]], notes: list[str], faults: set[str]
) -> list[Score]:
    """Score the segmenter's masks of a split; no score where nothing can be said.

    Args:
        context: The run.
        val: The validation split.
        rows: Rows of `image_scores.csv` by image; gets those of the split.
        notes: Gets what could not be measured, and why.
        faults: See `read_truth`.
    """
    confusion = ConfusionMatrix(val.classes.num_labels)
    found_any = False
    known = list_taught_and_tested(context)
    if known:
        notes.append(
            f"{val.split}: {len(known)} of its {len(val)} images taught the segmenter by their true or corrected "
            "masks, so that its score leaves them out"
        )
    for sample in val:
        row = rows.setdefault(sample.id, begin_row(val, sample))
        prediction = read_mask(context.folder.prediction(sample.id))
        found_any = found_any or shows_class(prediction)
        truth = None if sample.id in known else read_truth(val, sample, prediction.shape, faults)
        if truth is None:
            continue
        confusion.update(prediction, truth)
        row["segmenter_iou"] = image_iou(prediction, truth, val.classes.num_labels)
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


def list_taught_and_tested(context: Context) -> frozenset[str]:
    """Name the images of the validation split by whose true or corrected masks the segmenter has learnt."""
    return truly_taught(context) & {sample.id for sample in context.val or ()}
