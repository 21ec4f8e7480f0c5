"""Beginning a run that learns from the corrections of another: what it is taught, and what need not be done again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from weakseg.config.schema import RunConfig
from weakseg.data.masks import encode_mask, read_mask
from weakseg.errors import ArtifactError, ConfigError
from weakseg.file_names import safe_path
from weakseg.files import advise_on, write_bytes, write_json
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.lessons import (
    Lessons,
    collect_lessons,
    describe_lessons,
    find_unlearnt,
    has_corrections,
    is_overtaken,
)
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.corrections.taught import Taught, read_taught
from weakseg.pipeline.edited_masks import is_remembered, is_untouched, remember_masks
from weakseg.pipeline.fingerprints import plan_records
from weakseg.pipeline.images import seeded_datasets
from weakseg.pipeline.inputs import open_splits
from weakseg.pipeline.lock import LOCK_NAME, hold_folder
from weakseg.pipeline.records import describe_changes, read_records
from weakseg.pipeline.removal import remove_files
from weakseg.pipeline.run_folder import RunFolder, name_next
from weakseg.pipeline.sharing import share_files, share_stages
from weakseg.pipeline.stage import Stage
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import ClassSet

logger = logging.getLogger("weakseg")

REFINE = "refine"


def begin_learning(
    config: RunConfig, source: RunFolder, target: RunFolder, *, corrections: RunFolder | None = None
) -> bool:
    """Copy what a new run is to learn from the corrections of another, before its first stage.

    Corrections go to `taught/`, which stages look at, and once more to `corrections/`, where they are shown and where
    further ones join them. A copy that was interrupted is made again; a finished one is compared.

    Args:
        config: The recipe of the new run, its paths absolute.
        source: The run that was corrected. Nothing is written there.
        target: The new run.
        corrections: A folder that holds only corrections, where they are not the source's own.

    Returns:
        Whether the run learns from corrections; False if nobody has said anything of the source.

    Raises:
        ConfigError: If both runs are one, and there is something to learn.
        ArtifactError: If the folder of the new run holds something else, or a correction is damaged or cannot be used.
        DataError: If the data or a corrected image cannot be read.
    """
    said = source if corrections is None else corrections
    if source.root.resolve() == target.root.resolve():
        _require_nothing_new(config, source)
        return False
    if not has_corrections(said) and not target.taught_index.is_file():
        return False
    _require_room(target)
    with hold_folder(target.root):
        if rank() == 0:
            share_files(source.image_index, target.image_index)
        datasets = open_splits(config.data, target)
        lessons = collect_lessons(said, datasets)
        known = read_taught(target)
        train, val = datasets[0], datasets[1] if len(datasets) > 1 else None
        if known is not None:
            _require_same(known, lessons, source, target)
        elif not lessons.images and not lessons.said:
            return False  # all was taken back
        elif not lessons.images:
            raise ArtifactError(
                f"the corrections in {said.corrections} teach nothing: none is of an image that is among the data, "
                "with the mask that somebody saw"
            )
        else:
            logger.info("learning from %s: %s", source.root, describe_lessons(lessons, train, val))
            before = read_taught(source)
            if before is not None and before.images == lessons.images:
                logger.info(
                    "%s has learnt from the same: %s comes out like it unless its settings differ",
                    source.root,
                    target.root,
                )
            wait_for_all()  # every process has looked before rank 0 writes
            if rank() == 0:
                _copy(said, source, target, lessons, train.classes)
        wait_for_all()
    return True


def carry_over(source: RunFolder, context: Context, stages: Sequence[Stage]) -> None:
    """Give a run every finished stage of another that would come out the same, up to the first that would not.

    Args:
        source: The other run.
        context: The run.
        stages: All stages, in order.
    """
    planned, found, own = plan_records(context, stages), read_records(source), read_records(context.folder)
    for stage in stages:
        if stage.name not in planned or stage.name in own:
            continue
        record = found.get(stage.name)
        if record is None or not record.finished:
            return
        if record.fingerprint != planned[stage.name].fingerprint:
            logger.info(
                "%s: made anew, since %s", stage.name, describe_changes(record.parts, planned[stage.name].parts)
            )
            return
        if stage.name == REFINE and not is_untouched(source):
            logger.info("%s: made anew, since masks of %s were edited by hand", stage.name, source.root)
            return
        logger.info("%s: taken over from %s (%s)", stage.name, source.root, record.summary)
        share_stages(source, context.folder, [stage], link=stage.name != REFINE)  # people edit masks where they are
        if stage.name == REFINE and rank() == 0 and not is_remembered(context.folder):
            remember_masks(context.folder, [sample.id for dataset in seeded_datasets(context) for sample in dataset])
        wait_for_all()


def _require_nothing_new(config: RunConfig, folder: RunFolder) -> None:
    if not has_corrections(folder):
        return
    if find_unlearnt(folder, open_splits(config.data, folder), read_taught(folder)) is not None:
        raise ConfigError(
            f"--out {folder.root}: a run cannot learn from its corrections in its own folder, where they were drawn "
            f"upon other masks; choose another, such as --out {name_next(folder.root)}, or leave --out out to go on"
        )


def _require_room(target: RunFolder) -> None:
    """Refuse a folder that holds anything but a run that was begun here."""
    if target.taught_index.is_file() or not target.root.exists():
        return
    if not target.root.is_dir():
        raise ArtifactError(f"{target.root} is a file; choose another --out")
    kept = {target.image_index.name, target.generated_data.name, target.log.name, LOCK_NAME}
    own = {target.taught.name, target.corrections.name, *kept}
    held = sorted(path.name for path in target.root.iterdir() if not path.match(".*.partial"))  # of a killed process
    if target.taught.is_dir() and set(held) <= own:  # an interrupted copy
        return
    others = [name for name in held if name not in kept]
    if others:
        what = "is a run that learns from no corrections" if target.state.is_file() else f"holds {others[0]}"
        raise ArtifactError(
            f"{target.root} {what}, and a run that learns from corrections begins anew; choose another --out, such as "
            f"{name_next(target.root)}"
        )


def _require_same(known: Taught, lessons: Lessons, source: RunFolder, target: RunFolder) -> None:
    if known.images != lessons.images:
        raise ArtifactError(
            f"{target.root} learns from other corrections than {source.root} has now; go on with 'weakseg run "
            f"{target.root}', or choose another --out, such as {name_next(target.root)}"
        )


def _copy(said: RunFolder, source: RunFolder, target: RunFolder, lessons: Lessons, classes: ClassSet) -> None:
    """Write what the run is taught, its index last: what has an index is complete."""
    remove_files([target.taught, target.corrections])  # of a copy that was interrupted
    target.taught.mkdir(parents=True)
    for sample_id, file in lessons.mask_files.items():
        write_bytes(target.taught / f"{safe_path(sample_id)}.png", encode_mask(read_mask(file)))
    _carry_on(said, target, lessons, classes)
    taught = Taught(target.taught, str(source.root.absolute()), classes, lessons.images)
    write_json(target.taught_index, taught.to_json())


def _carry_on(said: RunFolder, target: RunFolder, lessons: Lessons, classes: ClassSet) -> None:
    """Copy the corrections themselves; a mask that was only called right is put beside the word, as it was.

    Without that mask the word would be of one that nobody has seen, and is left out. Copies, no links: other programs
    write into files where they stand.
    """
    store, new = (CorrectionStore(folder.corrections, classes) for folder in (said, target))
    for correction in store:
        file = lessons.mask_files.get(correction.id)
        if correction.has_mask:
            file = store.mask_file(correction.id)
        elif file is None and correction.verdict == "right":  # of an image that is not among the data now
            is_kept = said.mask(correction.id).is_file() and not is_overtaken(said, correction)
            file = said.mask(correction.id) if is_kept else None
            correction = replace(correction, verdict=None if file is None else "right")
        elif is_overtaken(said, correction):
            correction = replace(correction, verdict=None)
        if correction.says_nothing:
            continue
        if file is not None:
            write_bytes(new.mask_file(correction.id), _read_bytes(file))
        write_json(new.record_file(correction.id), asdict(replace(correction, has_mask=file is not None)))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {advise_on(error)}") from error
