"""What scales, flip and CRF add to a segmenter at test time: the validation split predicted and scored step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from weakseg.config.schema import EvaluateConfig, SegmenterCRFConfig
from weakseg.data.masks import read_mask
from weakseg.models.inference import label_views, probabilities_of_views
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import limit_side
from weakseg.ops.metrics import ConfusionMatrix
from weakseg.pipeline.context import Context
from weakseg.pipeline.pseudo_masks import truly_taught
from weakseg.scoring.from_counts import mean_of_shown, measured, why_undefined
from weakseg.scoring.scores import AblationScore, number
from weakseg.scoring.truth import read_truth


@dataclass(frozen=True)
class Step:
    """One way to predict an image.

    Args:
        name: What sets it apart from the step before, such as `+ flip`.
        key: Folder of its masks within that of the ablation.
        scales: Factors the image is resized by.
        flip: Whether each of them is also seen mirrored.
        crf: Settings of the CRF, or None for none.
    """

    name: str
    key: str
    scales: tuple[float, ...]
    flip: bool
    crf: CRFSettings | None

    def describe(self) -> str:
        """Say in words how it predicts."""
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        views = f"scale{'s' * (len(self.scales) > 1)} {scales}, {'flipped too' if self.flip else 'not flipped'}"
        if self.crf is None:
            return f"{views}, no CRF"
        gaussian, bilateral = (
            ", ".join(f"{x:g}" for x in kernel) for kernel in (self.crf.gaussian, self.crf.bilateral)
        )
        return f"{views}, CRF ({gaussian}), ({bilateral}), {self.crf.iterations} iterations"


def make_crf(config: SegmenterCRFConfig) -> CRFSettings | None:
    """Turn the section of a recipe into the prediction's own settings; None if the CRF is off."""
    settings = CRFSettings(gaussian=config.gaussian, bilateral=config.bilateral, iterations=config.iterations)
    return settings if config.enabled else None


def prediction_steps(config: EvaluateConfig) -> tuple[Step, ...]:
    """Return the ways to predict an image, the recipe's own one last.

    Without `ablate` that is the only one. Otherwise the image alone comes first, and each of scales, flip and CRF that
    the recipe uses is added to the step before.
    """
    crf = make_crf(config.crf)
    if not config.ablate:
        return (Step("as set", "set", config.scales, config.flip, crf),)
    steps = [Step("single scale", "single", (1.0,), False, None)]
    if config.scales != (1.0,):
        steps.append(Step("+ scales", "scales", config.scales, False, None))
    if config.flip:
        steps.append(Step("+ flip", "flip", config.scales, True, None))
    if crf is not None:
        steps.append(Step("+ CRF", "crf", config.scales, config.flip, crf))
    return tuple(steps)


def predict_steps(
    segmenter: SegmentationNetwork, image: NDArray[np.uint8], steps: Sequence[Step], *, max_side_px: int | None
) -> list[NDArray[np.uint8]]:
    """Label an image in every way; what two steps have in common is computed once.

    Args:
        segmenter: The network.
        image: (H, W, 3) uint8 RGB, not modified.
        steps: The ways.
        max_side_px: Scale 1 is the image shrunk to this longer side.

    Returns:
        (H, W) uint8 labels per step; each is what `predict_labels` returns.
    """
    base = limit_side(image, max_side_px)
    size_hw = (image.shape[0], image.shape[1])
    seen: dict[tuple[tuple[float, ...], bool], list[Tensor]] = {}
    found = []
    for step in steps:
        key = (step.scales, step.flip)
        if key not in seen:
            seen[key] = probabilities_of_views(segmenter, base, scales=step.scales, flip=step.flip)
        found.append(label_views(seen[key], base, size_hw, crf=step.crf).labels)
    return found


def mask_files(context: Context, sample_id: str) -> list[Path]:
    """Return the file of each step's mask of an image; the last one is its prediction."""
    earlier = prediction_steps(context.config.evaluate)[:-1]
    files = [context.folder.ablated(step.key, sample_id) for step in earlier]
    return [*files, context.folder.prediction(sample_id)]


def score_ablation(context: Context, notes: list[str], faults: set[str]) -> tuple[AblationScore, ...]:
    """Score every step on the validation split.

    Args:
        context: A run whose validation split is predicted.
        notes: Receives what cannot be compared, and why.
        faults: See `read_truth`.

    Returns:
        One score per step; none without `ablate`, without truth, or with nothing to add to the image alone.
    """
    val, config = context.val, context.config.evaluate
    if not config.ablate or val is None:
        return ()
    steps = prediction_steps(config)
    if len(steps) == 1:
        notes.append("evaluate.ablate: neither scales, flip nor CRF are on, so there is nothing to leave out")
        return ()
    tallies = [ConfusionMatrix(val.classes.num_labels) for _ in steps]
    known = truly_taught(context)
    for sample in val:
        if sample.id in known:
            continue
        masks = [read_mask(path) for path in mask_files(context, sample.id)]
        truth = read_truth(val, sample, masks[-1].shape, faults)
        if truth is not None:
            for tally, mask in zip(tallies, masks, strict=True):
                tally.update(mask, truth)
    results = [tally.result() for tally in tallies]
    if why_undefined(results[0].support) is not None:
        return ()  # said of the segmenter already
    return tuple(
        AblationScore(
            name=step.name,
            detail=step.describe(),
            split=val.split,
            images=result.images,
            mean_iou=number(float(mean_of_shown(result.iou, result.support))),
            iou=measured(result.iou, result.support),
        )
        for step, result in zip(steps, results, strict=True)
    )
