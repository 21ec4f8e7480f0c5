"""`summary.json`: what was found in each image, by which model and with which settings; `docs/predict.md` lists it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import weakseg
from weakseg.documents import decode_json
from weakseg.errors import ArtifactError
from weakseg.files import JsonValue, write_json
from weakseg.models.inference import LabelledPixels
from weakseg.types import ClassSet

FORMAT = 1
"""Version of the file; raised when a reader of the old one would go wrong."""

WRITE_INTERVAL_S = 30.0
"""While images are predicted the summary is written this often, so that a killed command can be taken up."""


@dataclass(frozen=True)
class FoundLabel:
    """One label in one image.

    Args:
        name: Class name, or `background`.
        label: Its number in the mask.
        share: Share of the pixels that have it.
        confidence: Mean probability of the label over them.
    """

    name: str
    label: int
    share: float
    confidence: float


@dataclass(frozen=True)
class ImageSummary:
    """What was found in one image.

    Args:
        name: What its results are called.
        image: The image file as it was given.
        digest: Hexadecimal 16-byte BLAKE2b of that file.
        size_hw: (height, width) in pixels after EXIF rotation.
        tags: The classes that could appear; None for any.
        confidence: Mean probability of the chosen labels over all pixels.
        labels: The labels found: background first, then the classes, largest share first.
        files: File by output, relative to the summary's folder.
    """

    name: str
    image: str
    digest: str
    size_hw: tuple[int, int]
    tags: tuple[str, ...] | None
    confidence: float
    labels: tuple[FoundLabel, ...]
    files: Mapping[str, str]

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """Share of the pixels per class found, largest first; background left out."""
        return tuple((found.name, found.share) for found in self.labels if found.label)


@dataclass(frozen=True)
class Provenance:
    """What made the results; equal ones give equal masks but for rounding.

    Args:
        kind: What the model was opened from: `run`, `bundle`, `weights` or `onnx`.
        model: Its path as it was given.
        digest: Hexadecimal 16-byte BLAKE2b of the file with the weights.
        classes: Class names; label c+1 is the c-th.
        settings: Views and tiles, by name.
    """

    kind: str
    model: str
    digest: str
    classes: tuple[str, ...]
    settings: Mapping[str, JsonValue]

    @property
    def what_counts(self) -> tuple[object, ...]:
        """What must be equal for a result to be kept; where the model lies does not count."""
        return self.digest, self.classes, json.dumps(self.settings, sort_keys=True)


class SummaryFile:
    """Collects the summaries of a command's images and writes them now and then.

    Args:
        path: The file, or None to write none.
        provenance: What makes the results.
    """

    def __init__(self, path: Path | None, provenance: Provenance) -> None:
        self._path = path
        self._provenance = provenance
        self._images: list[ImageSummary] = []
        self._unreadable: list[dict[str, JsonValue]] = []
        self._passed_over: list[dict[str, JsonValue]] = []
        self._written_s = time.monotonic()

    def add(self, image: ImageSummary) -> None:
        """Add an image whose files are written."""
        self._images.append(image)
        if time.monotonic() - self._written_s > WRITE_INTERVAL_S:
            self.write(complete=False)

    def add_unreadable(self, image: Path, problem: str) -> None:
        """Add an image that was left out."""
        self._unreadable.append({"image": str(image), "problem": problem})

    def add_passed_over(self, image: Path, problem: str) -> None:
        """Add a picture that was not even tried."""
        self._passed_over.append({"image": str(image), "problem": problem})

    def write(self, *, complete: bool) -> None:
        """Write what there is.

        Args:
            complete: Whether no image is left to do.
        """
        self._written_s = time.monotonic()
        if self._path is None:
            return
        document = {
            "format": FORMAT,
            "weakseg": weakseg.__version__,
            "complete": complete,
            "made_by": asdict(self._provenance),
            "images": [asdict(image) for image in sorted(self._images, key=lambda image: image.name)],
            "unreadable": self._unreadable,
            "passed_over": self._passed_over,
        }
        write_json(self._path, document)


def read_summary(path: Path) -> tuple[Provenance, dict[str, ImageSummary]]:
    """Read what `SummaryFile` wrote.

    Returns:
        What made the results, and the images by name.

    Raises:
        ArtifactError: If it is missing, damaged or of another version.
    """
    try:
        document = decode_json(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}, expected {FORMAT}")
        made_by = Provenance(**document["made_by"])
        images = [_read_image(entry) for entry in document["images"]]
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); predict again without --skip-existing") from None
    return replace(made_by, classes=tuple(made_by.classes)), {image.name: image for image in images}


def _read_image(entry: Mapping[str, object]) -> ImageSummary:
    image = ImageSummary(**entry)  # type: ignore[arg-type]
    height, width = image.size_hw
    return replace(
        image,
        size_hw=(height, width),
        tags=None if image.tags is None else tuple(image.tags),
        labels=tuple(FoundLabel(**found) for found in image.labels),  # type: ignore[arg-type]
    )


def summarise_labels(found: LabelledPixels, classes: ClassSet) -> tuple[FoundLabel, ...]:
    """Return share and mean confidence of each label of an image: background first, then the largest first."""
    counts = np.zeros(classes.num_labels, np.int64)
    sums = np.zeros(classes.num_labels)
    for labels, confidence in zip(found.labels, found.confidence, strict=True):  # bincount makes copies 8 bytes wide
        counts += np.bincount(labels, minlength=classes.num_labels)
        sums += np.bincount(labels, weights=confidence, minlength=classes.num_labels)
    present = sorted(np.flatnonzero(counts), key=lambda label: (label > 0, -counts[label], label))
    return tuple(
        FoundLabel(
            classes.label_names[label],
            int(label),
            round(float(counts[label] / found.labels.size), 6),
            round(float(sums[label] / counts[label]), 6),
        )
        for label in present
    )
