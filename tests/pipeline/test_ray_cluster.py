"""A cluster of two workers on this machine; starting it takes seconds, so that it is tried once."""

import logging
import os
import sys
from pathlib import Path

import pytest

from tests.pipeline import made_jobs
from tests.pipeline.test_processes import TAGS, deed, expected, found, make_context, splits
from weakseg.errors import DataError, MissingExtra, UsageError
from weakseg.pipeline import ray_cluster
from weakseg.pipeline.engines import choose_engine


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs Ray, which is not installed here: pip install 'weakseg\[ray\]'"):
        choose_engine(engine="ray")


@pytest.mark.parametrize("engine", ["dask", "ray://", "ray:", ""])
def test_other_engines_are_refused(engine: str) -> None:
    with pytest.raises(UsageError, match=f"^--engine: expected ray or ray://HOST:PORT, got '{engine}'$"):
        choose_engine(engine=engine)


@pytest.mark.slow
def test_two_workers_make_the_files_of_one_process_though_one_is_killed(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    repository = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), *sys.path]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves workers on a busy machine
    whole, context = expected(tmp_path / "whole"), make_context(tmp_path / "ray")
    deed(context, "train_1", "once")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    engine = ray_cluster.RayCluster()
    try:
        engine.work_off(context, made_jobs.SIZES, splits(context))
        assert found(context) == whole
        assert len(found(context)) == len(TAGS) + 2
        losses = [line for line in told if "was lost" in line]
        assert len(losses) == 1
        for path in made_jobs.output(context, "x").parent.iterdir():
            path.unlink()
        deed(context, "train_4", "damaged")
        with pytest.raises(DataError, match=r"^image 'train_4' is damaged$"):
            engine.work_off(context, made_jobs.SIZES, splits(context))
    finally:
        engine.close()
        ray.shutdown()
