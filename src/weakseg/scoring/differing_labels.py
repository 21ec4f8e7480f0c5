"""Where the seeds, masks and predictions of two runs differ, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakseg.config.chosen import has_threshold
from weakseg.config.schema import RunConfig
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, DataError
from weakseg.file_names import safe_path
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.telling import show_progress
from weakseg.pipeline.threshold_file import load_choice
from weakseg.refine.masks import seed_to_mask
from weakseg.scoring.evidence import differing_share
from weakseg.scoring.image_scores import ImageScore, read_image_scores

MAX_COMPARED = 1000
"""Of more images, so many are compared, evenly spaced."""

STEP_PX = 4
"""Every fourth pixel in each direction is compared."""

Kind = Literal["seeds", "masks", "predictions"]
KINDS: tuple[Kind, ...] = ("seeds", "masks", "predictions")


@dataclass(frozen=True)
class KindDifference:
    """How far one kind of label map differs.

    Args:
        kind: What was compared.
        images: So many images have it in both runs and were compared.
        share: Share of the pixels that differ, mean over these images, 0..1.
    """

    kind: Kind
    images: int
    share: float


@dataclass(frozen=True)
class ImageDifference:
    """How far the masks of one image differ.

    Args:
        id: The image.
        split: Name of its split; empty where neither run knows it.
        share: Share of the pixels on which the masks differ, 0..1.
        masks: IoU of both masks; None without truth.
        predictions: IoU of both predictions; None without truth, or for an image that is not predicted.
    """

    id: str
    split: str
    share: float
    masks: tuple[float | None, float | None]
    predictions: tuple[float | None, float | None]


@dataclass(frozen=True)
class DifferingLabels:
    """Where the label maps of two runs differ.

    Args:
        kinds: Each kind that both runs have.
        images: The images that were compared, those whose masks differ most first.
    """

    kinds: tuple[KindDifference, ...]
    images: tuple[ImageDifference, ...]


def find_differences(
    folders: tuple[RunFolder, RunFolder], configs: tuple[RunConfig, RunConfig], notes: list[str]
) -> DifferingLabels:
    """Compare the label maps that both runs have.

    Args:
        folders: The two runs.
        configs: Their recipes.
        notes: Receives what could not be compared.

    Raises:
        ArtifactError: If `image_scores.csv` of a run is damaged.
    """
    names = _shared_files(folders[0].masks, folders[1].masks, ".png")
    if not names:
        notes.append("no image has a mask in both runs")
    wanted = min(len(names), MAX_COMPARED)
    chosen = [names[place * len(names) // wanted] for place in range(wanted)]
    if wanted < len(names):
        notes.append(f"{wanted:,} of {len(names):,} images were compared pixel by pixel, evenly spaced")
    shares: dict[Kind, dict[str, float]] = {kind: {} for kind in KINDS}
    thresholds = tuple(_read_threshold(folder, config) for folder, config in zip(folders, configs, strict=True))
    unreadable = 0
    with show_progress("comparing") as tick:
        for done, name in enumerate(chosen):
            for kind in KINDS:
                try:
                    maps = [_load(kind, folders[side], name, thresholds[side]) for side in (0, 1)]
                except (ArtifactError, DataError):
                    unreadable += 1
                    continue
                if maps[0] is not None and maps[1] is not None and maps[0].shape == maps[1].shape:
                    shares[kind][name] = differing_share(maps[0], maps[1])
            tick(done + 1, len(chosen))
    if unreadable:
        notes.append(f"files that cannot be read and were left out: {unreadable}")
    kinds = tuple(
        KindDifference(kind, len(own), float(np.mean(list(own.values())))) for kind, own in shares.items() if own
    )
    return DifferingLabels(kinds, _order_images(folders, shares["masks"]))


def _order_images(folders: tuple[RunFolder, RunFolder], shares: dict[str, float]) -> tuple[ImageDifference, ...]:
    known = [_read_scores(folder) for folder in folders]
    ids = {safe_path(id): id for scores in known for id in scores}
    images = []
    for name, share in shares.items():
        id = ids.get(name, name)
        own = [scores.get(id) for scores in known]
        images.append(
            ImageDifference(
                id=id,
                split=next((score.split for score in own if score is not None), ""),
                share=share,
                masks=(_iou_of_mask(own[0]), _iou_of_mask(own[1])),
                predictions=(_iou_of_prediction(own[0]), _iou_of_prediction(own[1])),
            )
        )
    return tuple(sorted(images, key=lambda image: (-image.share, image.id)))


def _iou_of_mask(score: ImageScore | None) -> float | None:
    return None if score is None else score.mask


def _iou_of_prediction(score: ImageScore | None) -> float | None:
    return None if score is None else score.segmenter


def _read_scores(folder: RunFolder) -> dict[str, ImageScore]:
    return read_image_scores(folder.image_scores) if folder.image_scores.is_file() else {}


def _shared_files(first: Path, second: Path, suffix: str) -> list[str]:
    """Return the names, without suffix, of the files that lie below both folders, in order."""
    found = [
        {path.relative_to(root).with_suffix("").as_posix() for path in root.rglob(f"*{suffix}")}
        for root in (first, second)
    ]
    return sorted(found[0] & found[1])


def _read_threshold(folder: RunFolder, config: RunConfig) -> float | None:
    """Return the background threshold of a run's masks; None without one, or before it is chosen."""
    given = config.refine.background_threshold
    if not has_threshold(config.refine):
        return None
    if not isinstance(given, str):
        return given
    return load_choice(folder.threshold).threshold if folder.threshold.is_file() else None


def _load(kind: Kind, folder: RunFolder, name: str, threshold: float | None) -> NDArray[np.uint8] | None:
    """Read one label map, every fourth pixel of it; None where there is none."""
    if kind == "seeds":
        path = folder.seeds / f"{name}.npz"
        if threshold is None or not path.is_file():
            return None
        seed = load_seed(path)
        return seed_to_mask(seed.strided(STEP_PX).numpy(), seed.keys, background_threshold=threshold)
    path = (folder.masks if kind == "masks" else folder.predictions) / f"{name}.png"
    return read_mask(path)[::STEP_PX, ::STEP_PX] if path.is_file() else None
