"""A trained network, for new images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.depth import PixelRange
from weakseg.data.images import read_image
from weakseg.models.inference import LabelledPixels
from weakseg.models.predictor import Views
from weakseg.models.tiling import Tiling
from weakseg.predict.opened import OpenedModel, label_image, open_model
from weakseg.predict.reading import settle_range


@dataclass(frozen=True, eq=False)
class Model:
    """A trained segmentation network; `Model.open` makes one.

    Args:
        opened: The network, its classes, and how it looks at images.
    """

    opened: OpenedModel

    @classmethod
    def open(cls, path: str | Path, *, device: str = "auto") -> Model:
        """Open a network.

        Args:
            path: A run folder, a bundle (a folder or a zip), a segmenter's `model.safetensors`, or an ONNX file.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.

        Raises:
            ArtifactError: If there is no trained network.
            ConfigError: If the device is not there.
            MissingExtra: If an ONNX file is given and onnxruntime is not installed.
        """
        return cls(open_model(Path(path), device=device))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order: mask label 0 is background, c + 1 is the c-th of these."""
        return self.opened.classes.names

    def predict(self, image: str | Path | NDArray[np.uint8], *, tags: Iterable[str] | None = None) -> LabelledPixels:
        """Label an image, as `weakseg predict` does; large ones are seen in tiles.

        Args:
            image: A file, or (H, W, 3) uint8 RGB; not modified.
            tags: The only classes that may appear; None for all.

        Returns:
            `labels` (H, W) uint8, 0 background, c + 1 class c, and `confidence` (H, W) float32 in 0..1.

        Raises:
            DataError: If the file cannot be read, or a tag is no class; names the nearest.
            ShapeError: If an array is not (H, W, 3) uint8.
        """
        pixels = _read(Path(image), self.opened.views) if isinstance(image, str | Path) else image
        return label_image(self.opened, pixels, tiling=Tiling(), tags=tags)


def _read(path: Path, views: Views) -> NDArray[np.uint8]:
    """Read an image file, values of more than 8 bits scaled as training scaled them."""
    ends = settle_range(views, [path]).pixel_range
    return read_image(path, pixel_range=None if ends is None else PixelRange(*ends))
