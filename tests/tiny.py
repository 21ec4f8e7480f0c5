"""Tiny data sets and networks for the tests of training and of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.data.transforms import Augmentation
from weakseg.models.classifier import Classifier, build_classifier
from weakseg.models.deeplab import Segmenter, build_segmenter
from weakseg.models.efficientnet_lite import Group
from weakseg.train.plan import TrainingPlan
from weakseg.types import ClassSet, Sample

SIZE_HW = (24, 33)
NAMES = ("cat", "dog", "fox")
Section = TypeVar("Section")
COLOURS = ((220, 40, 40), (40, 200, 60), (60, 60, 230))
"""An image shows a block of this colour for each of its tags."""


@dataclass(frozen=True)
class DictMasks:
    """Masks held in memory, by image id."""

    masks: Mapping[str, NDArray[np.uint8]]

    def __call__(self, sample: Sample, /) -> NDArray[np.uint8] | None:
        return self.masks.get(sample.id)


def draw(keys: Sequence[int], seed: int, size_hw: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw noise with a block per class, and the mask; the last column is void."""
    height, width = size_hw
    image = np.random.default_rng(seed).integers(90, 130, (height, width, 3), dtype=np.uint8)
    mask = np.zeros(size_hw, np.uint8)
    for slot, key in enumerate(keys):
        block = (slice(height // 4, height), slice(slot * width // 3, (slot + 1) * width // 3 - 1))
        image[block], mask[block] = COLOURS[key % len(COLOURS)], key + 1
    mask[:, -1] = 255
    return image, mask


def make_dataset(
    root: Path,
    tags: Sequence[Sequence[int]] = ((0,), (1,), (2,), (0, 1), (1, 2), ()),
    *,
    split: str = "train",
    names: Sequence[str] = NAMES,
    unknown: Sequence[Sequence[int]] | None = None,
    sizes_hw: Sequence[tuple[int, int]] = (SIZE_HW,),
    truth: bool = True,
) -> Dataset:
    """Write `<split>_<n>.png` for every entry of `tags`; sizes are taken in turn."""
    root.mkdir(parents=True, exist_ok=True)
    classes = ClassSet(tuple(names))
    samples, masks = [], {}
    for index, keys in enumerate(tags):
        id = f"{split}_{index}"
        image, mask = draw(keys, index, sizes_hw[index % len(sizes_hw)])
        Image.fromarray(image).save(root / f"{id}.png")
        known = np.ones(len(classes), np.bool_)
        if unknown is not None:
            known[list(unknown[index])] = False
        samples.append(Sample(id, root / f"{id}.png", classes.encode(names[key] for key in keys), known))
        masks[id] = mask
    return Dataset("folder", split, classes, tuple(samples), DictMasks(masks) if truth else None)


def make_classifier(
    seed: int = 0, *, num_classes: int = 3, freeze_trunk: bool = False, fixed_norm: bool = False
) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    return build_classifier(
        "critter", num_classes=num_classes, freeze_trunk=freeze_trunk, fixed_norm=fixed_norm, generator=generator
    )


def make_segmenter(seed: int = 0, *, num_labels: int = 4, fixed_norm: bool = False) -> Segmenter:
    generator = torch.Generator().manual_seed(seed)
    return build_segmenter(
        "critter", num_labels=num_labels, aspp_rates=(1, 2), fixed_norm=fixed_norm, generator=generator
    )


def make_plan(
    *,
    epochs: int = 2,
    batch_size: int = 3,
    schedule: str = "one_cycle",
    learning_rate: float = 0.05,
    momentum: float = 0.9,
    workers: int = 0,
) -> TrainingPlan:
    return TrainingPlan(
        epochs=epochs,
        batch_size=batch_size,
        schedule=schedule,
        learning_rate=learning_rate,
        head_multiplier=2.0,
        momentum=momentum,
        weight_decay=1e-4,
        power=0.9,
        warmup_share=0.25,
        workers=workers,
    )


def with_settings(config: RunConfig, *settings: tuple[str, object]) -> RunConfig:
    """Return a configuration with settings, each a dotted path and a value, changed."""
    for path, value in settings:
        config = _with_setting(config, path, value)
    return config


def _with_setting(section: Section, path: str, value: object) -> Section:
    name, _, rest = path.partition(".")
    return replace(section, **{name: _with_setting(getattr(section, name), rest, value) if rest else value})


AUGMENTATION = Augmentation(long_side_px=(28, 40), crop_px=32, flip=True, colour=0.1)

NARROW_GROUPS = tuple(
    Group(kernel_px, stride, 1 if index == 0 else 2, 8, 2 if index in (1, 5) else 1)
    for index, (kernel_px, stride) in enumerate([(3, 1), (3, 2), (5, 2), (3, 2), (5, 1), (5, 2), (3, 1)])
)
"""Of an EfficientNet-Lite: the kernels and strides of the published ones, 8 channels wide."""
