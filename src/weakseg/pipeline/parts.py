"""Images handed out in parts to commands that know nothing of each other: array jobs of Slurm, Kubernetes and others.

Two commands take turns. `weakseg run RUN --finish` does what cannot be parted, and stops where images are to be worked
on: it writes down which. Then `weakseg run RUN --part I/N`, started for every I, works on these images and on nothing
else. The next `--finish` sees whether all are done and goes on.

A part writes the files of its images and a note that it has ended. No harm is done when it runs twice, or again with
another N.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from weakseg.data.base import Dataset
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Answer, Engine, ImageJob, Question
from weakseg.pipeline.part_words import Part
from weakseg.pipeline.records import read_record, read_records, write_records
from weakseg.pipeline.removal import remove_files
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.stage import StageStopped
from weakseg.pipeline.telling import format_duration
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

MAX_NAMED = 5
"""Missing images, and parts, that a message names before the rest is only counted."""


@dataclass(frozen=True)
class HandedOut:
    """What is handed out, as `parts/handed_out.json` says it.

    Args:
        stage: The stage whose images they are.
        job: Name of what is done to them.
        images: How many were missing then.
    """

    stage: str
    job: str
    images: int


class StoppedAtImages(StageStopped):
    """The command has done all that is its own; others are to work on images now."""


class PartDone(StageStopped):
    """The part's images are done, and with them all that the command is for."""


class Finishing:
    """An engine that lets others work on images: it only sees whether all are done.

    Args:
        inner: Works on the few images that are not worth handing out.
    """

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """See `Engine`.

        Raises:
            StoppedAtImages: If images are to be handed out now; it is written down which.
            ArtifactError: If they were handed out, parts have ended, and not all images are done.
        """
        if job.few:
            self._inner.work_off(context, job, datasets)
            return
        if job.prepare is not None:
            job.prepare(context)
        handed, missing = read_handed_out(context.folder), find_missing(context, job, datasets)
        is_mine = handed is not None and handed.job == job.name
        wait_for_all()  # every process has looked before rank 0 changes anything
        if missing and is_mine and ended_parts(context.folder):
            raise ArtifactError(_describe_missing(context, job, missing, total=sum(map(len, datasets))))
        if missing:
            if rank() == 0:
                hand_out(context.folder, HandedOut(job.stage, job.name, len(missing)))
            raise StoppedAtImages(f"{job.stage}: {len(missing)} images are to be worked on ({job.label})")
        if is_mine and rank() == 0:
            _count_time(context.folder, job.stage)

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """See `Engine`; answers are not handed out in parts."""
        return self._inner.ask(context, question, datasets)

    def close(self) -> None:
        """See `Engine`."""
        self._inner.close()


class PartOf:
    """An engine that has its part of the images that are handed out worked on.

    Args:
        part: Which part.
        inner: Works on them.
    """

    def __init__(self, part: Part, inner: Engine) -> None:
        self.part = part
        self._inner = inner

    def work_off(self, context: Context, job: ImageJob, datasets: Sequence[Dataset], /) -> None:
        """See `Engine`.

        Raises:
            PartDone: When the part's images are done.
            ArtifactError: If the files of an earlier job are gone.
        """
        handed = read_handed_out(context.folder)
        if handed is None or handed.job != job.name:
            if missing := find_missing(context, job, datasets):
                raise ArtifactError(
                    f"{context.folder.root}: files of {len(missing)} images are gone that were there when images were "
                    f"handed out ({job.label}: {_name(missing)}); run 'weakseg run {context.folder.root} --finish'"
                )
            return
        started_s = time.monotonic()
        own = [sample.id for dataset in datasets for sample in dataset][self.part.number - 1 :: self.part.count]
        self._inner.work_off(context, job, [dataset.keep(own) for dataset in datasets])
        note = {"images": len(own), "time_s": round(time.monotonic() - started_s, 1), "host": socket.gethostname()}
        write_json(self.note(context.folder), {**note, "process": os.getpid()})
        raise PartDone(f"{job.stage}: part {self.part} is done, {len(own)} images ({job.label})")

    def ask(self, context: Context, question: Question[Answer], datasets: Sequence[Dataset], /) -> dict[int, Answer]:
        """See `Engine`."""
        return self._inner.ask(context, question, datasets)

    def note(self, folder: RunFolder) -> Path:
        """Return where it is noted that the part has ended."""
        return folder.parts / f"{self.part.number}-of-{self.part.count}.json"

    def close(self) -> None:
        """See `Engine`."""
        self._inner.close()


def find_missing(context: Context, job: ImageJob, datasets: Sequence[Dataset]) -> list[str]:
    """Return the ids of the images that are still to be worked on."""
    return [sample.id for dataset in datasets for sample in dataset if job.is_pending(context, sample)]


def hand_out(folder: RunFolder, what: HandedOut) -> None:
    """Write down what is handed out, in the place of what was before."""
    remove_files([folder.parts])
    write_json(_handed_out_path(folder), asdict(what))


def read_handed_out(folder: RunFolder) -> HandedOut | None:
    """Return what is handed out; None if nothing is.

    Raises:
        ArtifactError: If the file is damaged.
    """

    def parse(document: Any) -> HandedOut:
        return HandedOut(str(document["stage"]), str(document["job"]), int(document["images"]))

    return read_record(_handed_out_path(folder), parse, whole=f"{folder.parts}, run 'weakseg run --finish'")


def ended_parts(folder: RunFolder) -> list[Part]:
    """Return the parts that have ended since images were handed out."""
    found = (re.fullmatch(r"(\d+)-of-(\d+)\.json", path.name) for path in sorted(folder.parts.glob("*-of-*.json")))
    return [Part(int(match[1]), int(match[2])) for match in found if match is not None]


def _count_time(folder: RunFolder, stage: str) -> None:
    """Add the time of all parts to the stage's, once, and tell it."""
    parts, time_s, records = len(ended_parts(folder)), time_of_parts_s(folder), read_records(folder)
    logger.info("%s: %d parts have ended after %s of work", stage, parts, format_duration(time_s))
    if stage in records:
        remove_files([folder.parts])  # what is counted is not to be counted again
        record = records[stage]
        write_records(folder, {**records, stage: replace(record, parts_time_s=record.parts_time_s + time_s)})


def time_of_parts_s(folder: RunFolder) -> float:
    """Return the seconds that all parts together have taken so far."""
    notes = [decode_json(path.read_text(encoding="utf-8")) for path in folder.parts.glob("*-of-*.json")]
    return sum(float(note["time_s"]) for note in notes)


def _describe_missing(context: Context, job: ImageJob, missing: Sequence[str], *, total: int) -> str:
    again = job.again or f"'weakseg run {context.folder.root}'"
    return (
        f"{job.stage}: {len(missing)} of {total} images have no file yet ({job.label}: {_name(missing)}); "
        f"{_describe_parts(ended_parts(context.folder))}; start these again, or {again} to make here what is missing"
    )


def _describe_parts(ended: Sequence[Part]) -> str:
    """Say which parts have not ended, by the number of parts that most of them were started with."""
    counts = [part.count for part in ended]
    count = max(counts, key=counts.count)
    absent = sorted(set(range(1, count + 1)) - {part.number for part in ended if part.count == count})
    if not absent:
        return f"all {count} parts have ended, so that files were removed since then"
    return f"of {count} parts, those that have not ended: {_name([str(number) for number in absent])}"


def _name(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")


def _handed_out_path(folder: RunFolder) -> Path:
    return folder.parts / "handed_out.json"
