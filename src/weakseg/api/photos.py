"""Tagged photographs: what they show, and training on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weakseg.api.settings import Settings, resolve
from weakseg.chain import run_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset, Problem
from weakseg.errors import UnknownImage
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import open_splits
from weakseg.remote import is_url
from weakseg.spelling import nearest
from weakseg.types import Sample

if TYPE_CHECKING:
    from weakseg.api.run import Run

_NOTHING: Settings = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Photos:
    """The tagged photographs of a folder, or of another data set that a recipe names.

    `Photos.open` makes one. No pixel is read until it is asked for.

    Args:
        recipe: The recipe that they were opened with.
        settings: What was laid over it.
        config: Both, resolved.
        splits: The training split and, if there is one, the validation split.
    """

    recipe: str
    settings: Settings
    config: RunConfig = field(repr=False)
    splits: tuple[Dataset, ...] = field(repr=False)

    @classmethod
    def open(cls, root: str | Path, *, recipe: str = "folder", settings: Settings = _NOTHING) -> Photos:
        """Open a folder of photographs and the tags beside them (docs/data.md).

        Args:
            root: The folder, or its URL (docs/storage.md); for the recipes `voc` and `coco`, that of the data set.
            recipe: Name of a built-in recipe, or path of a YAML file: how its images are read and learnt from.
            settings: Values by dotted name over the recipe's, `{"data.tags": "labels.csv"}`.

        Raises:
            ConfigError: If there is no such recipe or setting, or a value is wrong.
            DataError: If there is no such folder, or it has no images or no tags.
        """
        given: Settings = {"data.root": str(root) if is_url(str(root)) else Path(root), **settings}
        return cls.of_config(recipe, given, resolve(recipe, given), RunFolder(Path(root)))

    @classmethod
    def of_config(cls, recipe: str, settings: Settings, config: RunConfig, folder: RunFolder) -> Photos:
        """Open the data set of a resolved recipe; `Photos.open` and `Run.photos` do this."""
        return cls(recipe, settings, config, tuple(open_splits(config.data, folder)))

    def train(self, out: str | Path, *, settings: Settings = _NOTHING, redo: str | None = None) -> Run:
        """Run all stages on the photographs, as `weakseg run` does; the folder is a run like any other.

        What is finished there is not done again, and what was interrupted goes on.

        Args:
            out: The run folder; made when missing.
            settings: Values by dotted name over those that the photographs were opened with.
            redo: Name of the stage to replace, with all later ones, after a setting has changed.

        Raises:
            WeaksegError: If a setting is wrong or has changed, or the photographs cannot be used.
        """
        from weakseg.api.run import Run  # it has photographs, and these are trained into one

        run_recipe(resolve(self.recipe, self.settings, settings), Path(out), redo=redo)
        return Run.open(out)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order: mask label 0 is background, c + 1 is the c-th of these."""
        return self.splits[0].classes.names

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all images, sorted: their paths below the folder without suffix."""
        return tuple(sorted(self._samples))

    @property
    def tags(self) -> Mapping[str, tuple[str, ...]]:
        """The tags of every image by its id; unknown ones are none."""
        return {id: dataset.classes.decode(sample.tags) for id, (dataset, sample) in self._samples.items()}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the reader noticed; `weakseg check` looks at every file besides."""
        return tuple(dict.fromkeys(problem for dataset in self.splits for problem in dataset.problems))

    def image(self, id: str) -> NDArray[np.uint8]:
        """Read an image, upright.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            UnknownImage: If there is none of that id; names the nearest.
            DataError: If its file cannot be read.
        """
        dataset, sample = self._find(id)
        return dataset.load_image(sample)

    def truth(self, id: str) -> NDArray[np.uint8] | None:
        """Read the true mask of an image, which no training sees.

        Returns:
            (H, W) uint8, 0 background, c + 1 class c, 255 void; None where there is none.

        Raises:
            UnknownImage: If there is no image of that id; names the nearest.
            DataError: If its file cannot be read.
        """
        dataset, sample = self._find(id)
        return dataset.load_mask(sample)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def _samples(self) -> dict[str, tuple[Dataset, Sample]]:
        return {sample.id: (dataset, sample) for dataset in self.splits for sample in dataset}

    def _find(self, id: str) -> tuple[Dataset, Sample]:
        found = self._samples.get(id)
        if found is None:
            raise UnknownImage(f"there is no image '{id}' with tags; {nearest(id, self._samples)}")
        return found
