"""How high an image's scores lie on average, which tells where its threshold is likely to be.

Seeds are maps divided by their maximum. How wide the foot of a peak is differs from network to network: a pretrained
one gives plateaus, one from random weights narrow peaks. The best threshold moves with it (docs/threshold.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakseg.refine.threshold.choice import USUAL
from weakseg.refine.threshold.cuts import Cuts

RATIO = 1.2
"""Of the usual threshold to the mean score; chosen on training images, see docs/threshold.md."""


def mean_score(cuts: Cuts) -> float:
    """Return the mean over an image's pixels of the largest score of its tags, 0..1."""
    return float(cuts.strongest.mean(dtype=np.float64))


def usual_threshold(means: Sequence[float]) -> float:
    """Return the threshold that is usual for seeds of such mean scores, one per image, above 0 and at most 1.

    Without an image, or where all scores are 0, it is the default of the schema.
    """
    level = float(np.mean(means)) if len(means) else 0.0
    return min(RATIO * level, 1.0) if level > 0 else USUAL
