"""Every registered method makes in two processes, which share the images out, the files that it makes in one."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tests.contract.made_files import TAGS, make_files, make_files_together
from tests.train.test_distributed import files, fork_ranks
from weakseg.data.masks import read_mask
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.registry import LOCALIZERS, REFINERS

pytestmark = pytest.mark.slow

MAPS_ATOL = 1e-3
LEAST_AGREEMENT = 0.99
"""Share of a mask's pixels: sums of floats may take another order in another process, and flip a tie."""


@pytest.mark.long
def test_two_processes_make_the_files_of_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    make_files(one, tmp_path / "images")
    together = fork_ranks(partial(make_files_together, two))
    assert together.returncode == 0, together.stderr
    assert files(one) == files(two)
    for name in LOCALIZERS.names():
        seeds = list(RunFolder(one / name).seeds.iterdir())
        assert len(seeds) == len(TAGS), name
        for path in seeds:
            expected, found = load_seed(path), load_seed(two / path.relative_to(one))
            torch.testing.assert_close(found.full(), expected.full(), rtol=MAPS_ATOL, atol=MAPS_ATOL, msg=name)
    for name in REFINERS.names():
        masks = list(RunFolder(one / name).masks.iterdir())
        assert len(masks) == len(TAGS), name
        for path in masks:
            assert (read_mask(path) == read_mask(two / path.relative_to(one))).mean() > LEAST_AGREEMENT, name
