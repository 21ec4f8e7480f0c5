"""Splits with awkward masks and names, and readers of polygons, for the tests of every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.data.export.split import LabelledSplit, Role
from weakseg.ops.instances import Instances
from weakseg.types import ClassSet, Sample

SIZE_HW = (9, 14)
NAMES = ("cat", "dog: big", "#3 fox & <co>")
"""Three classes with characters that text formats trip over."""


@dataclass(frozen=True)
class DictMasks:
    """Masks held in memory, by image id."""

    masks: Mapping[str, NDArray[np.uint8]]

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        return self.masks.get(sample.id)


def draw_cases() -> dict[str, NDArray[np.uint8]]:
    """Return a label map (9, 14) or another odd size per image id."""
    empty = np.zeros(SIZE_HW, np.uint8)
    holes = empty.copy()
    holes[1:8, 2:13] = 2
    holes[2:4, 4:6] = 0  # a hole, one that touches it by a corner, one with another class in it
    holes[4, 6] = 0
    holes[5:7, 9:12] = 3
    touching = empty.copy()
    touching[0:3, 0:5] = 1  # at the border; two classes side by side; parts that touch by a corner; a part of one pixel
    touching[0:3, 5:9] = 2
    touching[3:6, 9:12] = 2
    touching[8, 13] = 1
    void = empty.copy()
    void[2:7, 3:9] = 3
    void[3:5, 4:11] = 255
    return {
        "empty": empty,
        "full": np.full(SIZE_HW, 1, np.uint8),
        "home/garden/photo 01": holes,
        "touching": touching,
        "100% void: a?": void,
        "all void": np.full((5, 3), 255, np.uint8),
        "pixel": np.array([[3]], np.uint8),
        "ünï/コ.b": np.random.default_rng(0).integers(0, 4, (17, 11), np.uint8),
    }


CASES = draw_cases()


def make_split(
    root: Path,
    masks: Mapping[str, NDArray[np.uint8]] | None = None,
    *,
    names: tuple[str, ...] = NAMES,
    source_ids: tuple[int, ...] | None = None,
    instances: Mapping[str, Instances] | None = None,
    image_ids: Mapping[str, int] | None = None,
    role: Role = "train",
) -> LabelledSplit:
    """Write noise as the images of `masks` (of `CASES` when None), and return the split."""
    masks = CASES if masks is None else masks
    rng = np.random.default_rng(1)
    classes = ClassSet(names, source_ids)
    samples = []
    for id, mask in masks.items():
        path = root / f"{id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*mask.shape, 3), np.uint8)).save(path)
        tags = np.zeros(len(classes), np.uint8)
        tags[[label - 1 for label in np.unique(mask) if label not in (0, 255)]] = 1
        samples.append(Sample(id, path, tags, np.ones(len(classes), bool)))
    return LabelledSplit(
        name="train_aug",
        role=role,
        classes=classes,
        samples=tuple(samples),
        mask_reader=DictMasks(masks),
        instance_reader=None if instances is None else lambda sample: instances[sample.id],
        source_ids=image_ids,
    )


def without_void(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(labels == 255, 0, labels)


def read_files(root: Path) -> dict[str, bytes]:
    """Return the content of every file of an export but its journal."""
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if path.name[0] != "."}


def make_instances(*masks: NDArray[np.bool_], keys: list[int], scores: list[float]) -> Instances:
    return Instances(np.stack(masks), np.array(keys, np.int64), np.array(scores, np.float32))


def fill_even_odd(corners: NDArray[np.floating], size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """Fill a polygon (P, 2) x, y: inside is where a ray from a pixel's centre crosses it oddly often."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    inside = np.zeros(size_hw, np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside
