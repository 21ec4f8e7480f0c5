"""`summary.json`: what was found in each image, by which model and with which settings; `docs/predict.md` lists it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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


@dataclass(frozen=True)
class Picture:
    """A picture that was not predicted, and why."""

    image: str
    problem: str


def write_summary(
    path: Path,
    provenance: Provenance,
    images: Iterable[ImageSummary],
    *,
    unreadable: Sequence[Picture],
    passed_over: Sequence[Picture],
    complete: bool,
) -> None:
    """Write a summary.

    Args:
        path: The file.
        provenance: What made the results.
        images: What was found.
        unreadable: Images that were left out, in the order in which they were tried.
        passed_over: Pictures that were not even tried.
        complete: Whether no image is left to do.
    """
    document = {
        "format": FORMAT,
        "weakseg": weakseg.__version__,
        "complete": complete,
        "made_by": asdict(provenance),
        "images": [asdict(image) for image in sorted(images, key=lambda image: image.name)],
        "unreadable": [asdict(picture) for picture in unreadable],
        "passed_over": [asdict(picture) for picture in passed_over],
    }
    write_json(path, document)


def read_summary(path: Path) -> tuple[Provenance, dict[str, ImageSummary]]:
    """Read what `write_summary` wrote.

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
        images = [read_image_summary(entry) for entry in document["images"]]
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); predict again without --skip-existing") from None
    return replace(made_by, classes=tuple(made_by.classes)), {image.name: image for image in images}


def read_image_summary(entry: Mapping[str, object]) -> ImageSummary:
    """Read an image's entry; a `KeyError`, `TypeError` or `ValueError` if it is none."""
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
