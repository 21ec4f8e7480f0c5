"""Masks and probabilities of whole images from a trained segmentation network: scales, flips and the dense CRF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ShapeError
from weakseg.models.modes import evaluating
from weakseg.models.segmenter import SegmentationNetwork
from weakseg.ops.crf_settings import CRFSettings
from weakseg.ops.images import limit_side, normalise, resize_image, scaled_size_hw

CRF_MIN_PROBABILITY = 0.01
"""Labels that are nowhere in the image more likely than this are left out of the CRF. Its time and memory grow with the
number of labels, and of 81 an image shows a handful."""

MIN_ENERGY_PROBABILITY = 1e-8
"""Lower probabilities count as this, so that energies stay finite: at -log of it no neighbourhood makes up for it."""


@dataclass(frozen=True, eq=False)
class LabelledPixels:
    """The labels of an image and how sure they are.

    Args:
        labels: (H, W) uint8, 0 background, c+1 class c.
        confidence: (H, W) float32 in 0..1, the probability of that label.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]


def predict_labels(
    segmenter: SegmentationNetwork,
    image: NDArray[np.uint8],
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    max_side_px: int | None = None,
    crf: CRFSettings | None = None,
) -> NDArray[np.uint8]:
    """Label every pixel of an image by the mean probability over views, or by the CRF's marginals of it.

    Args:
        segmenter: The network; runs in evaluation mode on the device of its parameters and gets its modes back.
        image: (H, W, 3) uint8 RGB of any size, not modified.
        scales: Factors the image is resized by (bicubic).
        flip: Whether each scale is also seen mirrored left-right.
        max_side_px: Scale 1 is the image shrunk to this longer side; the labels have full size all the same.
        crf: Settings of the CRF, or None for none. It runs on the CPU and on the shrunk image.

    Returns:
        (H, W) uint8, 0 background, c+1 class c; the smaller label where two are equally likely.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, there is no scale, or the network's probabilities are NaN.
        ConfigError: If a setting of the CRF is out of range.
    """
    base = limit_side(image, max_side_px)
    views = probabilities_of_views(segmenter, base, scales=scales, flip=flip)
    return label_views(views, base, (image.shape[0], image.shape[1]), crf=crf).labels


def predict_probabilities(
    segmenter: SegmentationNetwork,
    image: NDArray[np.uint8],
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    max_side_px: int | None = None,
) -> NDArray[np.float32]:
    """Return the mean probability over views of every label at every pixel.

    The largest is that of `predict_labels` without a CRF, to rounding. It needs memory for L x H x W floats, at
    4000 x 3000 and 81 labels 4 GB, and as much again on the segmenter's device.

    Args:
        segmenter: See `predict_labels`.
        image: (H, W, 3) uint8 RGB of any size, not modified.
        scales: See `predict_labels`.
        flip: See `predict_labels`.
        max_side_px: See `predict_labels`.

    Returns:
        (L, H, W) float32 in 0..1 that sum to 1 over the labels.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, or there is no scale.
    """
    views = probabilities_of_views(segmenter, limit_side(image, max_side_px), scales=scales, flip=flip)
    return mean_view(views, (image.shape[0], image.shape[1])).cpu().numpy()


@torch.no_grad()
def probabilities_of_views(
    segmenter: SegmentationNetwork, image: NDArray[np.uint8], *, scales: Sequence[float], flip: bool
) -> list[Tensor]:
    """Return the probabilities of an image (H, W, 3) at each scale, a flipped view averaged in if there is one.

    Args:
        segmenter: See `predict_labels`.
        image: (H, W, 3) uint8 RGB, not modified.
        scales: See `predict_labels`.
        flip: See `predict_labels`.

    Returns:
        (L, h, w) float32 per scale, at the network's stride and on its device.

    Raises:
        ShapeError: If the image is not (H, W, 3) uint8, or there is no scale.
    """
    require_scales(scales)
    device = next(segmenter.parameters()).device
    views: list[Tensor] = []
    with evaluating(segmenter):
        for scale in scales:
            size_hw = scaled_size_hw((image.shape[0], image.shape[1]), scale)
            seen = normalise(resize_image(image, size_hw))[None].to(device)
            probabilities = segmenter(seen).softmax(dim=1)[0]
            if flip:
                mirrored = segmenter(seen.flip(-1)).softmax(dim=1)[0].flip(-1)
                probabilities = (probabilities + mirrored) / 2
            views.append(probabilities)
    return views


def require_scales(scales: Sequence[float]) -> None:
    """Raise a `ShapeError` if there is no scale to look at an image at."""
    if len(scales) == 0:
        raise ShapeError("scales: an image is looked at at one scale or more, got none")


def label_views(
    views: Sequence[Tensor],
    image: NDArray[np.uint8],
    size_hw: tuple[int, int],
    *,
    crf: CRFSettings | None,
    allowed: Sequence[int] | None = None,
) -> LabelledPixels:
    """Choose the most probable label of every pixel from the probabilities of an image's views.

    Without a CRF the labels are upsampled one at a time. With one, labels that no pixel gives `CRF_MIN_PROBABILITY` are
    left out; the memory is that of about four times K x H x W floats for the K others, and what `DenseCRF` needs.

    Args:
        views: (L, h, w) each; sizes may differ.
        image: (H, W, 3) uint8 RGB, not modified: what the CRF sees.
        size_hw: Size of the result; that of the image or another.
        crf: Settings of the CRF, or None for none.
        allowed: Labels that may be chosen; None for all. Without a CRF the confidence stays the probability among all
            labels, so that it is low where an excluded one is likelier; the CRF sees the allowed ones only.

    Returns:
        The labels, the smaller one where two are equally likely.

    Raises:
        ShapeError: If no label is allowed or one that the views lack, or a probability is NaN.
        ConfigError: If a setting of the CRF is out of range.
    """
    labels = sorted(set(range(len(views[0])) if allowed is None else allowed))
    if not labels or labels[0] < 0 or labels[-1] >= len(views[0]):
        raise ShapeError(f"allowed: expected one or more of the labels 0..{len(views[0]) - 1}, got {labels}")
    if crf is None:
        return most_probable(views if allowed is None else [view[labels] for view in views], labels, size_hw)
    from weakseg.ops.crf import DenseCRF  # imports numba, which takes a second

    highest = torch.stack([view.flatten(1).amax(dim=1) for view in views]).mean(dim=0)
    _refuse_nan(highest)  # it is above no limit: such labels would seem unlikely
    kept = [label for label in labels if highest[label] >= CRF_MIN_PROBABILITY] or labels
    probabilities = mean_view([view[kept] for view in views], (image.shape[0], image.shape[1]))
    energies = probabilities.clamp_(min=MIN_ENERGY_PROBABILITY).log_().neg_().cpu().numpy()
    refined = DenseCRF(image, gaussian=crf.gaussian, bilateral=crf.bilateral)
    marginals = torch.from_numpy(refined.infer(energies, iterations=crf.iterations))
    return most_probable([marginals], kept, size_hw)


def mean_view(views: Sequence[Tensor], size_hw: tuple[int, int]) -> Tensor:
    """Return the mean of maps (L, h, w), each upsampled bilinearly, as (L, *size_hw) on the same device."""
    total = torch.zeros(len(views[0]), *size_hw, device=views[0].device)
    for view in views:
        total += _upsample(view, size_hw)
    return total.div_(len(views))


def most_probable(maps: Sequence[Tensor], labels: Sequence[int], size_hw: tuple[int, int]) -> LabelledPixels:
    """Return the label with the largest mean over bilinearly upsampled maps, looked at one label at a time.

    Equal to upsampling all labels and taking the argmax, but needs the memory of three maps instead of L: at
    4000 x 3000 and 81 labels 0.15 GB instead of 4.

    Args:
        maps: (K, h, w) float each; sizes may differ. The k-th map is that of `labels[k]`.
        labels: K labels.
        size_hw: Size of the result.

    Returns:
        The labels, the first of equal ones, and as confidence their mean, clamped to 0..1.

    Raises:
        ShapeError: If a map holds NaN.
    """
    device = maps[0].device
    best = torch.full(size_hw, -torch.inf, device=device)
    chosen = torch.zeros(size_hw, dtype=torch.uint8, device=device)
    for place, label in enumerate(labels):
        total = torch.zeros(size_hw, device=device)
        for view in maps:
            total += _upsample(view[place][None], size_hw)[0]
        chosen.masked_fill_(total > best, label)
        torch.maximum(best, total, out=best)
    _refuse_nan(best)  # `maximum` carries NaN along
    best /= len(maps)
    return LabelledPixels(chosen.cpu().numpy(), best.clamp_(0, 1).cpu().numpy())


def _refuse_nan(probabilities: Tensor) -> None:
    if bool(probabilities.isnan().any()):
        raise ShapeError("the network's probabilities hold NaN; did its training diverge?")


def _upsample(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize maps (K, h, w) bilinearly."""
    return torch.nn.functional.interpolate(maps[None], size_hw, mode="bilinear", align_corners=False)[0]
