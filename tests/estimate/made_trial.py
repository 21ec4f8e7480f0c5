"""A trial on a tiny folder, with tiny networks."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.photos import TINY
from tests.tiny import make_dataset
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.estimate.trial import Trial, open_trial
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context


def tiny_config(*words: str) -> RunConfig:
    return build_config(read_recipe("folder"), (*TINY, *words))


def make_trial(root: Path, config: RunConfig | None = None, *, train: Dataset | None = None, val: bool = True) -> Trial:
    train = make_dataset(root / "images") if train is None else train
    held_out = make_dataset(root / "images", ((0,), (1, 2)), split="val") if val else None
    config = tiny_config() if config is None else config
    return open_trial(Context(config, RunFolder(root / "trial"), torch.device("cpu"), train, held_out, {}))
