"""Measuring the runs of one method with one seed: what a row of a study of methods holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from weakseg.config.schema import RunConfig
from weakseg.pipeline.context import Context
from weakseg.refine.method import find_refiner
from weakseg.studies.methods.fixed import fixed_threshold, is_automatic
from weakseg.studies.methods.rows import is_quick
from weakseg.studies.methods.runs import Refinement, SeedRuns, count_updates, stage_seconds
from weakseg.studies.methods.scores import MethodScore, classifier_map, score_masks, score_seeds, score_walked
from weakseg.studies.methods.sweeps import sweep_masks
from weakseg.studies.methods.timing import time_localizer, time_refiner
from weakseg.studies.spread import Measured

CLASS_AGNOSTIC = "merge"
"""The refiner that takes another one's masks: with `auto` those of the CRF at its best threshold."""


@dataclass(frozen=True)
class Task:
    """What to measure.

    Args:
        refinements: What to make of seeds.
        thresholds: Background thresholds of the CRF; unused where the recipe's is `auto`.
        split: `train` or `val`: the images that are scored.
        learn_from: Methods on whose seeds refiners train their networks; None for all.
    """

    refinements: Sequence[str]
    thresholds: Sequence[float]
    split: str
    learn_from: Sequence[str] | None = None

    def refinements_of(self, name: str) -> tuple[str, ...]:
        """Return what to make of the seeds of a method: nothing that trains, unless it may learn from these."""
        is_free = self.learn_from is None or name in self.learn_from
        return tuple(other for other in self.refinements if is_free or not trains(other))


def list_passes(config: RunConfig, methods: Sequence[str], task: Task) -> list[tuple[tuple[str, ...], Task]]:
    """Return in what order a study works: what trains nothing but CAM's classifier first, where there is any, then all.

    Args:
        config: The recipe of the study.
        methods: The rows.
        task: What to measure.

    Returns:
        Rows and columns of each pass; the last has all of them. What an earlier pass has made is found again.
    """
    whole = (tuple(methods), task)
    quick = tuple(name for name in methods if is_quick(config, name))
    masks = tuple(name for name in task.refinements if not trains(name))
    first = (quick, replace(task, refinements=masks))
    return [first, whole] if quick and masks and first != whole else [whole]


def trains(refinement: str) -> bool:
    """Say whether a refiner trains a network."""
    return find_refiner(refinement).trains is not None


def has_own_threshold(refinement: str) -> bool:
    """Say whether a background threshold decides about a refiner's masks."""
    return find_refiner(refinement).has_threshold


def measure_method(runs: SeedRuns, name: str, task: Task) -> Measured:
    """Make and score the runs of one method with one seed.

    Args:
        runs: The runs of the seed.
        name: The method.
        task: What to measure.

    Returns:
        By the names that `weakseg.studies.methods.table` gives to measures.
    """
    split = task.split
    context, truth_digest = runs.seeds(name), runs.digest_truth(split)
    seeds = score_seeds(context, split=split, truth_digest=truth_digest)
    found: dict[str, float | None] = {
        "images": seeds.images,
        "updates": count_updates(context),
        "map": classifier_map(context),
        **name_score("seeds", seeds),
        "classify_s": stage_seconds(context, "classify"),
        "localize_s": stage_seconds(context, "localize"),
        "localize_image_s": time_localizer(context, split=split),
    }
    automatic = is_automatic(runs.context.config)
    for refinement in task.refinements_of(name):
        if refinement == "irn":
            found |= measure_irn(runs, name, split=split)
        elif not automatic:
            found |= _measure_at_number(runs, name, refinement, task)
        elif refinement == CLASS_AGNOSTIC:
            found |= measure_once(runs, name, _merge_at_best(runs, found), split=split)
        elif has_own_threshold(refinement):
            found |= measure_swept(runs, name, refinement, split=split)
        else:
            found |= measure_once(runs, name, Refinement(refinement), split=split)
    return found


def _merge_at_best(runs: SeedRuns, found: Measured) -> Refinement:
    """Return `merge` at the threshold that is best without it; at the fixed one where that is not known."""
    config = runs.context.config
    best = found.get("crf_threshold" if config.refine.merge.on == "crf" else "seeds_threshold")
    return Refinement(CLASS_AGNOSTIC, fixed_threshold(config) if best is None else best)


def _measure_at_number(runs: SeedRuns, name: str, refinement: str, task: Task) -> Measured:
    if refinement == "crf":
        return measure_crf(runs, name, task.thresholds, split=task.split)
    return measure_once(runs, name, Refinement(refinement), split=task.split)


def measure_once(runs: SeedRuns, name: str, refinement: Refinement, *, split: str) -> Measured:
    """Refine a method's seeds and score the masks as they are."""
    context, method = runs.masks(name, refinement), refinement.method
    return {
        method: score_masks(context, split=split, truth_digest=runs.digest_truth(split)).mean_iou,
        f"{method}_s": stage_seconds(context, "refine"),
        f"{method}_image_s": _time(context, split=split),
    }


def measure_irn(runs: SeedRuns, name: str, *, split: str) -> Measured:
    """Train IRNet on a method's seeds and score the walk at every threshold."""
    fixed = fixed_threshold(runs.context.config)
    irn = runs.masks(name, Refinement("irn", fixed if is_automatic(runs.context.config) else None))
    truth_digest = runs.digest_truth(split)
    return {
        **name_score("irn", score_walked(irn, split=split, truth_digest=truth_digest)),
        "irn_fixed": score_masks(irn, split=split, truth_digest=truth_digest).mean_iou,
        "irn_s": stage_seconds(irn, "refine"),
        "irn_image_s": _time(irn, split=split),
    }


def measure_swept(runs: SeedRuns, name: str, refinement: str, *, split: str) -> Measured:
    """Refine a method's seeds at the thresholds that `auto` would try: the best one, its own choice, and the fixed."""
    fixed = fixed_threshold(runs.context.config)
    context = runs.open_masks(name, Refinement(refinement))
    swept = sweep_masks(context, split=split, fixed=fixed)
    return {
        refinement: swept.best,
        f"{refinement}_threshold": swept.best_threshold,
        f"{refinement}_auto": swept.auto,
        f"{refinement}_auto_threshold": swept.auto_threshold,
        f"{refinement}_fixed": swept.fixed,
        f"{refinement}_image_s": _time(context, split=split),
    }


def measure_crf(runs: SeedRuns, name: str, thresholds: Sequence[float], *, split: str) -> Measured:
    """Refine a method's seeds by the CRF at every threshold; the best one, and the recipe's own.

    Args:
        runs: The runs of the seed.
        name: The method.
        thresholds: Background thresholds, the recipe's among them.
        split: The images that are scored.
    """
    contexts = {threshold: runs.masks(name, Refinement("crf", threshold)) for threshold in thresholds}
    truth_digest = runs.digest_truth(split)
    scores = {
        threshold: score_masks(context, split=split, truth_digest=truth_digest)
        for threshold, context in contexts.items()
    }
    own = runs.donor_refinement().threshold
    assert own is not None, "a CRF has a threshold"
    best = max(scores, key=lambda threshold: (scores[threshold].mean_iou or 0.0, -threshold))
    return {
        **name_score("crf", scores[best]),
        "crf_fixed": scores[own].mean_iou,
        "crf_s": stage_seconds(contexts[own], "refine"),
        "crf_image_s": _time(contexts[own], split=split),
    }


def name_score(name: str, score: MethodScore) -> Measured:
    """Return a score and its threshold by their names."""
    return {name: score.mean_iou, f"{name}_threshold": score.threshold}


def _time(context: Context, *, split: str) -> float:
    config = context.config
    thresholds = (fixed_threshold(config),) if has_own_threshold(config.refine.method) else ()
    return time_refiner(context, split=split, thresholds=thresholds)
