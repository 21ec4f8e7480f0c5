"""Superpixels that stand in for the class-agnostic masks of a large model, where a study has none of those.

Those of Felzenszwalb and Huttenlocher by scikit-image: regions of like colour, of any size, that end at edges. They are
no objects; what `merge` gains by them is a lower bound of what it gains by SAM's masks.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from weakseg.data.agnostic_masks import MAX_MASKS, AgnosticMasks
from weakseg.data.base import Dataset
from weakseg.file_names import safe_path
from weakseg.files import write_bytes
from weakseg.ops.superpixels import find_superpixels
from weakseg.pipeline.runtime import show_progress
from weakseg.train.distributed import rank, wait_for_all

SCALE = 200.0
"""How readily regions grow, in grey levels times pixels: a usual value, not chosen on any masks here."""

MIN_SHARE = 0.001
"""Smaller regions of an image are joined to a neighbour; so there are a thousand at most."""


def write_superpixels(dataset: Dataset, folder: Path) -> None:
    """Write a label PNG of 16 bits per tagged image, `<id>.png`, as `merge` reads them; what is there is kept.

    Args:
        dataset: The images.
        folder: Where they go.

    Raises:
        MissingExtra: If scikit-image is not installed.
    """
    if rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        samples = [sample for sample in dataset if sample.keys]
        with show_progress("superpixels") as tick:
            for done, sample in enumerate(samples, start=1):
                if AgnosticMasks(folder).find(sample.id) is None:
                    image = dataset.load_image(sample)
                    smallest = max(1, round(MIN_SHARE * image.shape[0] * image.shape[1]))
                    found = find_superpixels(image, scale=SCALE, min_px=smallest)
                    numbers = np.minimum(found + 1, MAX_MASKS).astype(np.uint16)
                    content = io.BytesIO()
                    Image.fromarray(numbers).save(content, "PNG")
                    write_bytes(folder / f"{safe_path(sample.id)}.png", content.getvalue())
                tick(done, len(samples))
    wait_for_all()
