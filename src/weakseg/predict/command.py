"""One command's images on their way from files to results: what is known of them, the work, and the summary of all."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.data.base import Dataset
from weakseg.errors import DataError
from weakseg.files import JsonValue
from weakseg.models.predictor import batched
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import Engine
from weakseg.pipeline.notes import Notebook, begin_work
from weakseg.pipeline.parts import Finishing, PartOf
from weakseg.predict.constraint import TagConstraint
from weakseg.predict.opened import OpenedModel
from weakseg.predict.options import PredictOptions
from weakseg.predict.reading import peek_size
from weakseg.predict.summary import ImageSummary, Picture, Provenance, read_image_summary, read_summary, write_summary
from weakseg.predict.targets import OutputFiles, PassedOver
from weakseg.predict.work import Prediction, Target, digest_image
from weakseg.train.distributed import rank, wait_for_all
from weakseg.types import ClassSet, Sample

logger = logging.getLogger("weakseg")

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Predicted:
    """What a command has done.

    Args:
        images: One entry per image predicted, in the order of the inputs.
        skipped: Number of images whose results were there.
        unreadable: Number of images that could not be read.
        passed_over: Number of pictures in formats that are not read here, and of pipes and devices called like images.
        summary: The summary of all, or None if it was left out.
    """

    images: tuple[ImageSummary, ...]
    skipped: int
    unreadable: int
    passed_over: int
    summary: Path | None


class Command:
    """One command's images on their way from files to results.

    Args:
        opened: The model.
        files: Where results are written.
        constraint: The tags that are known of the images.
        options: How to predict.
        targets: The images by the names of their results.

    Attributes:
        dataset: What engines hand out: the first image of each group that goes through the network at once.
    """

    def __init__(
        self,
        opened: OpenedModel,
        files: OutputFiles,
        constraint: TagConstraint,
        options: PredictOptions,
        targets: Mapping[str, Path],
    ) -> None:
        self._opened = opened
        self._files = files
        self._constraint = constraint
        self._options = options
        settings = {**asdict(opened.views), **asdict(options.tiling)}
        self._provenance = Provenance(opened.kind, str(opened.path), opened.digest, opened.classes.names, settings)
        self._targets = targets
        self._groups = {group[0][0]: tuple(group) for group in _group(targets, options.batch)}
        self.dataset = _make_dataset(self._groups, opened.classes)

    def run(
        self, context: Context, engine: Engine, notebook: Notebook, *, passed_over: Sequence[PassedOver]
    ) -> Predicted:
        """Have an engine work on the images, and sum up what was found."""
        others = [Picture(str(picture.image), picture.problem) for picture in passed_over]
        known: dict[str, ImageSummary] = {}

        def save_known() -> None:
            known.update(self._find_known(notebook))
            if known:  # else a command that is killed now would leave neither the old notes nor the new ones
                self._write_summary(_Found(known, set(), []), others, complete=False)

        before_clearing = save_known if self._options.skip_existing else None
        if begin_work(notebook, engine, self._describe_plan(), before_clearing=before_clearing) and rank() == 0:
            self._mark_finished(notebook, known)
            if self._files.summary is not None:
                self._files.summary.unlink(missing_ok=True)  # it would tell of what is replaced now
        wait_for_all()
        try:
            engine.work_off(context, self._make_work(notebook).job(), [self.dataset])
            wait_for_all()
        except BaseException as error:
            if rank() == 0 and not isinstance(engine, PartOf | Finishing):
                self._keep_what_there_is(notebook, others, is_stopped=isinstance(error, KeyboardInterrupt))
            raise
        if rank() != 0:
            return Predicted((), 0, 0, len(others), self._files.summary)
        found = self._gather(notebook)
        if not found.images:
            notebook.clear()
            raise DataError(f"none of the {len(self._targets)} images can be read; each is named above")
        self._write_summary(found, others, complete=True)
        notebook.clear()
        images = tuple(found.images[name] for name in self._targets if name in found.images and name not in found.kept)
        return Predicted(images, len(found.kept), len(found.unreadable), len(others), self._files.summary)

    def _make_work(self, notebook: Notebook) -> Prediction:
        opened, options = self._opened, self._options
        return Prediction(
            model=opened.path,
            digest=opened.digest,
            views=opened.views,
            files=self._files,
            constraint=self._constraint,
            tiling=options.tiling,
            batch=options.batch,
            groups={name: group for name, group in self._groups.items() if len(group) > 1},
            notebook=notebook,
            opened=opened,
        )

    def _describe_plan(self) -> dict[str, JsonValue]:
        made_by = self._provenance
        images = [(name, str(path), self._constraint.tags_of(name)) for name, path in self._targets.items()]
        return {
            "model": made_by.digest,
            "classes": list(made_by.classes),
            "settings": dict(made_by.settings),
            "outputs": sorted(self._files.kinds),
            "batch": self._options.batch,
            "images or tags": hashlib.blake2b(json.dumps(images).encode(), digest_size=_DIGEST_BYTES).hexdigest(),
        }

    def _find_known(self, notebook: Notebook) -> dict[str, ImageSummary]:
        """Return what this model has found with these settings, as a summary and a command that was killed tell."""
        path, known, own = self._files.summary, dict[str, ImageSummary](), self._provenance.what_counts
        if path is not None and path.is_file():
            made_by, images = read_summary(path)
            if made_by.what_counts == own:
                known = images
            else:
                logger.warning("%s is of another model or of other settings; all images are predicted again", path)
        plan = notebook.read_plan() or {}
        asked = json.loads(json.dumps(self._describe_plan()))
        if all(plan.get(name) == asked[name] for name in ("model", "classes", "settings")):
            for note in notebook.read_all():
                known.update((image.name, image) for image in _read_images(note))
        return known

    def _mark_finished(self, notebook: Notebook, known: Mapping[str, ImageSummary]) -> None:
        """Note the images as done whose results this model made of these very files with these settings and tags."""
        kept = 0
        for name, group in self._groups.items():
            if known and all(target in known and self._is_finished(known[target], path) for target, path in group):
                images = [asdict(replace(known[target], image=str(path))) for target, path in group]
                notebook.write(name, {"images": images, "unreadable": [], "kept": True})
                kept += len(group)
        if kept:
            logger.info("%d of %d images are done already", kept, len(self._targets))

    def _is_finished(self, image: ImageSummary, source: Path) -> bool:
        return (
            image.files == self._files.relative(image.name)
            and all(place.is_file() for place in self._files.pictures(image.name).values())
            and image.tags == self._constraint.tags_of(image.name)
            and image.digest == digest_image(source)
        )

    def _gather(self, notebook: Notebook) -> _Found:
        found = _Found({}, set(), [])
        for _, note in notebook.read(list(self._groups)):
            images = _read_images(note)
            found.images.update((image.name, image) for image in images)
            found.kept.update(image.name for image in images if note.get("kept"))
            found.unreadable.extend(_read_unreadable(note))
        for picture in found.unreadable:
            logger.warning("%s; left out", picture.problem)
        return found

    def _keep_what_there_is(self, notebook: Notebook, others: Sequence[Picture], *, is_stopped: bool) -> None:
        """Sum up what was done before a command ended early; the notes stay, too."""
        found = self._gather(notebook)
        if not found.images:
            return
        self._write_summary(found, others, complete=False)
        if is_stopped and self._files.summary is not None:
            logger.warning("%d images are done; --skip-existing leaves them as they are", len(found.images))

    def _write_summary(self, found: _Found, others: Sequence[Picture], *, complete: bool) -> None:
        if self._files.summary is not None:
            write_summary(
                self._files.summary,
                self._provenance,
                found.images.values(),
                unreadable=found.unreadable,
                passed_over=others,
                complete=complete,
            )


@dataclass(frozen=True, eq=False)
class _Found:
    """What the notes tell: images by name, the names of those that were there before, and what cannot be read."""

    images: dict[str, ImageSummary]
    kept: set[str]
    unreadable: list[Picture]


def _read_images(note: Mapping[str, Any]) -> list[ImageSummary]:
    return [read_image_summary(entry) for entry in note["images"]]


def _read_unreadable(note: Mapping[str, Any]) -> list[Picture]:
    return [Picture(**entry) for entry in note["unreadable"]]


def _group(targets: Mapping[str, Path], batch: int) -> Iterator[list[Target]]:
    """Put images together that go through the network at once: of one size, as far as their headers tell."""
    if batch == 1:
        yield from ([target] for target in targets.items())
        return
    sized = sorted(((peek_size(path), (name, path)) for name, path in targets.items()), key=lambda item: item[0])
    for _, same in groupby(sized, key=lambda item: item[0]):
        yield from batched((target for _, target in same), batch)


def _make_dataset(groups: Mapping[str, Sequence[Target]], classes: ClassSet) -> Dataset:
    """Return what engines hand out: the first image of each group. Nothing is known of their tags."""
    tags, known = np.zeros(len(classes), np.uint8), np.zeros(len(classes), np.bool_)
    samples = tuple(Sample(name, group[0][1], tags, known) for name, group in groups.items())
    return Dataset("files", "new", classes, samples)
