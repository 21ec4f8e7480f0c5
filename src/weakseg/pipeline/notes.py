"""Work on images that belongs to no stage, such as `predict` and `export`, by the engines that stages have.

A hidden folder beside the results holds a note of each image that is done, and the plan: what all commands that work
there agree on. It is gone when all is finished.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.file_names import safe_path
from weakseg.files import JsonValue, write_bytes, write_json
from weakseg.pipeline.image_jobs import Engine
from weakseg.pipeline.lock import hold_folder
from weakseg.pipeline.parts import Finishing, PartOf, StoppedAtImages, read_handed_out
from weakseg.pipeline.removal import remove_files
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.stage import StageStopped
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

Plan = Mapping[str, JsonValue]
"""What commands that work on parts of the same images must agree on, by names that a message can tell."""

MAKE_HERE = "the same command without --finish"
"""What makes what parts have not made."""


@dataclass(frozen=True)
class Notebook:
    """The notes of one piece of work.

    Args:
        root: Their folder.
    """

    root: Path

    @property
    def folder(self) -> RunFolder:
        """The folder as engines ask for it."""
        return RunFolder(self.root)

    @property
    def plan(self) -> Path:
        """The file of the plan."""
        return self.root / "plan.json"

    def place(self, key: str) -> Path:
        """Return the file of an image's note."""
        return self.root / "notes" / f"{safe_path(key)}.json"

    def write(self, key: str, note: JsonValue) -> None:
        """Write the note of an image, which says that it is done; objects in it keep their order.

        The disk is not waited for: notes live as long as the work, and a damaged one is named.
        """
        write_bytes(self.place(key), f"{json.dumps(note, allow_nan=False)}\n".encode(), durable=False)

    def read(self, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """Yield key and note of the images that have one.

        Raises:
            ArtifactError: If a note is damaged.
        """
        for key in keys:
            note = _read_object(self.place(key))
            if note is not None:
                yield key, note

    def read_all(self) -> Iterator[dict[str, JsonValue]]:
        """Yield the notes of all images that have one, whatever they are called."""
        for path in sorted((self.root / "notes").rglob("*.json")):
            note = _read_object(path)
            if note is not None:
                yield note

    def read_plan(self) -> dict[str, JsonValue] | None:
        """Return the plan, None if there is none."""
        return _read_object(self.plan)

    def clear(self) -> None:
        """Remove all notes and the plan."""
        remove_files([self.root / "notes", self.plan, self.folder.parts])


@contextmanager
def hold_notebook(root: Path, engine: Engine) -> Iterator[Notebook]:
    """Keep other commands from the same work meanwhile, but for those that work on parts.

    Args:
        root: The folder of the notes; gone at the end if they are.
        engine: Who works.

    Raises:
        ArtifactError: If another command works there.
    """
    with hold_folder(root, shared=isinstance(engine, PartOf)):
        yield Notebook(root)
    if rank() == 0:
        with suppress(OSError):  # refused unless it is empty
            root.rmdir()


def begin_work(
    notebook: Notebook, engine: Engine, plan: Plan, *, before_clearing: Callable[[], None] | None = None
) -> bool:
    """Begin anew, with no notes, unless the work is one that parts have begun.

    Args:
        notebook: Held by `hold_notebook`.
        engine: Who works: a part goes on with what is handed out, `--finish` too if there is anything.
        plan: What the command is to do.
        before_clearing: Called by rank 0 if it begins anew, while the notes of an earlier command are still there.

    Returns:
        Whether it has begun anew.

    Raises:
        ArtifactError: If nothing is handed out to a part, or what is handed out is other work.
    """
    handed = read_handed_out(notebook.folder)
    goes_on = isinstance(engine, PartOf) or (isinstance(engine, Finishing) and handed is not None)
    if isinstance(engine, PartOf) and handed is None:
        raise ArtifactError(
            f"--part {engine.part}: no images are handed out in {notebook.root}; the same command with --finish in the "
            "place of --part does that first"
        )
    if goes_on:
        _require_same(notebook, plan)
    wait_for_all()  # every process has looked before rank 0 changes anything
    if not goes_on and rank() == 0:
        if before_clearing is not None:
            before_clearing()
        notebook.clear()
        write_json(notebook.plan, plan)
    wait_for_all()
    return not goes_on


def tell_stop(stop: StageStopped, *, then: str) -> None:
    """Say that a part is done, or that images are handed out and how to go on.

    Args:
        stop: What ended the work in good order.
        then: What `--finish` does when all parts have ended.
    """
    logger.info("%s", stop)
    if isinstance(stop, StoppedAtImages):
        logger.info(
            "  the same command with --part I/N in the place of --finish works on one of N parts of them; with "
            "--finish it %s when all N have ended",
            then,
        )


def _require_same(notebook: Notebook, plan: Plan) -> None:
    begun = notebook.read_plan() or {}
    asked = decode_json(json.dumps(plan))  # as it is read back
    differing = [name for name in asked if begun.get(name) != asked[name]]
    if differing:
        raise ArtifactError(
            f"{notebook.root} holds work that was begun with other {', '.join(differing)}; go on with the words that "
            "it was begun with, or delete that folder to begin anew"
        )


def _read_object(path: Path) -> dict[str, JsonValue] | None:
    try:
        found = decode_json(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("expected an object")
        return found
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it, and start the same command again") from None
