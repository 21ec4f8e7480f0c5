"""Training masks without their unsure pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import MaskReader
from weakseg.data.grey import GREY_MAX, read_grey
from weakseg.errors import DataError
from weakseg.file_names import safe_path
from weakseg.types import IGNORE_LABEL, Sample


@dataclass(frozen=True)
class SureMasks:
    """Reads masks and turns the pixels of low confidence into 255; the files stay as they are.

    Picklable if `masks` is.

    Args:
        masks: Reads the masks.
        confidence_folder: Holds `<id>.png`, 8-bit grey of the mask's size, 255 for sure.
        ignore_below: Pixels whose confidence is below this share of 255 are ignored, 0..1.
    """

    masks: MaskReader
    confidence_folder: Path
    ignore_below: float

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        """Return the (H, W) uint8 labels of a sample, 255 where unsure, or None if it has no mask.

        Raises:
            DataError: If its confidence is missing, damaged or of another size.
        """
        labels = self.masks(sample)
        if labels is None:
            return None
        path = self.confidence_folder / f"{safe_path(sample.id)}.png"
        if not path.is_file():
            raise DataError(
                f"image '{sample.id}' has no confidence at {path}, which segmenter.ignore_below needs; set "
                "refine.confidence to true and run with --redo refine, or set segmenter.ignore_below to 0"
            )
        confidence = read_grey(path)
        if confidence.shape != labels.shape:
            raise DataError(
                f"image '{sample.id}': the mask is {labels.shape} (height, width), its confidence {path} "
                f"{confidence.shape}; if somebody has drawn the mask, draw it at the size of the image; else move both "
                "files away and run the stage 'refine' again"
            )
        # In numbers of the file, so that 0.8 and a stored 204 = 0.8 * 255 are a tie, which stays.
        unsure = confidence < np.rint(self.ignore_below * GREY_MAX)
        return np.where(unsure, np.uint8(IGNORE_LABEL), labels)
