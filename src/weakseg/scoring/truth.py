"""Truth masks as the evaluation takes them: checked, and named when they cannot be used."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.errors import DataError
from weakseg.pipeline.records import DIGEST_BYTES
from weakseg.types import IGNORE_LABEL, Sample

logger = logging.getLogger("weakseg")


def digest_truth(dataset: Dataset) -> str:
    """Digest the truth masks of a split, each by its image, size and labels; one that cannot be read counts as missing.

    Truth does not influence any result of a run, so that no fingerprint covers it; scores depend on it.
    """
    return digest_truth_of(dataset, dataset)


def digest_truth_of(dataset: Dataset, samples: Iterable[Sample]) -> str:
    """Do the same with some images of the data set."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for sample in samples:
        try:
            truth = dataset.load_mask(sample)
        except DataError:  # named when it is to be scored
            truth = None
        size_hw = None if truth is None else truth.shape
        digest.update(json.dumps((sample.id, size_hw)).encode())
        if truth is not None:
            digest.update(truth.tobytes())
    return digest.hexdigest()


def read_truth(
    dataset: Dataset, sample: Sample, size_hw: tuple[int, ...], faults: set[str] | None = None
) -> NDArray[np.uint8] | None:
    """Read a truth mask; one that is damaged or does not fit is named in the log and counts as missing.

    Args:
        dataset: Where the sample belongs.
        sample: The image.
        size_hw: Size the mask must have, that of the upright image.
        faults: Ids of the images whose truth was found unusable, extended in place; those are not read again.
    """
    if faults is not None and sample.id in faults:
        return None
    try:
        truth = dataset.load_mask(sample)
        if truth is None:
            return None
        if truth.shape != size_hw:
            raise DataError(f"the truth mask is {truth.shape}, but the upright image is {size_hw} (height, width)")
        foreign = truth[(truth > len(dataset.classes)) & (truth != IGNORE_LABEL)]
        if foreign.size:
            raise DataError(f"the truth mask holds label {foreign[0]}, but there are {len(dataset.classes)} classes")
    except DataError as error:
        logger.warning("%s '%s': not scored: %s; 'weakseg check' lists all such masks", dataset.name, sample.id, error)
        if faults is not None:
            faults.add(sample.id)
        return None
    return truth
