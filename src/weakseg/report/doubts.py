"""Which masks to look at first, and how far seed, mask and segmenter agree: what the report can say without a network.

What `weakseg review` has measured is taken where it is there. Otherwise the files of the run are compared, which takes
seconds: the segmenter has then only spoken of the validation split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weakseg.data.base import Dataset
from weakseg.data.grey import read_grey
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.pseudo_masks import doubted_ids
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.threshold import mask_threshold
from weakseg.scoring.evidence import Evidence, differing_share, measure_image, name_sources, read_evidence
from weakseg.scoring.queue import QueuedImage, order_images
from weakseg.types import Sample

MAX_LOOKED_AT = 1000
"""Of more images, so many are compared, evenly spaced: a report takes seconds, not minutes."""

STEP_PX = 4
"""Every fourth pixel in each direction is compared."""


@dataclass(frozen=True)
class Agreement:
    """On which share of the pixels two things agree, in the mean over images, 0..1.

    Args:
        seed: Seed, cut at the background threshold, and mask; None for a method without a threshold.
        segmenter: The segmenter, which is not given the tags, and the mask, on the validation split; None without one.
        stable: The mask, and what another background threshold would make of it; None if none was tried.
    """

    seed: float | None
    segmenter: float | None
    stable: float | None


@dataclass(frozen=True)
class Doubts:
    """What the files of a run say against its masks.

    Args:
        images: The images, the most likely wrong mask first; those that a person has corrected come last.
        agreement: In the mean over the masks that are the run's own; a person's say nothing of seeds and refinement.
        from_review: Whether `weakseg review` has measured it, with the help of classifier and segmenter.
        total: So many images have masks; the same as `images` unless these were too many.
    """

    images: tuple[QueuedImage, ...]
    agreement: Agreement
    from_review: bool
    total: int

    @property
    def places(self) -> dict[str, int]:
        """The place of each image, by its id."""
        return {image.id: place for place, image in enumerate(self.images)}

    @property
    def is_telling(self) -> bool:
        """Whether anything was measured that sets images apart."""
        return any(image.score > 0 for image in self.images)


def look_for_doubts(context: Context) -> Doubts:
    """Compare what lies in a run folder, or take what `weakseg review` has found out.

    An image whose files cannot be read is left out.

    Args:
        context: A run with masks.
    """
    found = [
        (dataset, sample)
        for dataset in seeded_datasets(context)
        for sample in dataset
        if context.folder.mask(sample.id).is_file()
    ]
    known = read_evidence(context.folder, name_sources(context.folder))
    from_review = bool(found) and all(sample.id in known for _, sample in found)
    if from_review:
        evidence = [known[sample.id] for _, sample in found]
    else:
        wanted = min(len(found), MAX_LOOKED_AT)
        evidence = _measure_all(context, [found[place * len(found) // wanted] for place in range(wanted)])
    store = CorrectionStore(context.folder.corrections, context.train.classes)
    corrected = frozenset(sample.id for _, sample in found if is_corrected(store, sample.id))
    own = [item for item in evidence if context.taught is None or not context.taught.has_mask(item.id)]
    return Doubts(
        images=order_images(evidence, context.train.classes.names, corrected=corrected).images,
        agreement=_agree(own, None if context.val is None else context.val.split),
        from_review=from_review,
        total=len(found),
    )


def is_corrected(store: CorrectionStore, sample_id: str) -> bool:
    """Say whether a person has said something of an image, and not taken it back; a damaged file was something."""
    try:
        correction = store.read(sample_id)
    except ArtifactError:
        return True
    return correction is not None and not correction.says_nothing


def _measure_all(context: Context, chosen: Sequence[tuple[Dataset, Sample]]) -> list[Evidence]:
    found = mask_threshold(context)
    threshold = None if found is None else found.value
    doubted = doubted_ids(context)
    evidence = []
    with show_progress("looking for doubtful masks") as tick:
        for done, (dataset, sample) in enumerate(chosen):
            try:
                evidence.append(_measure(context, dataset.split, sample, threshold, tried=sample.id in doubted))
            except (ArtifactError, DataError):
                pass  # the stage that needs the file names it
            tick(done + 1, len(chosen))
    return evidence


def _measure(context: Context, split: str, sample: Sample, threshold: float | None, *, tried: bool) -> Evidence:
    folder = context.folder
    mask = read_mask(folder.mask(sample.id))
    seed = load_seed(folder.seed(sample.id))
    if seed.keys != sample.keys:
        raise ArtifactError(f"the seed of {sample.id} has the maps of other tags; run 'localize' again")
    small = mask[::STEP_PX, ::STEP_PX]
    confidence = folder.confidence_map(sample.id)
    found = measure_image(
        sample,
        split,
        small,
        maps=replace(seed, size_hw=(mask.shape[0], mask.shape[1])).strided(STEP_PX).numpy(),
        threshold=threshold,
        confidence=read_grey(confidence)[::STEP_PX, ::STEP_PX] if tried and confidence.is_file() else None,
        probabilities=None,
        likely=(),
    )
    if not folder.prediction(sample.id).is_file():
        return found
    predicted = read_mask(folder.prediction(sample.id))[::STEP_PX, ::STEP_PX]
    return replace(found, free=differing_share(predicted, small)) if predicted.shape == small.shape else found


def _agree(evidence: Sequence[Evidence], val: str | None) -> Agreement:
    def mean(read: Callable[[Evidence], float | None], *, split: str | None = None) -> float | None:
        values = [value for found in evidence if split in (None, found.split) and (value := read(found)) is not None]
        return 1.0 - float(np.mean(values)) if values else None

    return Agreement(
        seed=mean(lambda found: found.seed),
        segmenter=None if val is None else mean(lambda found: found.free, split=val),
        stable=mean(lambda found: found.unstable),
    )
