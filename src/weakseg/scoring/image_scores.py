"""What `image_scores.csv` says of each image; `weakseg.scoring.evaluate` writes it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from weakseg.csv_cells import restore_cell
from weakseg.errors import ArtifactError


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
