"""CAM: what the classifier's last layer says of every position, over scales and flips (Zhou et al., CVPR 2016).

Summed over views as in IRN's release; with a SEAM, its refined maps. `weakseg.localize.score_maps` computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from weakseg.lazy import open_names
from weakseg.localize.method import ImageLocalizer, LocalizeContext, Localized, Localizer
from weakseg.methods import NoSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weakseg.localize.score_maps import CAM_SCALES as CAM_SCALES
    from weakseg.localize.score_maps import flip_pair as flip_pair
    from weakseg.localize.score_maps import merge_flip_pair as merge_flip_pair
    from weakseg.localize.score_maps import score_maps as score_maps
    from weakseg.localize.score_maps import smooth_maps as smooth_maps
    from weakseg.localize.score_maps import smooth_score_maps as smooth_score_maps
    from weakseg.localize.score_maps import tagged_classes as tagged_classes
    from weakseg.localize.score_maps import zero_maps as zero_maps
    from weakseg.types import Sample

__getattr__ = open_names(
    __name__,
    "weakseg.localize.score_maps",
    (
        "CAM_SCALES",
        "flip_pair",
        "merge_flip_pair",
        "score_maps",
        "smooth_maps",
        "smooth_score_maps",
        "tagged_classes",
        "zero_maps",
    ),
)


@contextmanager
def open_cam(context: LocalizeContext) -> Iterator[ImageLocalizer]:
    """Lend class activation maps; those of a SEAM are its refined maps, as its release makes seeds."""
    from functools import partial

    from weakseg.localize.score_maps import score_maps, smooth_score_maps
    from weakseg.localize.seam import refined_score_maps
    from weakseg.models.seam import SEAM

    network, section = context.classifier, context.section
    scales, temperature = section.scales, section.similarity_temperature
    scores = (
        partial(refined_score_maps, network)
        if isinstance(network, SEAM)
        else partial(score_maps, network, similarity_temperature=temperature)
    )

    def localize(sample: Sample, image: NDArray[np.uint8], _: int, /) -> Localized:
        maps = scores(image, sample.tags, scales=scales)
        if isinstance(network, SEAM) and temperature is not None:
            (maps,) = smooth_score_maps(network, image, [maps], scales=scales, similarity_temperature=temperature)
        return Localized(maps)

    yield localize


CAM = Localizer(
    name="cam",
    summary="class activation maps over scales and flips",
    settings=NoSettings,
    source="Zhou et al., CVPR 2016; as in IRN's release",
    licence="MIT",
    side_by_side=True,
    smooths=True,
    open=open_cam,
)
