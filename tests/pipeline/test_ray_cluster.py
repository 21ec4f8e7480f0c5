"""A cluster of two workers on this machine, started once, since that takes seconds."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handover.test_export import make_run
from tests.pipeline import made_jobs
from tests.pipeline.test_processes import TAGS, deed, expected, found, make_context, splits
from tests.predict.made_model import list_files, make_model, write_photo
from weakseg.errors import DataError, MissingExtra, UsageError
from weakseg.handover.export import export_masks
from weakseg.pipeline import ray_cluster
from weakseg.pipeline.engines import choose_engine
from weakseg.pipeline.image_jobs import Engine
from weakseg.predict.files import predict_files
from weakseg.predict.options import PredictOptions

OBJECTS_BYTES = 100 * 2**20
"""Of shared memory; Ray takes a third of the machine's."""


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs Ray, which is not installed here: pip install 'weakseg\[ray\]'"):
        choose_engine(engine="ray")


@pytest.mark.parametrize("engine", ["dask", "ray://", "ray:", ""])
def test_other_engines_are_refused(engine: str) -> None:
    with pytest.raises(UsageError, match=f"^--engine: expected ray or ray://HOST:PORT, got '{engine}'$"):
        choose_engine(engine=engine)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    repository = Path(__file__).parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(repository), *sys.path]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 starves workers on a busy machine
        ray.init(
            num_cpus=2,
            object_store_memory=OBJECTS_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()


@pytest.fixture
def engine(cluster: None) -> Iterator[Engine]:
    engine = ray_cluster.RayCluster()
    yield engine
    engine.close()


@pytest.mark.slow
def test_two_workers_make_the_files_of_one_process_though_one_is_killed(
    tmp_path: Path, told: list[str], engine: Engine
) -> None:
    whole, context = expected(tmp_path / "whole"), make_context(tmp_path / "ray")
    deed(context, "train_1", "once")
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


def read_files(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in list_files(root)}


@pytest.mark.slow
def test_predict_and_export_have_the_files_of_one_process(tmp_path: Path, engine: Engine) -> None:
    model = make_model(tmp_path / "run").network("segmenter").model
    for number in range(5):
        write_photo(tmp_path / "photos" / f"{number}.png", number, (22, 40 - number))
    for out, worker in (("one", None), ("ray", engine)):
        options = PredictOptions()
        predict_files(model, [tmp_path / "photos"], tmp_path / out, device="cpu", options=options, engine=worker)
    assert len(list_files(tmp_path / "one")) == 3 * 5 + 1
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "one")
    context = make_run(tmp_path / "masks")
    for out, worker in (("coco", None), ("coco-ray", engine)):
        export_masks(context, to="coco", out=tmp_path / out, role="train", min_area_px=8, engine=worker)
    assert read_files(tmp_path / "coco-ray") == read_files(tmp_path / "coco")
