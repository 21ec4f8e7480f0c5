"""What `image_scores.csv` says of each image: reading it, and writing it row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.csv_cells import restore_cell, to_csv
from weakseg.data.base import Dataset
from weakseg.errors import ArtifactError
from weakseg.files import write_text
from weakseg.ops.metrics import ConfusionMatrix
from weakseg.scoring.scores import number
from weakseg.types import Sample

IMAGE_COLUMNS = ("id", "split", "tags", "mask_iou", "segmenter_iou")
"""Columns of `image_scores.csv`; a score is empty where there is no truth or nothing to score."""


@dataclass(frozen=True)
class ImageScore:
    """IoU of one image, mean over the labels that occur in it; 0..1, or None where nothing was scored.

    Args:
        mask: Of the pseudo mask.
        segmenter: Of the segmenter's mask.
        split: Name of its split.
    """

    mask: float | None
    segmenter: float | None
    split: str = ""


UNSCORED = ImageScore(None, None)
"""Of an image that the file does not name."""


def begin_row(dataset: Dataset, sample: Sample) -> dict[str, str]:
    """Return the row of an image of which nothing is scored yet."""
    tags = ";".join(dataset.classes.decode(sample.tags))
    return {"id": sample.id, "split": dataset.split, "tags": tags, "mask_iou": "", "segmenter_iou": ""}


def image_iou(labels: NDArray[np.uint8], truth: NDArray[np.uint8], num_labels: int) -> str:
    """Return the cell of an image's mean IoU, of labels and truth (H, W); empty where it is undefined."""
    confusion = ConfusionMatrix(num_labels)
    confusion.update(labels, truth)
    iou = number(confusion.result().mean_iou)
    return "" if iou is None else f"{iou:.4f}"


def write_image_scores(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write a row per image."""
    write_text(path, to_csv(IMAGE_COLUMNS, ([row[column] for column in IMAGE_COLUMNS] for row in rows)))


def read_image_scores(path: Path) -> dict[str, ImageScore]:
    """Read the IoU of every evaluated image, by id.

    Raises:
        ArtifactError: If the file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            restore_cell(row["id"]): ImageScore(
                _number(row["mask_iou"]), _number(row["segmenter_iou"]), restore_cell(row.get("split") or "")
            )
            for row in rows
        }
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; run the stage 'evaluate' first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); run the stage 'evaluate' again") from None


def _number(text: str) -> float | None:
    return float(text) if text else None
