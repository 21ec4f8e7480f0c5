"""No refinement: a background threshold and the strongest class (`weakseg.refine.masks`)."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.methods import NoSettings
from weakseg.refine.method import ImageRefiner, RefineContext, Refined, Refiner, SeededImage, cut_refined


def open_none(context: RefineContext) -> ImageRefiner:
    """Return what cuts the seed itself."""

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        return cut_refined(item.seed.full().numpy(), item.seed.keys, thresholds)

    return refine


NONE = Refiner(
    name="none",
    summary="background where every map is at most the threshold, else the class with the largest map",
    settings=NoSettings,
    source="as IRN's and RIB's releases cut seeds",
    licence="MIT",
    needs_images=False,
    open=open_none,
)
