"""The chosen images of the study of the bottleneck on a run, one after another: their CAM, and their gradients.

Every file is written whole; an image that has one is done.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError
from weakseg.file_names import safe_path
from weakseg.files import write_bytes
from weakseg.models.classifier import Classifier
from weakseg.ops.images import limit_side
from weakseg.pipeline.artifacts import RunFolder, save_seed
from weakseg.pipeline.context import Context
from weakseg.pipeline.images import iterate_pending
from weakseg.pipeline.localizers import open_localizer, open_rib
from weakseg.studies.bottleneck.layer_gradients import ImageGradients, LogitMaps, layer_maps, logit_maps


@dataclass(frozen=True)
class ObjectFiles:
    """The files of single images.

    Args:
        folder: The study's results.
        run: The run whose seeds give the parts; None for those below `folder`.
    """

    folder: Path
    run: RunFolder | None

    def gradients(self, sample_id: str) -> Path:
        """What was measured, NPZ; see `ImageGradients`."""
        return self.folder / "gradients" / f"{safe_path(sample_id)}.npz"

    def seed(self, sample_id: str) -> Path:
        """The score maps that give the parts."""
        return self.folder / "cam" / f"{safe_path(sample_id)}.npz" if self.run is None else self.run.seed(sample_id)

    def save(self, sample_id: str, found: ImageGradients) -> None:
        """Write what was measured on an image."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            size_hw=np.array(found.size_hw),
            layer_names=np.array(found.layer_names),
            layers=found.layers,
            logits=found.logits,
            by_image=found.by_image,
            by_layer=found.by_layer,
        )
        write_bytes(self.gradients(sample_id), buffer.getvalue())

    def load(self, sample_id: str) -> ImageGradients:
        """Read what was measured on an image.

        Raises:
            ArtifactError: If the file is missing or damaged.
        """
        path = self.gradients(sample_id)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                height, width = (int(size) for size in arrays["size_hw"])
                return ImageGradients(
                    size_hw=(height, width),
                    layer_names=tuple(str(name) for name in arrays["layer_names"]),
                    layers=arrays["layers"],
                    logits=arrays["logits"],
                    by_image=arrays["by_image"],
                    by_layer=arrays["by_layer"],
                )
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"{path} is missing or damaged ({error}); delete it and start the study again"
            ) from None


def localise_images(context: Context, classifier: Classifier, chosen: Dataset, files: ObjectFiles) -> None:
    """Write the CAM of every image, at the image's size."""
    config = context.config
    cam = replace(context, config=replace(config, localize=replace(config.localize, method="cam")))
    with open_localizer(cam, classifier) as localizer:
        for sample, image in iterate_pending(cam, [chosen], files.seed, label="maps of the classifier"):
            found = localizer(sample, limit_side(image, config.data.max_side_px), 0)
            save_seed(files.seed(sample.id), replace(found.maps, size_hw=(image.shape[0], image.shape[1])))


def watch_images(
    context: Context, classifier: Classifier, dataset: Dataset, chosen: Dataset, files: ObjectFiles
) -> None:
    """Measure the chosen images that have no file yet, shared out over the processes.

    An image's place in the whole split decides which partners it gets, as in a run.
    """
    places = {sample.id: place for place, sample in enumerate(dataset)}
    watcher = _Watcher()
    with open_rib(context, classifier, look=watcher.look) as localizer:
        for sample, image in iterate_pending(context, [chosen], files.gradients, label="watching adaptations"):
            seen = limit_side(image, context.config.data.max_side_px)
            watcher.begin(seen, sample.keys)
            layers = layer_maps(classifier, seen)
            localizer(sample, seen, places[sample.id])
            files.save(sample.id, ImageGradients.of(layers, watcher.states, (seen.shape[0], seen.shape[1])))


class _Watcher:
    """Looks at a classifier while it is adapted to an image.

    Attributes:
        states: What was seen, the gradients of each tag's logit.
    """

    def __init__(self) -> None:
        self.begin(np.zeros((1, 1, 3), np.uint8), ())

    def begin(self, image: NDArray[np.uint8], keys: tuple[int, ...]) -> None:
        """Turn to another image (H, W, 3) and its tags."""
        self._image, self._keys = image, keys
        self.states: list[list[LogitMaps]] = []

    def look(self, classifier: Classifier) -> None:
        """Look at the classifier as it is now."""
        self.states.append([logit_maps(classifier, self._image, key) for key in self._keys])
