"""From a seed to a pseudo mask by the image alone: threshold, then a fully connected CRF (`weakseg.ops.crf`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from weakseg.errors import ShapeError
from weakseg.ops.crf import DenseCRF, label_energies
from weakseg.ops.crf_settings import IRN_CRF, CRFSettings
from weakseg.ops.images import require_image
from weakseg.ops.maps import FloatArray
from weakseg.refine.masks import seed_to_mask
from weakseg.refine.soft_labels import choose_labels


def crf_mask(
    image: NDArray[np.uint8],
    maps: FloatArray,
    keys: Sequence[int],
    *,
    background_threshold: float,
    settings: CRFSettings = IRN_CRF,
    num_threads: int | None = None,
) -> NDArray[np.uint8]:
    """Label every pixel with its strongest class or the background, and let the CRF move the borders.

    Args:
        image: (H, W, 3) uint8 RGB, not modified.
        maps: (K, H, W) float maps in 0..1, without NaN; K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        background_threshold: Score of the background, as in `weakseg.refine.masks.seed_to_mask`.
        settings: The CRF's; with 0 iterations, and a certainty above 1 / (K + 1), the mask is `seed_to_mask`'s.
        num_threads: Threads, None for as many as torch uses.

    Returns:
        (H, W) uint8, 0 for the background and class index + 1 elsewhere; all 0 without maps.

    Raises:
        ShapeError: If image, maps and keys are not as described or differ in size.
        ConfigError: If a setting of the CRF is out of range.
    """
    marginals = crf_marginals(
        image,
        maps,
        keys,
        background_threshold=background_threshold,
        settings=settings,
        num_threads=num_threads,
    )
    return choose_labels(marginals, keys)


def crf_marginals(
    image: NDArray[np.uint8],
    maps: FloatArray,
    keys: Sequence[int],
    *,
    background_threshold: float,
    settings: CRFSettings = IRN_CRF,
    num_threads: int | None = None,
) -> NDArray[np.float32]:
    """Find what `crf_mask` chooses by: how probable the CRF holds the background and each class of a pixel.

    The largest marginal is the confidence of the label (`weakseg.refine.soft_labels.soften`).

    Args:
        image: As for `crf_mask`, like all that follow.
        maps: (K, H, W) maps.
        keys: Their class indices.
        background_threshold: Score of the background.
        settings: The CRF's.
        num_threads: Threads.

    Returns:
        (K + 1, H, W) float32 in 0..1 that sum to 1, background first; 1 everywhere without maps.

    Raises:
        ShapeError: If image, maps and keys are not as described or differ in size.
        ConfigError: If a setting of the CRF is out of range.
    """
    require_maps_of_image(maps, image)
    mask = seed_to_mask(maps, keys, background_threshold=background_threshold)
    if not len(keys):
        return np.ones((1, *mask.shape), np.float32)
    crf = DenseCRF(image, gaussian=settings.gaussian, bilateral=settings.bilateral, num_threads=num_threads)
    return mask_marginals(crf, mask, keys, settings)


def mask_marginals(
    crf: DenseCRF, mask: NDArray[np.uint8], keys: Sequence[int], settings: CRFSettings
) -> NDArray[np.float32]:
    """Find how probable an image's CRF holds the background and each class of a pixel, from a mask.

    Args:
        crf: As for `refine_mask`, like all that follow.
        mask: (H, W) uint8 with 0 and key + 1 for every key.
        keys: Class indices, at least one.
        settings: Certainty of the label in the mask, and number of updates; the kernels are the CRF's own.

    Returns:
        (K + 1, H, W) float32, see `crf_marginals`.
    """
    _, index = _number_labels(keys)
    energies = label_energies(index[mask], num_labels=len(keys) + 1, certainty=settings.certainty)
    return crf.infer(energies, iterations=settings.iterations)


def refine_mask(
    crf: DenseCRF, mask: NDArray[np.uint8], keys: Sequence[int], settings: CRFSettings
) -> NDArray[np.uint8]:
    """Refine a mask by an image's CRF among the background and the image's own classes.

    Args:
        crf: The CRF of the image.
        mask: (H, W) uint8 with 0 and key + 1 for every key. Not modified.
        keys: Class indices, distinct.
        settings: Certainty of the label in the mask, and number of updates; the kernels are the CRF's own.

    Returns:
        (H, W) uint8 with the same labels.
    """
    labels, index = _number_labels(keys)
    refined = crf.refine(
        index[mask], num_labels=len(labels), certainty=settings.certainty, iterations=settings.iterations
    )
    return labels[refined]


def _number_labels(keys: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the image's own labels (K + 1,), background first, and the place (256,) of each label among them."""
    labels = np.array([0, *(key + 1 for key in keys)], np.uint8)
    index = np.zeros(256, np.uint8)
    index[labels] = np.arange(len(labels))
    return labels, index


def require_maps_of_image(maps: FloatArray | Tensor, image: NDArray[np.uint8]) -> None:
    """Raise a `ShapeError` unless `image` is (H, W, 3) uint8 and `maps` (K, H, W)."""
    require_image(image)
    if maps.ndim != 3 or tuple(maps.shape[1:]) != image.shape[:2]:
        raise ShapeError(
            f"expected maps (K, {image.shape[0]}, {image.shape[1]}) of the image's size, got {tuple(maps.shape)}; a "
            "seed has that size as `ScoreMaps.full()`"
        )
