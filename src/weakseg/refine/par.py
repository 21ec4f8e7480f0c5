"""PAR: seeds averaged over near and far neighbours of like colour, then cut (Ru et al., CVPR 2022).

`weakseg.refine.pixel_adaptive` is the averaging, of which AFA and ToCo make the labels they learn from. Nothing is
learnt. The CRF may follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weakseg.config.bounds import Range, setting
from weakseg.lazy import open_names
from weakseg.refine.crf import CRF, cut_by_crf
from weakseg.refine.method import ImageRefiner, RefineContext, Refined, Refiner, SeededImage, cut_refined

if TYPE_CHECKING:
    from weakseg.refine.pixel_adaptive import pixel_adaptive as pixel_adaptive

__getattr__ = open_names(__name__, "weakseg.refine.pixel_adaptive", ("pixel_adaptive",))

DILATIONS = (1, 2, 4, 8, 12, 24)
"""Distances of the neighbours in pixels, as released with AFA and ToCo."""

ITERATIONS = 20
"""As a rule 10 to 20."""


@dataclass(frozen=True)
class PARConfig:
    """Averages over neighbours of like colour; used when `refine.method` is `par`. The defaults are AFA's release.

    Args:
        dilations: Distances in pixels of the eight neighbours that a pixel has at each of them.
        iterations: How often every map becomes the weighted sum of its neighbours.
        crf: Also let the CRF of `refine.crf` move the borders of the mask.
    """

    dilations: tuple[int, ...] = setting(DILATIONS, Range(1, 512))
    iterations: int = setting(ITERATIONS, Range(0, 1000))
    crf: bool = False


def open_par(context: RefineContext) -> ImageRefiner:
    """Return what spreads a seed over the image and cuts it; the spread seed serves all thresholds."""
    from weakseg.refine.pixel_adaptive import spread_seed

    par, crf = PAR.settings_in(context.section), CRF.settings_in(context.section).as_value()

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        maps = spread_seed(
            item.image,
            item.seed.full(),
            dilations=par.dilations,
            iterations=par.iterations,
            device=context.device,
        ).numpy()
        if par.crf:
            return cut_by_crf(item.image, maps, item.seed.keys, thresholds, settings=crf)
        return cut_refined(maps, item.seed.keys, thresholds)

    return refine


PAR = Refiner(
    name="par",
    summary="seeds averaged over near and far neighbours of like colour, then cut as by `none`, or by `crf`",
    settings=PARConfig,
    source="Ru et al., CVPR 2022",
    licence="MIT",
    remedies={
        "refined away": "lower refine.par.iterations, or {lower}",
        "spread": "lower refine.par.iterations, or {raise}",
    },
    open=open_par,
)
