"""What a refinement makes of a seed at several background thresholds, without writing anything.

The dear part (the CRF's lattice, IRNet's edges and the walk) is computed once per image and serves all thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.crf import DenseCRF
from weakseg.pipeline.runner import Context
from weakseg.pipeline.seeds import SeededImage
from weakseg.pipeline.walking import open_walker
from weakseg.refine.crf import refine_mask
from weakseg.refine.threshold.cuts import Cuts, cut_maps, strongest_score

Cutter = Callable[[SeededImage, Sequence[float]], NDArray[np.uint8]]
"""Returns an image's masks at T thresholds, (T, h, w) uint8 at the size of `SeededImage.image`."""


def cut_image(item: SeededImage, cutter: Cutter, thresholds: Sequence[float]) -> Cuts:
    """Cut an image's seed, and what the refinement makes of it, at every threshold."""
    maps, keys = item.seed.full().numpy(), item.seed.keys
    return Cuts(
        image=item.image,
        keys=keys,
        strongest=strongest_score(maps, keys),
        thresholds=tuple(thresholds),
        seed_masks=cut_maps(maps, keys, thresholds),
        masks=cutter(item, thresholds),
    )


def open_cutter(context: Context) -> Cutter:
    """Return the cutter of the recipe's refinement, corrections by saliency left out.

    Raises:
        ConfigError: If the refinement has no background threshold.
        ArtifactError: If its network is missing or damaged.
    """
    openers = {"none": lambda context: cut_seed, "crf": _open_crf, "irn": _open_irn}
    method = context.config.refine.method
    if method not in openers:
        raise ConfigError(
            f"refine.method: '{method}' has no background threshold; expected one of {', '.join(openers)}"
        )
    return openers[method](context)


def cut_seed(item: SeededImage, thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """Cut the seed itself, as the method `none` does."""
    return cut_maps(item.seed.full().numpy(), item.seed.keys, thresholds)


def _open_crf(context: Context) -> Cutter:
    config = context.config.refine.crf

    def cut(item: SeededImage, thresholds: Sequence[float]) -> NDArray[np.uint8]:
        masks = cut_seed(item, thresholds)
        if not item.seed.keys:
            return masks
        crf = DenseCRF(item.image, gaussian=config.gaussian, bilateral=config.bilateral)
        refined = [
            refine_mask(crf, mask, item.seed.keys, certainty=config.certainty, iterations=config.iterations)
            for mask in masks
        ]
        return np.stack(refined)

    return cut


def _open_irn(context: Context) -> Cutter:
    walker = open_walker(context)

    def cut(item: SeededImage, thresholds: Sequence[float]) -> NDArray[np.uint8]:
        walked = walker.walk(item, walker.find_edges(item), size_hw=item.seed.size_hw)
        return cut_maps(walked.cpu().numpy(), item.seed.keys, thresholds)

    return cut
