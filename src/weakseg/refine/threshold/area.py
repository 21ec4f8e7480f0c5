"""How much of an image the masks take at every candidate threshold, which tells where the threshold is likely to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weakseg.refine.threshold.cuts import Cuts


def measure_areas(cuts: Cuts) -> NDArray[np.float64]:
    """Return the share of an image's pixels that is not background at every threshold, (T,), 0..1."""
    shares: NDArray[np.float64] = (cuts.masks != 0).mean(axis=(1, 2), dtype=np.float64)
    return shares
