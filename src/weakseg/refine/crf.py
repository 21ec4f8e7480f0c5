"""The seed's mask, its borders moved onto the image's by a fully connected CRF (Krähenbühl and Koltun, NeurIPS 2011).

`weakseg.ops.crf` is the CRF, `weakseg.refine.crf_masks` what it makes of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weakseg.config.bounds import BILATERAL, GAUSSIAN, NOT_NEGATIVE, SHARE, setting
from weakseg.lazy import open_names
from weakseg.ops.crf_settings import CRFSettings
from weakseg.refine.method import ImageRefiner, RefineContext, Refined, Refiner, SeededImage, cut_refined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weakseg.refine.crf_masks import crf_marginals as crf_marginals
    from weakseg.refine.crf_masks import crf_mask as crf_mask
    from weakseg.refine.crf_masks import require_maps_of_image as require_maps_of_image

__getattr__ = open_names(__name__, "weakseg.refine.crf_masks", ("crf_marginals", "crf_mask", "require_maps_of_image"))


@dataclass(frozen=True)
class CRFConfig:
    """The fully connected CRF that moves label borders onto the image's; the defaults are IRN's released settings.

    Args:
        gaussian: Standard deviation in pixels and weight of the kernel on positions.
        bilateral: Standard deviations in pixels and in colour levels, and weight, of the kernel on both.
        certainty: Probability of the label that the seed gives; the other labels share the rest.
        iterations: Updates of the mean field.
    """

    gaussian: tuple[float, float] = setting((3.0, 3.0), GAUSSIAN)
    bilateral: tuple[float, float, float] = setting((50.0, 5.0, 10.0), BILATERAL)
    certainty: float = setting(0.7, SHARE)
    iterations: int = setting(10, NOT_NEGATIVE)

    def as_value(self) -> CRFSettings:
        """Return them as the layer below takes them."""
        return CRFSettings(self.gaussian, self.bilateral, self.iterations, self.certainty)


def open_crf(context: RefineContext) -> ImageRefiner:
    """Return what cuts a seed and refines the mask."""
    settings = CRF.settings_in(context.section).as_value()

    def refine(item: SeededImage, thresholds: Sequence[float], /) -> Refined:
        return cut_by_crf(item.image, item.seed.full().numpy(), item.seed.keys, thresholds, settings=settings)

    return refine


def cut_by_crf(
    image: NDArray[np.uint8],
    maps: NDArray[np.floating],
    keys: Sequence[int],
    thresholds: Sequence[float],
    *,
    settings: CRFSettings,
) -> Refined:
    """Cut maps at every threshold and refine the masks; the lattice of the image serves all of them.

    Args:
        image: (H, W, 3) uint8 RGB. Not modified.
        maps: (K, H, W) float in 0..1. Not modified.
        keys: Their class indices.
        thresholds: Background thresholds, at least one.
        settings: The CRF's.
    """
    from weakseg.ops.crf import DenseCRF
    from weakseg.refine.crf_masks import mask_marginals, refine_mask
    from weakseg.refine.soft_labels import soften
    from weakseg.refine.threshold.cuts import cut_maps

    if not keys:
        return cut_refined(maps, keys, thresholds)
    crf = DenseCRF(image, gaussian=settings.gaussian, bilateral=settings.bilateral)
    cut, *others = cut_maps(maps, keys, thresholds)
    marginals = mask_marginals(crf, cut, keys, settings)
    return Refined(soften(marginals, keys), [refine_mask(crf, other, keys, settings) for other in others])


CRF = Refiner(
    name="crf",
    summary="the mask of `none`, its borders moved by the CRF",
    settings=CRFConfig,
    source="Krähenbühl and Koltun, NeurIPS 2011; settings of IRN's release",
    licence="MIT",
    always_counted=True,
    remedies={
        "refined away": "raise refine.crf.certainty, or {lower}",
        "spread": "{raise}, or weaken refine.crf.bilateral",
    },
    open=open_crf,
)
