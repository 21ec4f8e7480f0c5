"""Confident labels: the pixels of a seed from which IRN and AffinityNet learn, and 255 for all others.

From Ahn, Cho and Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations" (CVPR 2019),
section 3.3, with the CRF's settings and the rule of the released code: two masks of one seed, one with a high and one
with a low score of the background, each refined by the CRF. What is foreground in the first is confident foreground,
what is background in both is confident background.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.crf import DenseCRF
from weakseg.ops.crf_settings import IRN_CRF, CRFSettings
from weakseg.ops.maps import FloatArray
from weakseg.refine.crf_masks import refine_mask, require_maps_of_image
from weakseg.refine.masks import seed_to_mask
from weakseg.types import IGNORE_LABEL


def confident_labels(
    image: NDArray[np.uint8],
    maps: FloatArray,
    keys: Sequence[int],
    *,
    foreground: float,
    background: float,
    settings: CRFSettings = IRN_CRF,
    num_threads: int | None = None,
) -> NDArray[np.uint8]:
    """Label the pixels that are sure to be of a class or of the background.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        maps: (K, H, W) float maps in 0..1, without NaN; K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        foreground: Score of the background where the foreground is to be sure, 0..1: 0.30 in IRN, 0.35 in RIB.
        background: Score of the background where the background is to be sure, 0..1 and at most `foreground`: 0.05 in
            IRN, 0.17 in RIB.
        settings: The CRF's.
        num_threads: Threads, None for as many as torch uses.

    Returns:
        (H, W) uint8: class index + 1 where that class is sure, 0 where the background is, 255 elsewhere. An image
        without tags is background everywhere: nothing there is in doubt.

    Raises:
        ShapeError: If image, maps and keys are not as described or differ in size.
        ConfigError: If the two scores are not in order and within 0..1, or a setting of the CRF is out of range.
    """
    if not 0 <= background <= foreground <= 1:
        raise ConfigError(
            f"expected 0 <= background <= foreground <= 1, got background {background} and foreground {foreground}; a "
            "pixel is unsure between the two"
        )
    require_maps_of_image(maps, image)
    sure_foreground = seed_to_mask(maps, keys, background_threshold=foreground)
    if not len(keys):
        return sure_foreground
    any_foreground = seed_to_mask(maps, keys, background_threshold=background)
    crf = DenseCRF(image, gaussian=settings.gaussian, bilateral=settings.bilateral, num_threads=num_threads)
    confident = refine_mask(crf, sure_foreground, keys, settings)
    rest = refine_mask(crf, any_foreground, keys, settings)
    confident[(confident == 0) & (rest != 0)] = IGNORE_LABEL
    return confident
