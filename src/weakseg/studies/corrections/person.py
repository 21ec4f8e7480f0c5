"""A simulated person: takes images in some order and corrects their masks by the truth of the data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weakseg.data.base import Dataset
from weakseg.data.masks import read_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.run_folder import RunFolder
from weakseg.review.listing import Order, open_queue
from weakseg.scoring.truth import read_truth

QUEUE, CLASSES, RANDOM = "queue", "classes", "random"
ORDERS = (QUEUE, CLASSES, RANDOM)
"""The order of `weakseg review`, the same with classes by turns, and one by chance."""

SOURCE = "truth"
"""What a correction of this person says of its origin."""


def list_correctable(context: Context, faults: set[str]) -> Dataset:
    """Return the training images whose masks can be corrected: those with a mask of the run and a true one.

    Args:
        context: The run.
        faults: See `read_truth`.
    """
    train, kept = context.train, []
    for sample in train:
        if train.has_mask(sample) and context.folder.mask(sample.id).is_file():
            size_hw = read_mask(context.folder.mask(sample.id)).shape
            kept += [] if read_truth(train, sample, size_hw, faults) is None else [sample.id]
    return train.keep(kept)


def order_images(context: Context, images: Dataset, order: str) -> list[str]:
    """Return the ids of images in the order in which the person takes them.

    Args:
        context: The run, finished.
        images: What can be corrected.
        order: One of `ORDERS`; by chance that of `runtime.seed`.
    """
    if order != RANDOM:
        known = {sample.id for sample in images}
        by: Order = "classes" if order == CLASSES else "doubt"
        return [image.id for image in open_queue(context, part="train", order=by).images if image.id in known]
    places = np.random.default_rng(context.config.runtime.seed).permutation(len(images))
    return [images.samples[place].id for place in places]


def correct_images(images: Dataset, sample_ids: Sequence[str], folder: RunFolder) -> None:
    """Write the true masks of some images as their corrections; what is there already stays.

    Args:
        images: The images.
        sample_ids: Which of them.
        folder: Where the corrections go; nothing else need be there.

    Raises:
        ArtifactError: If they cannot be written, or one that is there is damaged.
    """
    store = CorrectionStore(folder.corrections, images.classes)
    samples = {sample.id: sample for sample in images}
    for sample_id in sample_ids:
        if store.read(sample_id) is None:
            mask = images.load_mask(samples[sample_id])
            store.write(Correction(sample_id, has_mask=True, source=SOURCE), mask, expected_revision=0)
