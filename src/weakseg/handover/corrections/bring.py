"""`weakseg correct`: bringing corrected masks back into a run, all or none unless asked otherwise."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weakseg.data.image_facts import inspect_image
from weakseg.data.lists import read_lines
from weakseg.data.masks import decode_mask
from weakseg.errors import DataError, UsageError
from weakseg.handover.corrections.edited import read_edited
from weakseg.handover.corrections.formats import opened
from weakseg.handover.corrections.known_images import Brought, KnownImages
from weakseg.handover.corrections.plan import ACCEPTED, EDITED, Change, Plan, Receiver, accept_mask
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.telling import show_progress

logger = logging.getLogger("weakseg")


@dataclass(frozen=True)
class BroughtBack:
    """What became of what was brought.

    Args:
        folder: Where the corrections lie.
        format: The format that was read; empty if only images were accepted.
        written: Images with a corrected mask that was written.
        accepted: Images whose mask was called right.
        unchanged: Images whose mask is the run's own, of which nothing was written.
        known: Images whose mask is among the corrections already.
        skipped: Entries that could not be used.
    """

    folder: Path
    format: str
    written: int
    accepted: int
    unchanged: int
    known: int
    skipped: int

    def describe(self) -> str:
        """Say it in one line."""
        parts = [f"{self.written} corrected masks"] if self.format else []
        parts += [f"{self.accepted} called right"] if self.accepted else []
        told = [
            f"{count} {words}"
            for count, words in (
                (self.unchanged, "are the run's own masks and say nothing"),
                (self.known, "were there already"),
                (self.skipped, "could not be used"),
            )
            if count
        ]
        read = f" (read as {self.format})" if self.format else ""
        return f"{', '.join(parts)} -> {self.folder}{read}{'; ' if told else ''}{', '.join(told)}"


def bring_corrections(
    run: Path,
    *,
    source: Path | None = None,
    format: str | None = None,
    accept: Path | None = None,
    accept_unchanged: bool = False,
    replace_others: bool = False,
    skip_bad: bool = False,
) -> BroughtBack:
    """Bring corrected masks, or the word that masks are right, into `RUN/corrections/`.

    Args:
        run: The run folder.
        source: What another tool has exported, see `weakseg.handover.corrections.formats`; or `RUN/masks`, whose edited
            masks are then brought.
        format: Its format; None to look.
        accept: A list of images whose mask is right, one a line.
        accept_unchanged: Call the masks right that came back as the run has made them.
        replace_others: Also replace corrections that came from elsewhere, such as the page of `weakseg review`.
        skip_bad: Leave out what cannot be used instead of writing nothing.

    Returns:
        What was written.

    Raises:
        UsageError: If there is nothing to bring, or the format is unknown.
        ArtifactError: If `run` is no run, or a correction is damaged or cannot be written.
        DataError: If the source cannot be read as a whole; and, after naming each, if entries cannot be used.
    """
    if source is None and accept is None:
        raise UsageError("nothing to bring: expected --from with corrected masks, or --accept with a list of images")
    context = open_run(run)
    known = _know(context)
    store = CorrectionStore(context.folder.corrections, context.train.classes, size_of=known.size_of)
    plan, name = Plan(), ""
    if source is not None:
        receiver = Receiver(context.folder, known, store, plan, replace_others)
        name = _read_all(context.folder, known, source, format, receiver)
    accepted = plan.unchanged if accept_unchanged else []
    if accept is not None:
        accepted = [*accepted, *_read_ids(accept, known, plan)]
    for sample_id in dict.fromkeys(accepted):
        accept_mask(context.folder, store, sample_id, plan)
    _tell_faults(plan.faults, skip_bad=skip_bad)
    _write(store, plan.changes.values())
    masks = sum(change.png is not None and change.correction.source != ACCEPTED for change in plan.changes.values())
    unchanged = 0 if accept_unchanged else len(plan.unchanged)
    return BroughtBack(store.root, name, masks, plan.accepted, unchanged, plan.known, len(plan.faults))


def _read_all(folder: RunFolder, known: KnownImages, source: Path, format: str | None, receiver: Receiver) -> str:
    """Read everything; returns the name of the format."""
    if source.resolve() == folder.masks.resolve():
        for brought in _counted(read_edited(folder), total=len(known)):
            receiver.take(brought, source=EDITED)
        return EDITED
    if RunFolder(source).recipe.is_file():
        raise DataError(f"{source} is a run; masks edited in it are brought by --from {RunFolder(source).masks}")
    with opened(source, format=format) as found:
        for brought in _counted(found.read(found.place, known), total=len(known)):
            receiver.take(brought, source=found.format)
        receiver.plan.faults[:] = map(found.name_source, receiver.plan.faults)
        return found.format


def _counted(entries: Iterable[Brought], *, total: int) -> Iterator[Brought]:
    with show_progress("reading corrected masks") as tick:
        for done, entry in enumerate(entries):
            yield entry
            tick(done + 1, max(done + 1, total))


def _know(context: Context) -> KnownImages:
    samples = {sample.id: sample for dataset in (context.val, context.train) for sample in dataset or ()}

    def size_of(sample_id: str) -> tuple[int, int]:
        facts = inspect_image(samples[sample_id].image_path)
        if facts.size_hw is None:
            raise DataError(f"cannot read image {samples[sample_id].image_path}: {facts.problem}")
        return facts.size_hw

    paths = {key: key + sample.image_path.suffix for key, sample in samples.items()}
    return KnownImages(paths, context.train.classes, size_of=size_of)


def _read_ids(path: Path, known: KnownImages, plan: Plan) -> list[str]:
    """Read the images of a list; names that mean none are faults."""
    ids = []
    for line in read_lines(path):
        try:
            ids.append(known.find(line))
        except DataError as error:
            plan.faults.append(f"{path}: {error}")
    return ids


def _tell_faults(faults: Sequence[str], *, skip_bad: bool) -> None:
    for fault in faults:
        logger.warning("%s", fault)
    if faults and not skip_bad:
        raise DataError(
            f"{len(faults)} entries cannot be used, so nothing was written; correct them, or add --skip-bad to bring "
            "the others"
        )


def _write(store: CorrectionStore, changes: Iterable[Change]) -> None:
    for change in changes:
        mask = None if change.png is None else decode_mask(change.png, where=change.correction.id)
        store.write(change.correction, mask, expected_revision=change.revision)
