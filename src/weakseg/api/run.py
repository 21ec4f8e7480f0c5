"""A run that is there: its seeds, masks and scores, and its network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.api.by_id import ById
from weakseg.api.model import Model
from weakseg.api.photos import Photos
from weakseg.data.masks import read_mask
from weakseg.models.inference import LabelledPixels
from weakseg.ops.color import heat, overlay
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.corrections.taught import read_taught
from weakseg.pipeline.recipe import read_run_config
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import Metrics
from weakseg.scoring.two_runs import TwoRuns, compare_runs
from weakseg.types import ScoreMaps


class Run:
    """A run folder; `Run.open` and `Photos.train` make one.

    Everything is read from its file when it is looked at, so that a run that goes on is seen as it is. Only the network
    and the list of photographs are kept.

    Args:
        folder: The run's files.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.config = read_run_config(folder.root)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder, finished or not.

        Raises:
            ArtifactError: If it is none.
        """
        return cls(RunFolder(Path(path)))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.root

    @cached_property
    def photos(self) -> Photos:
        """The photographs it was trained on, with the tags that a person had corrected then.

        Raises:
            ArtifactError: If the file that tells of these is damaged.
            DataError: If the photographs are not there any more.
        """
        photos = Photos.of_config(str(self.folder.recipe), {}, self.config, self.folder)
        taught = read_taught(self.folder)
        return photos if taught is None else replace(photos, splits=tuple(map(taught.correct, photos.splits)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order: mask label 0 is background, c + 1 is the c-th of these.

        Raises:
            DataError: If the run has no scores yet and its photographs are not there any more.
        """
        return self.metrics.label_names[1:] if self.folder.metrics.is_file() else self.photos.classes

    @property
    def seeds(self) -> ById[ScoreMaps]:
        """Where each image shows its tags: `.keys`, class indices, and `.full()`, (K, H, W) float32 in 0..1."""
        return ById(self.folder.seeds, ".npz", load_seed, what="seed", stage="localize")

    @property
    def masks(self) -> ById[NDArray[np.uint8]]:
        """The masks of the tagged images, (H, W) uint8: 0 background, c + 1 class c, 255 unsure."""
        return ById(self.folder.masks, ".png", read_mask, what="mask", stage="refine")

    @property
    def predictions(self) -> ById[NDArray[np.uint8]]:
        """What the network says of the validation images, which it has not seen, (H, W) uint8 as masks."""
        return ById(self.folder.predictions, ".png", read_mask, what="prediction", stage="evaluate")

    @property
    def metrics(self) -> Metrics:
        """Every number, with split, image count and how its threshold was chosen.

        Raises:
            ArtifactError: If there are none yet.
        """
        return load_metrics(self.folder.metrics)

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.folder.report

    @cached_property
    def model(self) -> Model:
        """The trained network, opened once.

        Raises:
            ArtifactError: If there is none yet.
        """
        return Model.open(self.path)

    def predict(self, image: str | Path | NDArray[np.uint8], *, tags: Iterable[str] | None = None) -> LabelledPixels:
        """Label an image with the trained network; see `Model.predict`."""
        return self.model.predict(image, tags=tags)

    def compare(self, other: Run) -> TwoRuns:
        """Hold this run against another, as `weakseg compare` does: settings, scores, and where their masks differ.

        Raises:
            ArtifactError: If both are the same run, or a file is damaged.
        """
        return compare_runs(self.path, other.path)

    def show(self, id: str) -> Image.Image:
        """Paint what the run has found in a tagged image, side by side, as notebooks show it.

        Args:
            id: The image.

        Returns:
            The image, a heat map for each of its tags, and the mask over the image, all of the image's size.

        Raises:
            UnknownImage: If the run has no seed or mask of it; names the nearest.
            DataError: If the photographs are not there any more.
        """
        image, seed = self.photos.image(id), self.seeds[id].full().numpy()
        panels = [image, *(heat(scores) for scores in seed), overlay(image, self.masks[id])]
        return Image.fromarray(np.hstack(panels))

    def __repr__(self) -> str:
        return f"Run.open({str(self.path)!r})"
