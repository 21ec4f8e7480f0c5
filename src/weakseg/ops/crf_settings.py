"""The settings of the fully connected CRF as one value. The CRF, `weakseg.ops.crf`, takes a second to import."""

from __future__ import annotations

from dataclasses import dataclass

GAUSSIAN = (3.0, 3.0)
"""IRN's kernel on positions: standard deviation in px and weight."""

BILATERAL = (50.0, 5.0, 10.0)
"""IRN's kernel on positions and colours: standard deviations in px and in levels 0..255, and weight."""

CERTAINTY = 0.7
"""IRN's probability of a given label; the others share the rest."""

ITERATIONS = 10
"""Mean-field updates in all the released codes."""


@dataclass(frozen=True)
class CRFSettings:
    """What a CRF depends on besides the image and its labels.

    Args:
        gaussian: (standard deviation in px, weight) of the kernel on positions.
        bilateral: (standard deviation in px, in levels 0..255, weight) of the kernel on positions and colours.
        iterations: Number of mean-field updates.
        certainty: Probability of a given label, where energies are made of labels (`weakseg.ops.crf.refine_labels`).
    """

    gaussian: tuple[float, float]
    bilateral: tuple[float, float, float]
    iterations: int = ITERATIONS
    certainty: float = CERTAINTY


IRN_CRF = CRFSettings(GAUSSIAN, BILATERAL)
"""The CRF on the labels of seeds, as in IRN's release."""

PSA_CRF = CRFSettings(gaussian=(3.0, 3.0), bilateral=(80.0, 13.0, 10.0))
"""The CRF on scores, as in PSA's and SEAM's; no label is given."""

DEEPLAB_CRF = CRFSettings(gaussian=(1.0, 3.0), bilateral=(67.0, 3.0, 4.0))
"""DeepLab-v2's at test time (docs/sources.md#dense-crf)."""
