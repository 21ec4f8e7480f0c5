"""What a localisation method is to the stage: a call per image, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weakseg.types import Sample, ScoreMaps


@dataclass(frozen=True, eq=False)
class Localized:
    """What a method made of one image.

    Args:
        maps: Its score maps.
        stopped_by: Why its adaptation ended; None without one.
        trace: The sum of the maps after each iteration of an adaptation, the first being CAM's; empty without one.
        trace_times_s: Seconds from the beginning until each entry of `trace` was there.
    """

    maps: ScoreMaps
    stopped_by: str | None = None
    trace: tuple[ScoreMaps, ...] = ()
    trace_times_s: tuple[float, ...] = ()


class Localizer(Protocol):
    """Computes the score maps of one image."""

    def __call__(self, sample: Sample, image: NDArray[np.uint8], position: int, /) -> Localized:
        """Localise an image's tags.

        Args:
            sample: The image's id and tags.
            image: (H, W, 3) uint8 RGB.
            position: Its place among all images that get seeds; decides what is drawn at random for it.
        """
        ...
