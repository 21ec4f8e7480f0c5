"""SEAM's seeds: refined maps summed over scales and mirror images (Wang et al., CVPR 2020, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ShapeError
from weakseg.localize.score_maps import flip_pair, merge_flip_pair, tagged_classes, zero_maps
from weakseg.models.modes import evaluating
from weakseg.models.seam import SEAM
from weakseg.ops.images import normalise, require_image, resize_image, scaled_size_hw
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
    require_image(image)
    keys = tagged_classes(tags, num_classes=seam.num_classes)
    if not scales:
        raise ShapeError("score maps need at least one scale, got none")
    size_hw = (image.shape[0], image.shape[1])
    device = seam.classifier.weight.device
    if not keys:
        return zero_maps(keys, size_hw, scales=scales, stride_px=seam.stride, device=device)
    labels = [key + 1 for key in keys]
    maps = []
    with torch.no_grad(), evaluating(seam):
        for scaled_hw in (scaled_size_hw(size_hw, scale) for scale in scales):
            _, refined = seam.strided_maps(flip_pair(normalise(resize_image(image, scaled_hw)).to(device)))
            maps.append(merge_flip_pair(refined[:, labels]).float())
    return ScoreMaps(keys=keys, scales=tuple(maps), size_hw=size_hw)
