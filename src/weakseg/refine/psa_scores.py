"""From seeds to pseudo masks by AffinityNet: class evidence walks between pixels that belong together (PSA).

Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision" (CVPR 2018). The background competes
with the classes at a score of (1 - largest map)^alpha: a low alpha gives it more, a high one less. With two alphas and
the CRF, seeds become the labels that AffinityNet learns from (section 3.2); with a third, they become the scores that
walk along what it has learnt (section 3.3). `docs/psa.md` tells the steps one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ConfigError, ShapeError
from weakseg.models.resnet38 import RESNET38_STRIDE
from weakseg.ops.crf import DenseCRF
from weakseg.ops.crf_settings import PSA_CRF, CRFSettings
from weakseg.ops.maps import FloatArray, strongest_label
from weakseg.ops.walk import affinity_walk
from weakseg.refine.crf_masks import require_maps_of_image
from weakseg.refine.soft_labels import choose_labels
from weakseg.types import IGNORE_LABEL

LOW_ALPHA, HIGH_ALPHA = 4.0, 24.0
"""Powers of the background for the training labels, as in the paper: where the foreground is sure in spite of a strong
background, and where the background is sure in spite of a weak one."""

WALK_ALPHA = 16.0
"""Power of the background that takes part in the walk, as in the paper."""

WALK_RADIUS, WALK_BETA, WALK_DOUBLINGS = 5, 8.0, 8
"""The released walk: pairs closer than 5 cells, affinities to the power 8, 2^8 steps."""


@dataclass(frozen=True)
class AffinityWalk:
    """How evidence walks; the defaults are the released walk.

    Args:
        alpha: Power of the background.
        radius: Steps are shorter than this many cells of 8 px.
        beta: Power of the affinities.
        doublings: The walk has 2^doublings steps.
    """

    alpha: float = WALK_ALPHA
    radius: int = WALK_RADIUS
    beta: float = WALK_BETA
    doublings: int = WALK_DOUBLINGS


PSA_WALK = AffinityWalk()

LEAST_SCORE = 1e-5
"""Scores below this count as this in the CRF, whose energies are -log: that of pydensecrf's own conversion."""


def psa_labels(
    image: NDArray[np.uint8],
    maps: FloatArray,
    keys: Sequence[int],
    *,
    low_alpha: float = LOW_ALPHA,
    high_alpha: float = HIGH_ALPHA,
    settings: CRFSettings = PSA_CRF,
    num_threads: int | None = None,
) -> NDArray[np.uint8]:
    """Label the pixels that are sure to be of a class or of the background, for AffinityNet to learn from.

    The maps compete twice with the background under the CRF. What is foreground against the background of `low_alpha`
    is sure to be of its class, what is background under both is sure to be background.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        maps: (K, H, W) float maps in 0..1, without NaN; K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        low_alpha: Power of the background where the foreground is to be sure, above 0.
        high_alpha: Power of the background where the background is to be sure, at least `low_alpha`.
        settings: The CRF's.
        num_threads: Threads, None for as many as torch uses.

    Returns:
        (H, W) uint8: class index + 1 where that class is sure, 0 where the background is, 255 elsewhere. An image
        without tags is background everywhere: nothing there is in doubt.

    Raises:
        ShapeError: If image, maps and keys are not as described or differ in size.
        ConfigError: If the powers are not in order and above 0, or a setting of the CRF is out of range.
    """
    if not 0 < low_alpha <= high_alpha:
        raise ConfigError(
            f"expected 0 < low_alpha <= high_alpha, got {low_alpha} and {high_alpha}; a pixel is unsure between the two"
        )
    require_maps_of_image(maps, image)
    low, high = (score_background(maps, keys, alpha=alpha) for alpha in (low_alpha, high_alpha))
    if not len(keys):
        return np.zeros(image.shape[:2], np.uint8)
    crf = DenseCRF(image, gaussian=settings.gaussian, bilateral=settings.bilateral, num_threads=num_threads)
    labels = choose_labels(_infer_marginals(crf, low, iterations=settings.iterations), keys)
    rest = choose_labels(_infer_marginals(crf, high, iterations=settings.iterations), keys)
    labels[(labels == 0) & (rest != 0)] = IGNORE_LABEL
    return labels


def psa_mask(
    maps: Tensor,
    keys: Sequence[int],
    features: Tensor,
    *,
    walk: AffinityWalk = PSA_WALK,
    image: NDArray[np.uint8] | None = None,
    settings: CRFSettings = PSA_CRF,
    num_threads: int | None = None,
) -> NDArray[np.uint8]:
    """Label every pixel by the strongest of the classes and the background after the walk.

    Args:
        maps: As for `psa_scores`, like all others.
        keys: The K class indices of the maps, distinct.
        features: From `AffinityNet`.
        walk: The walk.
        image: For the CRF; None for none.
        settings: The CRF's.
        num_threads: Its threads.

    Returns:
        (H, W) uint8, 0 for the background and class index + 1 elsewhere; all 0 for an image without tags. A tie goes
        to the background, then to the first map.

    Raises:
        ShapeError: If maps, keys, features or image are not as described or do not fit each other.
        ConfigError: If an option is outside its range.
    """
    scores = psa_scores(maps, keys, features, walk=walk, image=image, settings=settings, num_threads=num_threads)
    return choose_labels(scores, keys)


def psa_scores(
    maps: Tensor,
    keys: Sequence[int],
    features: Tensor,
    *,
    walk: AffinityWalk = PSA_WALK,
    image: NDArray[np.uint8] | None = None,
    settings: CRFSettings = PSA_CRF,
    num_threads: int | None = None,
) -> NDArray[np.float32]:
    """Find what `psa_mask` chooses by: the walked scores or, with an image, the marginals that its CRF makes of them.

    The largest one's share of their sum is the confidence of the label (`weakseg.refine.soft_labels.soften`).

    Args:
        maps: (K, H, W) float in 0..1: the image's seed at its full size, `ScoreMaps.full()`. K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        features: (D, ceil(H / 8), ceil(W / 8)) float, from `AffinityNet`. Not modified.
        walk: The walk.
        image: (H, W, 3) uint8 RGB, not modified: the CRF then refines the walked scores. None for no CRF.
        settings: The CRF's.
        num_threads: Threads of the CRF, None for as many as torch uses.

    Returns:
        (K + 1, H, W) float32 in 0..1, background first. Marginals sum to 1, walked scores need not.

    Raises:
        ShapeError: If maps, keys, features or image are not as described or do not fit each other.
        ConfigError: If an option is outside its range.
    """
    if image is not None:
        require_maps_of_image(maps, image)
    scores = walked_scores(maps, keys, features, walk=walk)
    if image is None or not len(keys):
        return scores.cpu().numpy()
    crf = DenseCRF(image, gaussian=settings.gaussian, bilateral=settings.bilateral, num_threads=num_threads)
    return _infer_marginals(crf, scores.cpu().numpy(), iterations=settings.iterations)


def walked_scores(maps: Tensor, keys: Sequence[int], features: Tensor, *, walk: AffinityWalk = PSA_WALK) -> Tensor:
    """Spread the scores of the background and the classes between pixels that belong together.

    Scores are averaged over cells of 8 x 8 px (fewer at the right and lower border, where the image ends), walked, and
    upsampled bilinearly (`align_corners=False`) to 8 px per cell, of which those beyond the image are dropped.

    Args:
        maps: As for `psa_scores`.
        keys: The K class indices of the maps, distinct.
        features: As for `psa_scores`; the walk runs on their device.
        walk: The walk.

    Returns:
        (K + 1, H, W) float32 in 0..1 on the device of `features`, background first.

    Raises:
        ShapeError: If maps, keys or features are not as described or do not fit each other.
        ConfigError: If an option is outside its range.
    """
    scores = torch.from_numpy(score_background(maps.detach().cpu().numpy(), keys, alpha=walk.alpha)).to(features.device)
    height, width = scores.shape[1:]
    cells = (math.ceil(height / RESNET38_STRIDE), math.ceil(width / RESNET38_STRIDE))
    if features.ndim != 3 or tuple(features.shape[1:]) != cells:
        raise ShapeError(
            f"maps of {height} x {width} px go with features (D, {cells[0]}, {cells[1]}), got {tuple(features.shape)}; "
            "make both from one image"
        )
    # Windows that reach beyond the image average what lies within it.
    pooled = torch.nn.functional.avg_pool2d(scores, RESNET38_STRIDE, ceil_mode=True)
    walked = affinity_walk(pooled, features, radius=walk.radius, beta=walk.beta, doublings=walk.doublings)
    full_hw = (cells[0] * RESNET38_STRIDE, cells[1] * RESNET38_STRIDE)
    upsampled = torch.nn.functional.interpolate(walked[None], full_hw, mode="bilinear", align_corners=False)
    return upsampled[0, :, :height, :width]


def score_background(maps: FloatArray, keys: Sequence[int], *, alpha: float) -> NDArray[np.float32]:
    """Put the background's score before the maps: (1 - largest map)^alpha, and 1 where there is no map.

    Args:
        maps: (K, H, W) float in 0..1, without NaN; K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        alpha: The power, above 0.

    Returns:
        (K + 1, H, W) float32 in 0..1.

    Raises:
        ShapeError: If maps and keys are not as described.
        ConfigError: If the power is not above 0.
    """
    if not 0 < alpha < math.inf:
        raise ConfigError(f"alpha: expected a power above 0, got {alpha}")
    strongest, _ = strongest_label(maps, keys)
    scores = np.ones((len(maps) + 1, *maps.shape[1:]), np.float32)
    if len(maps):
        least, largest = float(maps.min()), float(strongest.max())
        if least < 0 or largest > 1:
            raise ShapeError(
                f"expected seed maps in 0..1, got {least:.3g}..{largest:.3g}; delete the image's seed and localize it "
                "again"
            )
        scores[0] = (1 - strongest) ** alpha
        scores[1:] = maps
    return scores


def _infer_marginals(crf: DenseCRF, scores: NDArray[np.float32], *, iterations: int) -> NDArray[np.float32]:
    """Refine scores (K + 1, H, W), background first, by the image's CRF; they need not sum to 1, marginals do."""
    energies = -np.log(np.maximum(scores, np.float32(LEAST_SCORE)))
    return crf.infer(energies, iterations=iterations)
