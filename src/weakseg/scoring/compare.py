"""Scoring the images on which CAM and RIB are compared."""

from __future__ import annotations

import numpy as np

from weakseg.data.base import Dataset
from weakseg.ops.metrics import ThresholdSweep
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.comparison import choose_compared, compared_iterations
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.scoring.from_counts import make_curve
from weakseg.scoring.scores import ComparedSeeds
from weakseg.scoring.truth import read_truth


def score_comparison(context: Context, notes: list[str], faults: set[str]) -> tuple[ComparedSeeds, ...]:
    """Sweep thresholds over the seeds of the compared images, after each number of iterations that was kept.

    Args:
        context: A run whose seeds are finished.
        notes: Receives why there is nothing to score, where images were compared but have no truth.
        faults: See `read_truth`.

    Returns:
        One entry per number of iterations, CAM first; empty without images to compare, or without their truth.
    """
    compared = choose_compared(context.config.localize, seeded_datasets(context))
    if compared is None:
        return ()
    found = tuple(
        _score_state(context, compared, iterations, faults)
        for iterations in compared_iterations(context.config.localize)
    )
    if found[0].curve.images == 0:
        notes.append(f"{compared.split}: no truth masks of the compared images, so CAM and RIB are only shown")
        return ()
    if found[0].curve.best_index is None:
        notes.append(
            f"{compared.split}: the truth of the compared images shows no class, so CAM and RIB are only shown"
        )
        return ()
    return found


def _score_state(context: Context, compared: Dataset, iterations: int, faults: set[str]) -> ComparedSeeds:
    steps = context.config.evaluate.threshold_steps
    sweep = ThresholdSweep(compared.classes.num_labels, np.arange(steps) / steps)
    for sample in compared:
        maps = load_seed(context.folder.adaptation(iterations, sample.id))
        truth = read_truth(compared, sample, maps.size_hw, faults)
        if truth is not None:
            sweep.update(maps.full().numpy(), maps.keys, truth)
    return ComparedSeeds(iterations, make_curve(sweep.result(), split=compared.split))
