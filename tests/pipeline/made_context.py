"""A run of two small networks on a few images, with settings that take a second."""

from pathlib import Path

import pytest
import torch

from tests.tiny import SIZE_HW, make_dataset, with_settings
from weakseg.config.schema import AugmentConfig, ClassifierConfig, OptimConfig, RunConfig, SegmenterConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.context import Context
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES

AUGMENT = AugmentConfig(long_side_px=(28, 40), crop_px=32, flip=True, colour=0.1)
OPTIM = OptimConfig(schedule="one_cycle", learning_rate=0.05, head_multiplier=2.0, momentum=0.9)
CONFIG = with_settings(
    RunConfig(
        classifier=ClassifierConfig(
            name="critter",
            weights="none",
            freeze_trunk=False,
            fixed_norm=False,
            epochs=2,
            batch_size=3,
            augment=AUGMENT,
            optim=OPTIM,
        ),
        segmenter=SegmenterConfig(
            name="critter",
            weights="classifier",
            aspp_rates=(1, 2),
            fixed_norm=False,
            epochs=2,
            batch_size=3,
            augment=AUGMENT,
            optim=OPTIM,
        ),
    ),
    ("runtime.workers", 0),
    ("localize.scales", (1.0, 0.5)),
    ("localize.splits", ("train", "val")),
)

TRAIN_IDS = [f"train_{index}" for index in range(6)]
VAL_IDS = [f"val_{index}" for index in range(3)]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root)
    val = make_dataset(root, ((0,), (2, 1), ()), split="val", sizes_hw=((20, 31), SIZE_HW, SIZE_HW))
    return train, val


def make_context(root: Path, splits: tuple[Dataset, Dataset | None], *settings: tuple[str, object]) -> Context:
    train, val = splits
    digests = {"train": "t"} if val is None else {"train": "t", "val": "v"}
    return Context(with_settings(CONFIG, *settings), RunFolder(root), torch.device("cpu"), train, val, digests)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, splits: tuple[Dataset, Dataset]) -> Context:
    """A run whose stages are finished; not to be changed."""
    context = make_context(tmp_path_factory.mktemp("runs") / "done", splits)
    run_stages(context, STAGES)
    return context


def contents(root: Path) -> dict[str, bytes]:
    skipped = ("run.json", "weakseg.log")
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name not in skipped
    }
