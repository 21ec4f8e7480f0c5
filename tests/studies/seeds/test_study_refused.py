"""What the study of seeds refuses, with the words it does so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.photos import make_photos
from tests.studies.seeds.painted_runs import SIZE_PX, data, make_config, make_run, make_study, paint_truth, quick, runs
from tests.tiny import with_settings
from weakseg.config.load import to_yaml
from weakseg.config.schema import RunConfig
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.errors import ArtifactError, ConfigError, DataError, UsageError
from weakseg.files import write_text
from weakseg.pipeline.artifacts import RunFolder, save_seed
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.records import StageRecord, write_records
from weakseg.types import ScoreMaps

pytestmark = pytest.mark.slow

assert all((data, quick, runs)), "fixtures"


def test_adaptations_of_a_run_without_validation_split_are_those_of_train(tmp_path: Path, data: Path) -> None:
    config = with_settings(make_config(data), ("data.val", None), ("localize.compared_images", 2))
    with pytest.raises(UsageError, match="--split val: the adaptations are of 'train', the last split"):
        make_study([make_run(tmp_path / "run", data, paint_truth, config=config)], subject="adaptations", split="val")


def test_runs_of_other_data_are_refused(tmp_path: Path, data: Path, runs: dict[str, Path]) -> None:
    write_critters(tmp_path / "other", CritterSettings(size_px=SIZE_PX), images=6, val_images=5, seed=2)
    config = with_settings(make_config(tmp_path / "other"), ("data.critters.seed", 2))
    other = make_run(tmp_path / "run", tmp_path / "other", paint_truth, config=config)
    with pytest.raises(ConfigError, match="the images, tags or classes of their split 'val' differ"):
        make_study([runs["whole"], other], name="refused")
    assert not (runs["whole"] / "studies" / "refused").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subject": "labels"}, "--what: expected one of seeds, masks, predictions, adaptations, got 'labels'"),
        ({"split": "test"}, "--split: expected one of train, val, got 'test'"),
        ({"subject": "adaptations"}, "--what adaptations: expected one run, whose iterations are compared, got 2"),
        ({"subject": "predictions", "split": "train"}, "--split train: predictions are made of the validation split"),
        ({"labels": ("one",)}, "--labels: expected one per run, which are 2, got 1"),
        ({"labels": ("one", "one")}, "two runs are called 'one'; give each a name of its own with --labels"),
        ({"size_edges": (0.2, 0.1)}, r"--sizes: expected shares of the image, ascending between 0 and 1, got \[0.2"),
        ({"boundary_share": 0.0}, "--boundary: expected a share of the image's diagonal between 0 and 1, got 0.0"),
        ({"name": "a/b"}, "--name: expected the plain name of a folder"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    runs: dict[str, Path], options: dict[str, object], message: str
) -> None:
    before = sorted((runs["whole"] / "studies").glob("*"))
    with pytest.raises(UsageError, match=message):
        make_study([runs["whole"], runs["heads"]], **{"name": "wrong", **options})
    assert sorted((runs["whole"] / "studies").glob("*")) == before


def test_a_run_that_lacks_what_is_compared_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no run folder: expected a recipe\.yaml in it"):
        make_study([tmp_path / "nowhere"])
    run = make_run(tmp_path / "run", data, paint_truth)
    with pytest.raises(ArtifactError, match="lacks the seeds of 6 of 6 images of train"):
        make_study([run], split="train")
    with pytest.raises(ArtifactError, match=r"has kept no adaptations; set localize\.compared_images"):
        make_study([run], subject="adaptations")
    next(RunFolder(run).seeds.iterdir()).unlink()
    with pytest.raises(ArtifactError, match="lacks the seeds of 1 of 5 images of val"):
        make_study([run])
    write_records(RunFolder(run), {})
    with pytest.raises(ArtifactError, match="lacks the finished stage 'localize'; run 'weakseg localize"):
        make_study([run])
    only_train = with_settings(make_config(data), ("localize.splits", ("train",)))
    other = make_run(tmp_path / "other", data, paint_truth, config=only_train)
    with pytest.raises(ArtifactError, match=r"has no seeds of val: localize\.splits is \['train'\]"):
        make_study([other])


def test_data_without_truth_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    make_photos(tmp_path / "photos", count=6)
    config = with_settings(
        RunConfig(),
        ("data.name", "folder"),
        ("data.root", str(tmp_path / "photos")),
        ("data.val", None),
        ("runtime.workers", 0),
    )
    folder = RunFolder(tmp_path / "run")
    write_text(folder.recipe, to_yaml(config))
    for sample in prepare(config, folder).train:
        save_seed(folder.seed(sample.id), ScoreMaps(sample.keys, (torch.zeros(len(sample.keys), 4, 6),), (8, 12)))
    write_records(folder, {"localize": StageRecord(True, "f", {})})
    with pytest.raises(DataError, match="folder train: no image has a truth mask that can be used"):
        make_study([folder.root], split="train")
    with pytest.raises(ArtifactError, match=r"has no validation split \(data\.val\); use --split train"):
        make_study([folder.root])
