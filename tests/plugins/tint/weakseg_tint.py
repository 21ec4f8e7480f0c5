"""Another package's localiser, refiner and backbone for weakseg."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter

from weakseg.config.bounds import COUNT, Range, setting
from weakseg.localize.method import Localized, Localizer
from weakseg.localize.score_maps import score_maps
from weakseg.models.registered import RegisteredBackbone
from weakseg.models.resnet import build_backbone
from weakseg.refine.method import Refiner, cut_refined


@dataclass(frozen=True)
class TintSettings:
    """Maps to a power."""

    power: float = setting(2.0, Range(0.1, 10))


@contextmanager
def open_tint(context):
    def localize(sample, image, position):
        maps = score_maps(context.classifier, image, sample.tags, scales=context.section.scales)
        power = TINT.settings_in(context.section).power
        return Localized(replace(maps, scales=tuple(scale**power for scale in maps.scales)))

    yield localize


@dataclass(frozen=True)
class SmoothSettings:
    """Maps averaged over a window, whose side is that of `side_px`."""

    side_px: int = setting(3, COUNT)


def open_smooth(context):
    def refine(item, thresholds):
        side_px, maps = SMOOTH.settings_in(context.section).side_px, item.seed.full().numpy()
        smooth = np.stack([uniform_filter(part, side_px) for part in maps]) if len(maps) else maps
        return cut_refined(smooth, item.seed.keys, thresholds)

    return refine


def build_dwarf(dense, fixed_norm, generator):
    return build_backbone("critter", dense=dense, fixed_norm=fixed_norm, generator=generator)


FACTS = {"source": "our own", "licence": "BSD-3-Clause"}
TINT = Localizer(name="tint", summary="maps to a power", settings=TintSettings, open=open_tint, **FACTS)
SMOOTH = Refiner(name="smooth", summary="maps averaged", settings=SmoothSettings, open=open_smooth, **FACTS)
DWARF = RegisteredBackbone(name="dwarf", summary="a critter by another name", build=build_dwarf, **FACTS)
