"""SEAM's seeds: refined maps summed over scales and mirror images (Wang et al., CVPR 2020, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from weakseg.localize.score_maps import merge_flip_pair, score_views
from weakseg.models.seam import SEAM
from weakseg.types import ScoreMaps

SEAM_SCALES = (0.5, 1.0, 1.5, 2.0)
"""Scales of the released SEAM code."""


def refined_score_maps(
    seam: SEAM,
    image: NDArray[np.uint8],
    tags: NDArray[np.generic] | Tensor,
    *,
    scales: Sequence[float] = SEAM_SCALES,
) -> ScoreMaps:
    """Compute the refined maps of an image's own tags; `weakseg.localize.cam.score_maps` gives the plain ones.

    All classes compete for positions before the refinement, tagged or not, as in the released network.

    Args:
        seam: The network; it runs in evaluation mode without gradients and gets its modes back. The maps are computed
            on, and stay on, the device of its parameters.
        image: (H, W, 3) uint8 RGB, not modified.
        tags: (C,) of 0 and 1 in any dtype, array or tensor.
        scales: Factors the image is resized by (bicubic, size rounded half to even).

    Returns:
        One (K, h_s, w_s) float32 map stack per scale, the sum of both mirror images, in 0..2, for the K tagged classes
        in ascending order. An image without tags costs no network pass and gives maps with K = 0.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, the tags are not (C,) of 0 and 1, or a scale is not above 0.
    """

    def score(views: Tensor, keys: tuple[int, ...]) -> Tensor:
        _, refined = seam.strided_maps(views)
        return merge_flip_pair(refined[:, [key + 1 for key in keys]])

    return score_views(seam, image, tags, scales=scales, score=score)
