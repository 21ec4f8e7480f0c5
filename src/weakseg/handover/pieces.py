"""Exporting by several processes: each image's piece is made by whoever has its turn, and noted until all are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weakseg.data.export.formats import FORMATS
from weakseg.data.export.pieces import Piece
from weakseg.data.export.specks import Specks
from weakseg.data.images import ShrunkImage
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue
from weakseg.handover.source import MASKS, PREDICTIONS, Part, make_source
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Engine, ImageJob, ImageWork
from weakseg.pipeline.notes import MAKE_HERE, Notebook, begin_work, hold_notebook
from weakseg.pipeline.records import read_records
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import Sample

_DIGEST_BYTES = 16

_MADE_BY = {MASKS: "refine", PREDICTIONS: "evaluate"}
"""The stages that write what is exported: pieces of masks that they have replaced are not to be mixed in."""


@dataclass(frozen=True, eq=False)
class PieceWork:
    """What is done to each image of an export; travels to whatever process does it.

    Args:
        context: The run.
        parts: Its splits that are exported.
        to: Name of the format.
        min_area_px: See `Specks`.
        notebook: Where pieces are noted; set by `run`.
    """

    context: Context
    parts: tuple[Part, ...]
    to: str
    min_area_px: int | None
    notebook: Notebook | None = None

    def run(
        self,
        target: Path,
        engine: Engine,
        *,
        specks: Specks,
        put_together: Callable[[Callable[[Sample], Piece]], None],
    ) -> None:
        """Have an engine make all pieces, and put them together as rank 0.

        Args:
            target: The folder of the export; notes lie beside it until it is written.
            engine: Who works.
            specks: Gets what was counted.
            put_together: Writes the export from pieces.
        """
        place = target.resolve()  # '.' has no name
        with hold_notebook(place.with_name(f".{place.name}.weakseg-export"), engine) as notebook:
            begin_work(notebook, engine, self._describe_plan())
            context = replace(self.context, folder=notebook.folder, engine=None, images={})
            job = replace(self, notebook=notebook).job()
            engine.work_off(context, job, [part.dataset for part in self.parts])
            wait_for_all()
            if rank() == 0:
                put_together(lambda sample: _read_piece(notebook, sample, specks))
                notebook.clear()

    def job(self) -> ImageJob:
        """Return what engines work off."""
        return ImageJob(
            name=f"pieces-{self.to}",
            stage="export",
            label=f"exporting to {self.to}",
            output=self.note_of,
            open=self.open,
            reading="nothing",
            again=MAKE_HERE,
        )

    def note_of(self, context: Context, sample_id: str) -> Path:
        """Return the file that holds an image's piece."""
        assert self.notebook is not None, "set by `run`"
        return self.notebook.place(sample_id)

    @contextmanager
    def open(self, context: Context) -> Iterator[ImageWork]:
        """Lend what makes pieces."""
        whole = make_source(self.context, self.parts, specks=Specks(self.min_area_px), tick=lambda done, total: None)
        notebook, encode = self.notebook, FORMATS[self.to].encode
        assert notebook is not None, "set by `run`"

        def work(sample: Sample, image: ShrunkImage) -> None:
            specks = Specks(self.min_area_px)
            piece = encode(replace(whole, specks=specks), sample)
            notebook.write(sample.id, {**piece.to_json(), "specks": specks.counts()})

        yield work

    def _describe_plan(self) -> dict[str, JsonValue]:
        images = [(part.what, sample.id) for part in self.parts for sample in part.dataset]
        records = read_records(self.context.folder)
        stages = {_MADE_BY[part.what] for part in self.parts}
        made = {name: records[name].finished_at for name in sorted(stages) if name in records}
        return {
            "format": self.to,
            "classes": list(self.context.train.classes),
            "min-area-px": self.min_area_px,
            "masks": made,
            "images": hashlib.blake2b(json.dumps(images).encode(), digest_size=_DIGEST_BYTES).hexdigest(),
        }


def _read_piece(notebook: Notebook, sample: Sample, specks: Specks) -> Piece:
    for _, note in notebook.read([sample.id]):
        found: Any = note
        try:
            piece = Piece.from_json(found)
            specks.add(found["specks"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{notebook.place(sample.id)} is damaged ({error}); delete it and start again"
            ) from None
        return piece
    raise ArtifactError(f"{notebook.place(sample.id)} has gone; start the same command again")
