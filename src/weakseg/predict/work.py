"""What is done to new images: read, predicted, written, and noted. It travels to whatever process does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.depth import PixelRange
from weakseg.data.images import ShrunkImage, read_image
from weakseg.data.regular_files import is_regular
from weakseg.errors import ArtifactError, ConfigError, DataError
from weakseg.files import JsonValue
from weakseg.models.inference import LabelledPixels
from weakseg.models.predictor import Views, choose_labels, predict_views
from weakseg.models.tiling import Tiling
from weakseg.pipeline.context import Context
from weakseg.pipeline.image_jobs import ImageJob, ImageWork
from weakseg.pipeline.notes import MAKE_HERE, Notebook
from weakseg.predict.constraint import TagConstraint
from weakseg.predict.opened import OpenedModel, allowed_labels, digest_file, open_model
from weakseg.predict.pictures import write_pictures
from weakseg.predict.summary import ImageSummary, summarise_labels
from weakseg.predict.targets import OutputFiles
from weakseg.types import Sample

Target = tuple[str, Path]
"""What an image's results are called, and its file."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a command does to each image.

    Args:
        model: What predicts, as it was given.
        digest: Hexadecimal digest of its weights.
        views: How images are looked at.
        files: Where results go.
        constraint: The classes that may appear.
        tiling: How large images are cut.
        batch: So many images of one size, or tiles, go through the network at once.
        groups: The images that are predicted together, by the name of the first; those alone are not among them.
        notebook: Where it is noted what was found.
        opened: The model, where it is open in this process; it stays behind when this travels.
    """

    model: Path
    digest: str
    views: Views
    files: OutputFiles
    constraint: TagConstraint
    tiling: Tiling
    batch: int
    groups: Mapping[str, tuple[Target, ...]]
    notebook: Notebook
    opened: OpenedModel | None

    def __getstate__(self) -> dict[str, object]:
        """Leave the network behind."""
        return {**self.__dict__, "opened": None}

    def targets_of(self, name: str, path: Path) -> tuple[Target, ...]:
        """Return the images that are predicted together with one, that among them."""
        return self.groups.get(name, ((name, path),))

    def job(self) -> ImageJob:
        """Return what engines work off."""
        return ImageJob(
            name="predictions",
            stage="predict",
            label="predicting",
            output=self.note_of,
            open=self.open,
            reading="nothing",  # the digest of a file is taken first
            note=note_unreadable,
            again=MAKE_HERE + ", with --skip-existing",
        )

    def note_of(self, context: Context, name: str) -> Path:
        """Return the file that says that an image, and what is predicted with it, is done."""
        return self.notebook.place(name)

    @contextmanager
    def open(self, context: Context) -> Iterator[ImageWork]:
        """Lend what predicts.

        Raises:
            ArtifactError: If the model is another one by now.
        """
        opened = self.opened or open_model(self.model, device=str(context.device))
        if opened.digest != self.digest:
            raise ArtifactError(f"{self.model} has changed since the command began; start it again")
        opened = replace(opened, views=self.views)

        def work(sample: Sample, image: ShrunkImage) -> str | None:
            images, unreadable = self._decode(self.targets_of(sample.id, sample.image_path))
            found: list[ImageSummary] = []
            for _, same in groupby(images, key=lambda image: image.pixels.shape):
                found += self._predict(opened, list(same))
            note: dict[str, JsonValue] = {"images": [asdict(image) for image in found], "unreadable": unreadable}
            self.notebook.write(sample.id, note)
            return "unreadable" if unreadable else None

        yield work

    def _decode(self, targets: Sequence[Target]) -> tuple[list[_Decoded], list[JsonValue]]:
        """Read images, those of one size one after another; also say which cannot be read, and why."""
        ends = self.views.pixel_range
        pixel_range = None if ends is None else PixelRange(*ends)
        decoded, unreadable = [], list[JsonValue]()
        for name, path in targets:
            try:
                # First the digest: of a file that changes meanwhile, --skip-existing shall not keep the result.
                decoded.append(_Decoded(name, path, digest_image(path), read_image(path, pixel_range=pixel_range)))
            except DataError as error:
                unreadable.append({"image": str(path), "problem": str(error)})
        return decoded, unreadable

    def _predict(self, opened: OpenedModel, group: Sequence[_Decoded]) -> Iterator[ImageSummary]:
        """Predict images of one size and write their pictures."""
        pixels = [image.pixels for image in group]
        try:
            maps = predict_views(opened.network, pixels, views=opened.views, tiling=self.tiling, batch=self.batch)
        except torch.OutOfMemoryError:
            raise ConfigError(
                f"the GPU's memory does not suffice for {self.batch} images or tiles of up to "
                f"{self.tiling.tile_px} px at once; lower --batch or --tile-px"
            ) from None
        for image, found_maps in zip(group, maps, strict=True):
            tags = self.constraint.tags_of(image.name)
            allowed = allowed_labels(opened.classes, tags)
            found = choose_labels(found_maps, image.pixels, views=opened.views, allowed=allowed)
            write_pictures(self.files.pictures(image.name), image.pixels, found)
            yield self._summarise(opened, image, found, tags)

    def _summarise(
        self, opened: OpenedModel, image: _Decoded, found: LabelledPixels, tags: tuple[str, ...] | None
    ) -> ImageSummary:
        height, width = found.labels.shape
        return ImageSummary(
            name=image.name,
            image=str(image.path),
            digest=image.digest,
            size_hw=(height, width),
            tags=tags,
            confidence=round(float(found.confidence.mean(dtype=np.float64)), 6),
            labels=summarise_labels(found, opened.classes),
            files=self.files.relative(image.name),
        )


@dataclass(frozen=True, eq=False)
class _Decoded:
    """An image in memory, and the digest of the file it was read from."""

    name: str
    path: Path
    digest: str
    pixels: NDArray[np.uint8]


def note_unreadable(outcomes: Counter[str]) -> str:
    """Say how many images could not be read."""
    number = outcomes["unreadable"]
    return f" ({number} unreadable)" if number else ""


def digest_image(path: Path) -> str:
    """Return the digest of an image file; an empty text if it cannot be read, which reading the image explains."""
    try:
        return digest_file(path) if is_regular(path) else ""
    except OSError:
        return ""
