"""From score maps to logits: the average, and the average over all but the strongest positions.

Global non-discriminative region pooling (GNDRP) is RIB's (Lee et al., NeurIPS 2021, section 3.3): a class that the
image shows is judged by the positions that speak least for it, so that a gradient on its logit raises those.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.ops.kinds import require_tensor
from weakseg.spelling import require_option

AverageOver = Literal["all", "kept"]
"""What GNDRP divides by: every position of the map, as released, or only the kept ones, as in the paper."""

RELEASED_CLASSES = 20
"""The released code applies GNDRP to this many classes, VOC's, whatever the data set; see `gndrp`."""


def gap(scores: Tensor) -> Tensor:
    """Average every score map.

    Args:
        scores: (N, C, h, w) float.

    Returns:
        (N, C) in the dtype and on the device of `scores`; 0 where a map has no position.

    Raises:
        ShapeError: If `scores` is not (N, C, h, w) float.
    """
    _require_maps(scores)
    if _positions(scores) == 0:
        return scores.sum(dim=(2, 3))  # the mean of nothing would be NaN
    return scores.mean(dim=(2, 3))


def gndrp(
    scores: Tensor,
    tags: Tensor,
    *,
    threshold: float,
    average_over: AverageOver = "all",
    first_classes: int | None = None,
) -> Tensor:
    """Average the score maps of the tagged classes without their strongest positions, those of the others whole.

    A position counts where `score / max(score) < threshold`, the maximum being that of the image's map of that class.
    Which positions count is a constant to the gradient: it reaches the counted positions and nothing else. A map
    whose maximum is negative has ratios of 1 and more, so that nothing counts: its logit is 0 and gets no gradient. One
    whose maximum is 0 counts whole.

    Args:
        scores: (N, C, h, w) float, neither rectified nor normalised. Not modified.
        tags: (N, C) of 0 and 1 in any dtype, on the device of `scores`.
        threshold: Share of the maximum from which on a position is left out: 0.4 for VOC, 0.5 for COCO.
        average_over: `all` divides by h * w, as the released code does; `kept` by the number of positions that
            count, as the paper does.
        first_classes: Treat only this many classes so and average the others whole. The released code does so with
            `RELEASED_CLASSES`, by which 60 of COCO's 80 classes lose the method; None, the default, treats all alike.

    Returns:
        (N, C) in the dtype and on the device of `scores`; 0 where no position counts. A NaN in a map makes its logit
        NaN.

    Raises:
        ShapeError: If the scores are not (N, C, h, w) float or the tags not (N, C).
        ConfigError: If `average_over` is neither of the two, or the threshold is NaN.
    """
    _require_maps(scores)
    require_tensor(tags, "tags")
    if tags.shape != scores.shape[:2]:
        raise ShapeError(f"expected tags of shape {tuple(scores.shape[:2])}, one per map, got {tuple(tags.shape)}")
    require_option(average_over, ("all", "kept"), what="average_over")
    if math.isnan(threshold):
        raise ConfigError("threshold: expected a share of the maximum such as 0.4, got nan")
    if _positions(scores) == 0:
        return gap(scores)
    with torch.no_grad():
        selective = tags > 0
        if first_classes is not None:
            selective = selective & (torch.arange(scores.shape[1], device=scores.device) < first_classes)
        # The comparison is false for NaN, which therefore stays in and shows in the logit.
        strong = scores / scores.amax(dim=(2, 3), keepdim=True) >= threshold
        left_out = strong & selective[:, :, None, None]
    pooled = gap(scores.masked_fill(left_out, 0))
    if average_over == "all":
        return pooled
    counted = left_out.logical_not().sum(dim=(2, 3)).clamp(min=1)
    return pooled * (_positions(scores) / counted).to(pooled.dtype)


def _positions(scores: Tensor) -> int:
    return scores.shape[2] * scores.shape[3]


def _require_maps(scores: Tensor) -> None:
    require_tensor(scores, "score maps")
    if scores.ndim != 4 or not scores.is_floating_point():
        raise ShapeError(f"expected float score maps (N, C, h, w), got {scores.dtype} {tuple(scores.shape)}")
