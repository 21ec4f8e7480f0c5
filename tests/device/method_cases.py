"""Cases of localisers and refiners that are functions of tensors, or of networks made here."""

from __future__ import annotations

import torch

from tests.device.cases import CaseTable, uniform, with_gradients
from weakseg.refine.par import pixel_adaptive

METHODS = CaseTable()


@METHODS.about(pixel_adaptive)
def pixel_adaptive_maps(device: torch.device) -> object:
    return with_gradients(
        lambda image, maps: pixel_adaptive(image, maps, dilations=(1, 3), iterations=2),
        uniform(3, 5, 8).to(device),
        uniform(2, 5, 8, seed=1).to(device),
    )
