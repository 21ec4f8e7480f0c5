"""Where seeds are surely foreground, and where surely background, around the threshold that they would be cut at.

This is what `auto` puts in the place of the labels' numbers of IRN and AffinityNet. The released ones are made for maps
whose best threshold is about 0.15; other seeds are cut at 0.5, or on textures at 0.85 (docs/irn.md, docs/psa.md).
"""

from __future__ import annotations

import math

SURE_ABOVE = 0.3
"""Surely foreground is what lies above the threshold by more than this share of the room above it. Chosen with the next
on `train` of animals: the threshold of LPCAM's averaged seeds is 0.5, and 0.65 and 0.35 teach well (docs/irn.md)."""

SURE_BELOW = 0.7
"""Surely background is what lies below this share of the threshold."""

LEAST_ALPHA, LARGEST_ALPHA = 0.01, 1000.0
"""Bounds of the powers of PSA's background."""

LEAST_CUT = 1e-3
"""Thresholds nearer to 0 or 1 are taken for this far from it: there the powers are out of bounds in any case."""


def sure_foreground(threshold: float) -> float:
    """Return what seeds exceed that are surely foreground where they would be cut at a threshold, both 0..1."""
    return threshold + SURE_ABOVE * (1 - threshold)


def sure_background(threshold: float) -> float:
    """Return what seeds stay below that are surely background where they would be cut at a threshold, both 0..1."""
    return SURE_BELOW * threshold


def balancing_alpha(threshold: float) -> float:
    """Return the power of PSA's background with which a single map wins from a threshold on.

    It wins where m > (1 - m)^alpha; both are equal at the threshold for alpha = ln m / ln(1 - m).

    Args:
        threshold: 0..1.

    Returns:
        The power, from `LEAST_ALPHA` to `LARGEST_ALPHA`; the higher the threshold, the lower.
    """
    within = min(max(threshold, LEAST_CUT), 1 - LEAST_CUT)
    return min(max(math.log(within) / math.log1p(-within), LEAST_ALPHA), LARGEST_ALPHA)
