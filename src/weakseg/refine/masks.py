"""From a seed to a pseudo mask without refinement: a background threshold and the strongest class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ConfigError
from weakseg.ops.maps import FloatArray, strongest_label
from weakseg.types import IGNORE_LABEL


def seed_to_mask(maps: FloatArray, keys: Sequence[int], *, background_threshold: float) -> NDArray[np.uint8]:
    """Label every pixel with its strongest class, or as background where no map exceeds the threshold.

    Ties go to the background, then to the first map, as an argmax over (background, maps) decides them. The threshold
    is rounded to the precision of the maps first: 0.3 and a float32 map's 0.3 are a tie.

    Args:
        maps: (K, H, W) float maps in 0..1, without NaN; K may be 0. Not modified.
        keys: The K class indices of the maps, distinct.
        background_threshold: Score of the background, in 0..1 like the maps.

    Returns:
        (H, W) uint8, 0 for the background and class index + 1 elsewhere; all 0 without maps.

    Raises:
        ShapeError: If the maps are not (K, H, W) floats without NaN, or the keys do not fit.
        ConfigError: If the threshold is not within 0..1.
    """
    if not 0 <= background_threshold <= 1:
        raise ConfigError(f"background_threshold: expected a value within 0..1, got {background_threshold}")
    value, label = strongest_label(maps, keys)
    label[value <= value.dtype.type(background_threshold)] = 0
    return label


def shows_class(labels: NDArray[np.uint8]) -> bool:
    """Say whether any pixel of a label map (H, W) uint8 is of a class: neither background (0) nor void (255)."""
    return bool(((labels != 0) & (labels != IGNORE_LABEL)).any())
