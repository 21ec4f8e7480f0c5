"""What an int8 form is made by and judged by: photographs of the run as its network meets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weakseg.data.base import Dataset
from weakseg.models.onnx_network import OnnxNetwork
from weakseg.models.predictor import Views
from weakseg.ops.images import limit_side, normalise, resize_image, scaled_size_hw
from weakseg.train.loop import Tick
from weakseg.types import Sample

CALIBRATION_IMAGES, JUDGED_IMAGES = 64, 16
"""So many photographs tell the ranges, and so many others are seen by both forms."""

_LONGEST_PX = 1024  # as large as a tile of `weakseg predict`


@dataclass(frozen=True)
class Chosen:
    """Photographs of a run.

    Args:
        calibrating: Those that tell the ranges.
        judging: Others, none of the former; those of `val` where the run has any.
        judged_split: Which split they are of.
    """

    calibrating: tuple[tuple[Dataset, Sample], ...]
    judging: tuple[tuple[Dataset, Sample], ...]
    judged_split: str


def choose_photographs(train: Dataset, val: Dataset | None) -> Chosen:
    """Choose photographs, evenly spread over the splits."""
    others = train if val is None or not len(val) else val
    calibrating = _spread(train, CALIBRATION_IMAGES)
    used = {sample.id for _, sample in calibrating} if others is train else set()
    left = [sample for sample in others if sample.id not in used]
    return Chosen(calibrating, _pick(others, left, JUDGED_IMAGES), others.split)


def _spread(dataset: Dataset, count: int) -> tuple[tuple[Dataset, Sample], ...]:
    return _pick(dataset, list(dataset), count)


def _pick(dataset: Dataset, samples: Sequence[Sample], count: int) -> tuple[tuple[Dataset, Sample], ...]:
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int).tolist()
    return tuple((dataset, samples[place]) for place in places)


def read_inputs(
    chosen: Sequence[tuple[Dataset, Sample]], views: Views, *, tick: Tick | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield photographs as the network meets them at the first scale.

    Args:
        chosen: The photographs.
        views: How the run looks at images.
        tick: Called with how many have been looked at, of how many.

    Yields:
        (1, 3, H, W) float32.

    Raises:
        DataError: If one cannot be read.
    """
    for done, (dataset, sample) in enumerate(chosen, 1):
        base = limit_side(dataset.load_image(sample), views.max_side_px or _LONGEST_PX)
        seen = resize_image(base, scaled_size_hw((base.shape[0], base.shape[1]), views.scales[0]))
        yield normalise(seen).numpy()[None]
        if tick is not None:
            tick(done, len(chosen))


def measure_agreement(one: Path, other: Path, inputs: Iterator[NDArray[np.float32]]) -> float | None:
    """Return the share of all cells to which two ONNX files give one label; None without inputs."""
    first, second = (OnnxNetwork(path, torch.device("cpu")) for path in (one, other))
    same = total = 0
    for values in inputs:
        batch = torch.from_numpy(values)
        equal = first(batch).argmax(dim=1) == second(batch).argmax(dim=1)
        same += int(equal.sum())
        total += equal.numel()
    return same / total if total else None
