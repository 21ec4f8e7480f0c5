"""What a stage works with: a run's settings, folder, device and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.corrections.taught import Taught
from weakseg.pipeline.file_index import FileFacts

if TYPE_CHECKING:
    from weakseg.pipeline.image_jobs import Engine


@dataclass(frozen=True, eq=False)
class Context:
    """What a stage works with.

    Args:
        config: The resolved configuration.
        folder: The run's files.
        device: Where networks run.
        train: Usable images of the training split.
        val: Usable images of the validation split, or None.
        digests: Digest of images, tags and classes per split: `train`, `val`.
        images: What the image files of both splits were when the run began.
        only: Ids of the images that get seeds and masks, where it is not all of the splits. Classifiers, and localisers
            that look at other images, learn from all of them nevertheless; refiners that train learn from these.
        taught: What the run learns from the corrections of another; its tags are already those of the splits.
        redone: Names of the stages whose files are removed before the first stage runs; the runner sets it.
        engine: Who works on single images; None for this process, or those of `torchrun`.
    """

    config: RunConfig
    folder: RunFolder
    device: torch.device
    train: Dataset
    val: Dataset | None
    digests: Mapping[str, str]
    images: Mapping[Path, FileFacts] = field(default_factory=dict)
    only: frozenset[str] | None = None
    taught: Taught | None = None
    redone: frozenset[str] = frozenset()
    engine: Engine | None = None
