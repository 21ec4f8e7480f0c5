"""What the corrections of a run have to teach: read, checked against the images of today, and told apart by use."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.data.image_facts import inspect_image
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError, WeaksegError
from weakseg.file_names import printable
from weakseg.pipeline.corrections.correction import Correction
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.corrections.taught import Taught, TaughtImage, digest_mask, read_taught
from weakseg.pipeline.records import read_records
from weakseg.pipeline.run_classes import read_run_classes
from weakseg.pipeline.run_folder import RunFolder, learning_command
from weakseg.types import ClassSet, Sample

logger = logging.getLogger("weakseg")

MAX_NAMED = 3
"""Images that a message names before the rest is only counted."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """What corrections teach, and where their masks are.

    Args:
        images: What is taught of each image, by its id; without those of which nothing is to be learnt.
        mask_files: Where the mask of each is that has one: among the corrections, or the run's own that was called
            right.
        said: Number of corrections that say something, those of images that are not among the data included.
        overtaken: Ids of the images whose mask was called right or wrong, and has been replaced since.
    """

    images: Mapping[str, TaughtImage]
    mask_files: Mapping[str, Path]
    said: int
    overtaken: frozenset[str] = frozenset()


def has_corrections(folder: RunFolder) -> bool:
    """Say whether a person may have said something about a run's images, or the run has been taught by some."""
    return folder.taught_index.is_file() or any(folder.corrections.rglob("*.json"))


def collect_lessons(folder: RunFolder, datasets: Iterable[Dataset]) -> Lessons:
    """Read what the corrections of a run teach, with the tags that the run itself was taught.

    Args:
        folder: The run that was corrected.
        datasets: The splits as they are now; corrections of other images are named and left out.

    Raises:
        ArtifactError: If a correction is damaged, or is of other classes than the data have now.
        DataError: If an image cannot be read, or a corrected mask has another size.
    """
    splits = list(datasets)
    classes = splits[0].classes
    samples = {sample.id: sample for dataset in reversed(splits) for sample in dataset}
    _require_classes(folder, classes)
    store = CorrectionStore(folder.corrections, classes, size_of=lambda sample_id: _find_size(samples, sample_id))
    before = read_taught(folder)
    images = {} if before is None else {key: _tags_alone(image) for key, image in before.images.items()}
    files: dict[str, Path] = {}
    said = [correction for correction in store if not correction.says_nothing]
    absent, overtaken = [], []
    for correction in said:
        if correction.id not in samples:
            absent.append(correction.id)
            continue
        _require_tags(store, correction)
        if is_overtaken(folder, correction):
            overtaken.append(correction.id)
            correction = replace(correction, verdict=None)
        image = _join(images.get(correction.id, TaughtImage(correction.id)), correction)
        file, mask = _find_mask(folder, store, correction)
        if file is not None and mask is not None:
            image, files[image.id] = replace(image, mask=digest_mask(mask)), file
        images[image.id] = replace(image, is_right=correction.verdict == "right" and image.mask is not None)
    _tell_left_out(folder, absent, "are not among the data any more and teach nothing", "put them back, or remove them")
    known_wrong = [key for key in overtaken if before is not None and before.is_wrong(key)]
    told = "have other masks than those that were called right or wrong, so that the word teaches nothing"
    _tell_left_out(folder, [key for key in overtaken if key not in known_wrong], told, "look at these again")
    kept = {key: image for key, image in images.items() if image.teaches and key in samples}
    return Lessons(kept, files, len(said), frozenset(overtaken))


def find_unlearnt(folder: RunFolder, datasets: Iterable[Dataset], taught: Taught | None) -> Lessons | None:
    """Return what a run's corrections teach, if that is something else than what the run was taught; else None.

    Images that are not among those of `datasets`, as without tags or unreadable ones, make no difference.

    Raises:
        ArtifactError, DataError: See `collect_lessons`.
    """
    if not has_corrections(folder):
        return None
    splits = list(datasets)
    lessons, used = collect_lessons(folder, splits), {sample.id for dataset in splits for sample in dataset}
    before = {} if taught is None else {key: image for key, image in taught.images.items() if key in used}
    # The run left out what was wrong in the run before, and has made another mask since: nothing new was said.
    before |= {key: replace(before[key], is_wrong=False) for key in lessons.overtaken & before.keys()}
    before = {key: image for key, image in before.items() if image.teaches}
    return None if lessons.images == before else lessons


def _require_classes(folder: RunFolder, classes: ClassSet) -> None:
    """Refuse corrections that were drawn in a run of other classes: their masks would mean others by the same number.

    The networks of a run tell what it knew; one without networks cannot.
    """
    known = read_taught(folder)
    names = read_run_classes(folder) if known is None else known.classes.names
    if names is not None and names != classes.names:
        raise ArtifactError(
            f"{folder.corrections} is of the classes {_list(names)}, but the data now have {_list(classes.names)}, so "
            "that its masks would mean others; put the classes back as they were"
        )


def _find_size(samples: Mapping[str, Sample], sample_id: str) -> tuple[int, int] | None:
    if sample_id not in samples:
        return None
    path = samples[sample_id].image_path
    facts = inspect_image(path)
    if facts.size_hw is None:
        raise DataError(f"cannot read image {path}: {facts.problem}")
    return facts.size_hw


def _tags_alone(image: TaughtImage) -> TaughtImage:
    """Return what stays of what the run itself was taught: its tags. Its masks are among its corrections again."""
    return TaughtImage(image.id, added_tags=image.added_tags, removed_tags=image.removed_tags)


def _require_tags(store: CorrectionStore, correction: Correction) -> None:
    for name in (*correction.added_tags, *correction.removed_tags):
        try:
            store.classes.index(name)
        except DataError as error:
            raise ArtifactError(
                f"{store.record_file(correction.id)}: {error}; correct it on the page, or there"
            ) from None


def _join(before: TaughtImage, correction: Correction) -> TaughtImage:
    """Lay a correction of a run over the tags that the run was taught: what was said last counts."""
    added = [tag for tag in before.added_tags if tag not in correction.removed_tags]
    removed = [tag for tag in before.removed_tags if tag not in correction.added_tags]
    return TaughtImage(
        correction.id,
        is_wrong=correction.verdict == "wrong",
        added_tags=tuple(sorted({*added, *correction.added_tags})),
        removed_tags=tuple(sorted({*removed, *correction.removed_tags})),
    )


def _find_mask(
    folder: RunFolder, store: CorrectionStore, correction: Correction
) -> tuple[Path | None, NDArray[np.uint8] | None]:
    """Return the mask that an image teaches by: the corrected one, or the run's own that was called right."""
    if correction.verdict == "wrong":
        return None, None
    if correction.has_mask:
        return store.mask_file(correction.id), store.read_mask(correction.id)
    if correction.verdict != "right" or is_overtaken(folder, correction):
        return None, None
    path = folder.mask(correction.id)
    try:
        return path, read_mask(path)
    except DataError as error:
        raise ArtifactError(
            f"the mask of '{printable(correction.id)}' was called right, but {path} cannot be read: {error}; make it "
            f"again with 'weakseg refine {folder.root}', or take the word back in {store.record_file(correction.id)}"
        ) from None


def is_overtaken(folder: RunFolder, correction: Correction) -> bool:
    """Say whether a mask was called right or wrong that the stage `refine` has replaced: nobody has seen the new one.

    Neither time alone says so: files that are copied, or made again since they were gone, are late as well.
    """
    if correction.verdict is None or correction.has_mask:
        return False
    try:
        said_at = datetime.fromisoformat(correction.changed_at)
        if folder.mask(correction.id).stat().st_mtime <= said_at.timestamp():
            return False
        record = read_records(folder).get("refine")
        if record is None or not record.finished:
            return record is not None
        return bool(record.finished_at) and datetime.fromisoformat(record.finished_at) > said_at
    except (OSError, ValueError, TypeError):  # no mask, or a time that is none: nothing is known
        return False


def _tell_left_out(folder: RunFolder, sample_ids: Sequence[str], why: str, remedy: str) -> None:
    if sample_ids:
        logger.warning(
            "%d corrected images of %s %s (%s%s); %s",
            len(sample_ids),
            folder.corrections,
            why,
            ", ".join(map(printable, sample_ids[:MAX_NAMED])),
            ", ..." if len(sample_ids) > MAX_NAMED else "",
            remedy,
        )


def _list(names: Iterable[str]) -> str:
    return ", ".join(printable(name) for name in names)


def describe_lessons(lessons: Lessons, train: Dataset, val: Dataset | None) -> str:
    """Say in a line how much lessons hold."""
    return Taught(Path(), "", train.classes, lessons.images).count(train, val).describe()


def tell_unlearnt(folder: RunFolder, train: Dataset, val: Dataset | None, taught: Taught | None) -> None:
    """Name the command that learns from corrections which a run has not been taught; damaged ones are named."""
    try:
        lessons = find_unlearnt(folder, [dataset for dataset in (train, val) if dataset is not None], taught)
    except WeaksegError as error:  # the run is finished nevertheless
        logger.warning("%s", error)
        return
    if lessons is not None and lessons.images:
        logger.info(
            "the run has not learnt from its corrections (%s): '%s' does",
            describe_lessons(lessons, train, val),
            learning_command(folder.root),
        )
