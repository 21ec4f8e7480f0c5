"""A run whose seeds are known, for the tests of the threshold `auto`."""

from pathlib import Path

import pytest
import torch

from tests.pipeline.made_context import make_context
from tests.tiny import make_dataset
from weakseg.data.base import Dataset
from weakseg.pipeline.artifacts import save_seed
from weakseg.pipeline.context import Context
from weakseg.types import ScoreMaps

AUTO = ("refine.background_threshold", "auto")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    root = tmp_path_factory.mktemp("images")
    train = make_dataset(root, ((0,), (1,), (), (2,), (0, 1)), truth=True)
    return train, make_dataset(root, ((0,), ()), split="val")


def make_seeded(root: Path, splits: tuple[Dataset, Dataset], *settings: tuple[str, object]) -> Context:
    """Return a run with seeds that are worth 1 on the objects and 0.1 beside them."""
    context = make_context(root, splits, AUTO, *settings)
    for dataset in splits:
        for sample in dataset:
            truth = dataset.load_mask(sample)
            maps = torch.full((len(sample.keys), *truth.shape), 0.1)
            for one, key in zip(maps, sample.keys, strict=True):
                one[torch.from_numpy(truth == key + 1)] = 1.0
            save_seed(context.folder.seed(sample.id), ScoreMaps(sample.keys, (maps,), truth.shape))
    return context
