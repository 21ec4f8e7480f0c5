"""Scoring the runs of a study of methods: mIoU of seeds and masks against the truth, and how its threshold was chosen.

A score is kept beside what was scored, as `score-<what>.json`, so that a study that goes on does not count twice. It
knows by which truth it was made: where truth masks have changed since, it is made anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError, DataError
from weakseg.files import write_json
from weakseg.ops.maps import FloatArray
from weakseg.ops.metrics import ConfusionMatrix, ThresholdSweep
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.localizers import why_no_classifier
from weakseg.pipeline.networks import load_history
from weakseg.pipeline.seeds import pair_with_seed
from weakseg.pipeline.threshold import mask_threshold
from weakseg.pipeline.walking import open_walker
from weakseg.scoring.scores import ThresholdChoice, number
from weakseg.scoring.truth import read_truth
from weakseg.studies.truth_images import choose_images
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

TRUTH_KEY = "truth"
"""Entry of a kept score: digest of the truth masks it was made by."""


@dataclass(frozen=True)
class MethodScore:
    """The mIoU of seeds or masks of one split.

    Args:
        mean_iou: 0..1; None where undefined.
        threshold: Background threshold; None where there is none.
        threshold_choice: How it was chosen.
        images: Number of images with a truth mask.
    """

    mean_iou: float | None
    threshold: float | None
    threshold_choice: ThresholdChoice
    images: int


def score_seeds(context: Context, *, split: str, truth_digest: str) -> MethodScore:
    """Score seeds at the background threshold that is best on these very images.

    Args:
        context: The run.
        split: `train` or `val`.
        truth_digest: Of the truth of these images, see `weakseg.scoring.truth.digest_truth`.
    """

    def maps() -> Iterator[tuple[Sample, FloatArray, tuple[int, ...]]]:
        for sample in scored_split(context, split):
            seed = load_seed(context.folder.seed(sample.id))
            yield sample, seed.full().numpy(), seed.keys

    return _keep_score(context, "seeds", truth_digest, lambda: _sweep(context, split, maps()))


def score_masks(context: Context, *, split: str, truth_digest: str) -> MethodScore:
    """Score masks as they are, at their own background threshold if they have one; see `score_seeds`."""

    def score() -> MethodScore:
        dataset = scored_split(context, split)
        counts = ConfusionMatrix(dataset.classes.num_labels)
        for sample in dataset:
            mask = read_mask(context.folder.mask(sample.id))
            truth = read_truth(dataset, sample, mask.shape)
            if truth is not None:
                counts.update(mask, truth)
        threshold = mask_threshold(context)
        choice: ThresholdChoice = "none" if threshold is None else threshold.choice
        value = None if threshold is None else threshold.value
        return MethodScore(number(counts.result().mean_iou), value, choice, counts.images)

    return _keep_score(context, "masks", truth_digest, score)


def score_walked(context: Context, *, split: str, truth_digest: str) -> MethodScore:
    """Score IRN's masks at the background threshold that is best on these very images; see `score_seeds`.

    The threshold comes after the walk, so that one walk, the stage's, shows all of them.
    """

    def maps() -> Iterator[tuple[Sample, FloatArray, tuple[int, ...]]]:
        dataset, walker = scored_split(context, split), open_walker(context)
        for sample in dataset:
            item = pair_with_seed(context, sample, dataset.load_image(sample))
            walked = walker.walk(item, walker.find_edges(item), size_hw=item.size_hw)
            yield sample, walked.cpu().numpy(), item.seed.keys

    return _keep_score(context, "walked", truth_digest, lambda: _sweep(context, split, maps()))


def require_truth(context: Context, *, split: str) -> None:
    """Raise a `DataError` unless a tagged image of the split has a truth mask: hours of training would tell nothing."""
    dataset = context.train if split == "train" else context.val
    if dataset is None or not choose_images(dataset, images=1, faults=set()).samples:
        raise DataError(
            f"{context.train.name} {split}: no tagged image has a truth mask that can be used, so nothing can be "
            "scored; choose another --split, or a data set with masks"
        )


def scored_split(context: Context, split: str) -> Dataset:
    """Return the images of a split that have seeds."""
    return seeded_datasets(context)[context.config.localize.splits.index(split)]


def classifier_map(context: Context) -> float | None:
    """Return the mean average precision that a run's classifier has reached on the validation split, 0..1, if any."""
    if why_no_classifier(context):
        return None
    reached = load_history(context.folder.network("classifier"))[-1].metrics.get("map")
    return None if reached is None else number(reached)


def _sweep(context: Context, split: str, maps: Iterable[tuple[Sample, FloatArray, tuple[int, ...]]]) -> MethodScore:
    dataset = scored_split(context, split)
    steps = context.config.evaluate.threshold_steps
    sweep = ThresholdSweep(dataset.classes.num_labels, np.arange(steps) / steps)
    for sample, values, keys in maps:
        truth = read_truth(dataset, sample, values.shape[1:])
        if truth is not None:
            sweep.update(values, keys, truth)
    best = sweep.result()
    return MethodScore(number(best.best_mean_iou), number(best.best_threshold), "oracle", sweep.images)


def _keep_score(context: Context, subject: str, truth_digest: str, compute: Callable[[], MethodScore]) -> MethodScore:
    """Return the score that is there, or compute it on rank 0 and keep it."""
    path = score_file(context, subject)
    if rank() == 0 and _is_outdated(path, truth_digest):
        write_json(path, {**asdict(compute()), TRUTH_KEY: truth_digest})
    wait_for_all()
    try:
        kept = decode_json(path.read_text(encoding="utf-8"))
        return MethodScore(**{key: value for key, value in kept.items() if key != TRUTH_KEY})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}); delete it and start the study again") from None


def _is_outdated(path: Path, truth_digest: str) -> bool:
    """Say whether a score is yet to be made or was made by other truth; a damaged one is left to those who read it."""
    if not path.is_file():
        return True
    try:
        made_by = decode_json(path.read_text(encoding="utf-8")).get(TRUTH_KEY)
    except (OSError, ValueError, AttributeError):
        return False
    if made_by != truth_digest:
        logger.info("%s: scored again, since truth masks have changed", path)
    return bool(made_by != truth_digest)


def score_file(context: Context, subject: str) -> Path:
    """Return where a score of a run is kept, JSON."""
    return context.folder.root / f"score-{subject}.json"
