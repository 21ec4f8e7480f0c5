"""What a refinement makes of a seed at several background thresholds, without writing anything.

The dear part (the CRF's lattice, IRNet's edges and the walk) is computed once per image and serves all thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.pipeline.context import Context
from weakseg.pipeline.refiner_networks import chosen_refiner, open_refiner
from weakseg.refine.method import SeededImage
from weakseg.refine.threshold.cuts import Cuts, cut_maps, strongest_score
from weakseg.registry import REFINERS

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
    refiner = chosen_refiner(context)
    if not refiner.has_threshold:
        others = ", ".join(facts.name for facts in REFINERS.usable() if facts.has_threshold)
        raise ConfigError(f"refine.method: '{refiner.name}' has no background threshold; expected one of {others}")
    refine = open_refiner(context)

    def cut(item: SeededImage, thresholds: Sequence[float]) -> NDArray[np.uint8]:
        refined = refine(replace(item, size_hw=item.seed.size_hw), thresholds)
        return np.stack([refined.mask.labels, *refined.others])

    return cut
