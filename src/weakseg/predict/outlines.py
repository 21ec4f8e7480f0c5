"""Class-agnostic masks of a data set's images, for `refine.method merge`: by a SAM, or superpixels in its stead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.agnostic_masks import AgnosticMasks, write_agnostic_masks
from weakseg.data.base import Dataset
from weakseg.errors import DataError, UsageError
from weakseg.file_names import safe_path
from weakseg.files import remove_partial_files
from weakseg.models.hf_masks import MaskOptions, ScoredMasks, open_mask_generator
from weakseg.ops.superpixels import MIN_PX, SCALE, find_superpixels
from weakseg.pipeline.runtime import choose_device
from weakseg.pipeline.telling import show_progress
from weakseg.spelling import nearest
from weakseg.types import Sample

logger = logging.getLogger("weakseg")

METHODS = ("sam", "superpixels")
"""What makes the masks."""

LEAST_SHARE = 5e-4
"""Superpixels are at least so much of an image, so that there are never more than 2000."""

MAX_NAMED = 5
"""Images that cannot be read which are named before the rest is only counted."""


@dataclass(frozen=True)
class OutlineOptions:
    """How masks are made.

    Args:
        method: One of `METHODS`.
        model: With `sam`: a repository of the Hugging Face hub, or a folder.
        device: With `sam`: as `runtime.device`.
        masks: With `sam`: which masks are made.
        scale: With `superpixels`: larger gives larger parts.

    Raises:
        UsageError: If there is no such method, or no model for it.
    """

    method: str = "sam"
    model: str | None = None
    device: str = "auto"
    masks: MaskOptions = field(default_factory=MaskOptions)
    scale: float = SCALE

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"--method: there is no '{self.method}'; {nearest(self.method, METHODS)}")
        if self.method == "sam" and self.model is None:
            raise UsageError(
                "--model: expected a repository such as facebook/sam-vit-base, or a folder; without one, '--method "
                "superpixels' stands in"
            )


@dataclass(frozen=True)
class OutlinesMade:
    """What a command has done.

    Args:
        made: Images whose masks were made now.
        kept: Images whose masks were there.
        failed: Images that could not be read; the first are named in the log.
        masks: Number of masks made now.
    """

    made: int
    kept: int
    failed: int
    masks: int


def make_outlines(datasets: Sequence[Dataset], folder: Path, options: OutlineOptions) -> OutlinesMade:
    """Write the masks of every tagged image that has none in a folder yet: `<id>.json`.

    Untagged images need none: their masks are background whatever there is to merge.

    Args:
        datasets: Whose images; one that is in several counts once.
        folder: Where to.
        options: How.

    Raises:
        DataError: If no image is tagged, or none can be read.
        ConfigError, MissingExtra, ArtifactError: See `open_mask_generator`.
    """
    samples = {sample.id: (dataset, sample) for dataset in datasets for sample in dataset if sample.keys}
    if not samples:
        raise DataError("no image has a tag, so there is nothing to make outlines for")
    pending = [samples[sample_id] for sample_id in AgnosticMasks(folder).missing(samples)]
    kept, failed, masks = len(samples) - len(pending), 0, 0
    if not pending:
        return OutlinesMade(0, kept, 0, 0)
    make = _open(options)
    remove_partial_files(folder)
    with show_progress("making outlines") as tick:
        for done, (sample, image) in enumerate(_load(pending)):
            tick(done, len(pending))
            if isinstance(image, DataError):
                failed += 1
                _tell(image, failed)
                continue
            found = make(image)
            write_agnostic_masks(folder / f"{safe_path(sample.id)}.json", found.masks, found.scores or None)
            masks += len(found.masks)
        tick(len(pending), len(pending))
    if failed == len(samples):
        raise DataError(f"none of {failed} tagged images can be read; the first are named above")
    return OutlinesMade(len(pending) - failed, kept, failed, masks)


def _load(pending: Sequence[tuple[Dataset, Sample]]) -> Iterator[tuple[Sample, NDArray[np.uint8] | DataError]]:
    for dataset, sample in pending:
        try:
            yield sample, dataset.load_image(sample)
        except DataError as error:
            yield sample, error


def _open(options: OutlineOptions) -> Callable[[NDArray[np.uint8]], ScoredMasks]:
    if options.method == "superpixels":
        return lambda image: _divide(image, scale=options.scale)
    assert options.model is not None, "see `OutlineOptions`"
    device = choose_device(options.device)
    return open_mask_generator(options.model, device=device, options=options.masks, setting="--model")


def _divide(image: NDArray[np.uint8], *, scale: float) -> ScoredMasks:
    """Return superpixels as masks, which do not overlap and cover the image."""
    least_px = max(MIN_PX, round(image[..., 0].size * LEAST_SHARE))
    labels = find_superpixels(image, scale=scale, min_px=least_px)
    return ScoredMasks(labels == np.arange(labels.max() + 1)[:, None, None], ())


def _tell(error: DataError, failed: int) -> None:
    if failed <= MAX_NAMED:
        more = "; others like it are not named" if failed == MAX_NAMED else ""
        logger.warning("%s; left out%s", error, more)
