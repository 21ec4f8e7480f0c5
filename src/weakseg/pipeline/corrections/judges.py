"""The background threshold, chosen also by how like a run's own masks are to those that a person has corrected.

Corrected masks alone would mislead: people correct the worst first, and those are worst *at the threshold of the run
before*, so that any other one fits them better. What colours and areas say of all images therefore keeps its weight
(docs/corrections.md has measurements).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.ops.metrics import ConfusionMatrix
from weakseg.pipeline.context import Context
from weakseg.pipeline.cutters import Cutter, cut_image
from weakseg.pipeline.seeds import pair_with_seed, resize_labels
from weakseg.pipeline.telling import show_progress
from weakseg.refine.threshold.area import measure_areas
from weakseg.refine.threshold.choice import ThresholdChoice
from weakseg.types import Sample

ENOUGH_MASKS = 10
"""With fewer corrected masks of tagged training images colours and areas decide alone, as without any."""

PRIOR_MASKS = 1000.0
"""Colours and areas of all images weigh as much as so many corrected masks."""

TINY = 1e-6
"""Stands for a mean IoU of 0, whose logarithm is none."""


def list_judges(context: Context) -> list[Sample]:
    """Return the training images whose corrected masks may judge thresholds: tagged, for others have no seed."""
    taught = context.taught
    return [] if taught is None else [s for s in context.train if s.keys and taught.has_mask(s.id)]


def choose_on_masks(
    context: Context,
    cutter: Cutter,
    judges: Sequence[Sample],
    candidates: Sequence[float],
    *,
    support: NDArray[np.float64],
) -> ThresholdChoice | None:
    """Choose the candidate with the largest `support + n / 1000 * ln(mean IoU / largest)` for n corrected masks.

    The mean IoU is that of the run's own masks with the corrected ones, where somebody has looked.

    Args:
        context: The run; its seeds are there.
        cutter: Makes the masks.
        judges: Training images with a corrected mask.
        candidates: (T,) thresholds, ascending.
        support: (T,) what else speaks for each, see `tell_support`. Not modified.

    Returns:
        The choice, the lower of two; None if the corrected masks show no class.

    Raises:
        ArtifactError: If a seed or a corrected mask is missing or damaged.
    """
    assert context.taught is not None, "there are no judges without"
    counts = [ConfusionMatrix(context.train.classes.num_labels) for _ in candidates]
    areas = []
    with show_progress("judging thresholds by the corrected masks") as tick:
        for done, sample in enumerate(judges, start=1):
            item = pair_with_seed(context, sample, context.train.load_image(sample))
            corrected = context.taught.read_mask(sample.id)
            assert corrected is not None, "a judge has a mask"
            truth = resize_labels(corrected, (item.image.shape[0], item.image.shape[1]))
            cuts = cut_image(item, cutter, candidates)
            for count, mask in zip(counts, cuts.masks, strict=True):
                count.update(mask, truth)
            areas.append(measure_areas(cuts))
            tick(done, len(judges))
    curve = np.array([_mean_of_shown(count) for count in counts])
    if np.isnan(curve).all():
        return None
    agreement = np.log(np.maximum(curve, TINY) / max(curve.max(), TINY))
    place = int((support + len(judges) / PRIOR_MASKS * agreement).argmax())
    return ThresholdChoice(
        threshold=float(candidates[place]),
        best=float(candidates[int(curve.argmax())]),
        candidates=tuple(candidates),
        curve=tuple(round(float(value), 6) for value in curve),
        images=len(judges),
        areas=tuple(round(float(share), 6) for share in np.mean(areas, axis=0)),
        is_clear=True,
        corrected=len(judges),
    )


def _mean_of_shown(count: ConfusionMatrix) -> float:
    """Return the mean IoU over the labels that the corrected masks show; NaN where they show no class."""
    found = count.result()
    shown: NDArray[np.bool_] = found.support > 0
    return float(found.iou[shown].mean()) if shown[1:].any() else float("nan")
