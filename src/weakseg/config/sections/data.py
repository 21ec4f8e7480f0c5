"""Settings of the data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DatasetName = Literal["critters", "voc", "coco", "folder"]
BackgroundTag = Literal["refuse", "drop"]


@dataclass(frozen=True)
class CrittersConfig:
    """The generated data set; used when `data.name` is `critters`.

    Args:
        images: Number of training images.
        val_images: Number of validation images.
        size_px: Height and width of every image.
        seed: Seed of the generator; another seed is another data set.
        p_context: Chance that an image's context (sea, grass, ...) is the one its first animal prefers.
        p_coat: Chance that an animal wears the coat its class prefers.
        p_empty: Chance that an image shows no animal.
    """

    images: int = 800
    val_images: int = 200
    size_px: int = 128
    seed: int = 0
    p_context: float = 0.6
    p_coat: float = 0.7
    p_empty: float = 0.2


@dataclass(frozen=True)
class DataConfig:
    """Which tagged images to learn from.

    Args:
        name: Reader: `voc`, `coco`, `folder` or the built-in `critters`.
        root: Folder of the data set. `critters` are written into the run folder when it is not given.
        train: Split to train on: `train`, `train_aug`, `val`, `train2014`, ... or a list file, as the reader defines.
        val: Split to evaluate on, or null for none.
        tags: For `folder`: the tag file (CSV or COCO-style JSON); found by itself when null.
        tag_separator: For `folder`: what parts the tags in a cell of a table, such as `,`; found out when null.
        only_folder_class: For `folder`: in a folder per class, each photograph shows nothing but its folder's class.
        background_tag: What a class called `background` is, since label 0 is that: `refuse` or `drop` (pass over it).
        mask_values: For `folder` and `voc`: what numbers in truth masks mean, such as `255=1`; labels when null.
        val_fraction: For `folder`: share of the images that is held out as the split `val`.
        max_side_px: Larger images are resized to this longer side before a network looks at them whole; masks keep
            the original size. Null for no limit, as the released codes have it for images of at most 640 pixels.
        pixel_range: Which values of images with more than 8 bits per channel become black and white, such as
            `[0, 4095]`; null finds out what all of them span.
        critters: Settings of the generator.
    """

    name: DatasetName = "critters"
    root: str | None = None
    train: str = "train"
    val: str | None = "val"
    tags: str | None = None
    tag_separator: str | None = None
    only_folder_class: bool = False
    background_tag: BackgroundTag = "refuse"
    mask_values: str | None = None
    val_fraction: float = 0.1
    max_side_px: int | None = None
    pixel_range: tuple[float, float] | None = None
    critters: CrittersConfig = field(default_factory=CrittersConfig)
