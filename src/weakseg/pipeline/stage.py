"""What a stage tells the runner of itself, and how it stops in good order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from weakseg.files import JsonValue
from weakseg.pipeline.context import Context


class StageStopped(Exception):
    """A stage has done all that it can for now, and stops in good order without being finished."""


class Requirement(Protocol):
    """Looks for what a stage needs besides the run folder and the images."""

    def __call__(self, context: Context, /, *, afresh: bool) -> None:
        """Raise a `WeaksegError` if something is not there; write nothing into the run but caches.

        Args:
            context: The run.
            afresh: Whether the stage begins without files of its own, since there are none or they are to be removed.
                Otherwise it goes on with what it finds.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Args:
        name: As in docs/runs.md and on the command line.
        version: Raised when the stage's results change for the same settings.
        settings: Dotted names of the sections and settings its result depends on.
        needs: Earlier stages whose files it reads.
        outputs: Files and folders below the run folder that are its own; removed by `--redo`.
        run: Does the work and returns a one-line summary. Called again after an interruption.
        files: Names every file a finished stage has written; when one is gone, the stage goes on to make it again.
            None stands for `outputs`.
        inputs: Names what the result depends on besides settings, images and earlier stages, such as another run's
            files; these parts join the fingerprint.
        added: Settings among these that came later, and the value with which they change nothing: they then leave
            the fingerprint as it was, so that older runs stay valid.
        require: Looks for what it needs from elsewhere, such as weights; asked if the stage has work to do, before
            anything of the run is written or removed.
        derived: Whether it only summarises other stages' files. It is then done again when a setting changes, since
            nothing is lost; other stages stop and ask for `--redo`.
        shared: Whether it may run alone while another process works in the folder, since it reads, and writes one file.
        images: Says how many images it looks at in all, in a training those of all epochs; None where unknown.
        skipped: Says why a run does without the stage; an empty text where it does not. None stands for never. What
            needs the stage then depends on nothing of it, and files it has made before stay.
    """

    name: str
    version: int
    settings: tuple[str, ...]
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[Context], str]
    files: Callable[[Context], Iterable[Path]] | None = None
    inputs: Callable[[Context], Mapping[str, JsonValue]] | None = None
    added: Mapping[str, JsonValue] = field(default_factory=dict)
    require: Requirement | None = None
    derived: bool = False
    shared: bool = False
    images: Callable[[Context], int] | None = None
    skipped: Callable[[Context], str] | None = None

    def why_skipped(self, context: Context) -> str:
        """Say why a run does without the stage; an empty text where it does not."""
        return "" if self.skipped is None else self.skipped(context)
