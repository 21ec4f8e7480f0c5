from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.photos import TINY, TINY_CRITTERS, TINY_RIB, make_photos
from tests.tiny import with_settings
from weakseg.chain import run_recipe
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, ConfigError, DataError, UsageError
from weakseg.ops.metrics import ThresholdSweep
from weakseg.pipeline.artifacts import RunFolder, load_seed
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.localizers import open_localizer
from weakseg.pipeline.networks import load_classifier
from weakseg.studies.folder import Study, StudyFolder, StudyRequest
from weakseg.studies.rib.study import study_rib

RULES_OFF = ("--localize.rib.area_ratio=1.0", "--localize.rib.logit_stop=1e9")
"""Without them an adaptation could end before its last iteration."""


LEARNS_ENOUGH = ("--data.critters.images=24", "--classifier.epochs=8")
"""After less training the maps of most images are negative everywhere, and no setting of RIB makes a difference."""


@pytest.fixture(autouse=True)
def no_figure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, but in the test of the figure: it takes longer than all the rest."""
    if "figure" not in request.function.__name__:
        monkeypatch.setattr("weakseg.studies.rib.study.draw_rib", lambda figure, table, sweep: None)


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY, *TINY_RIB, *RULES_OFF, *LEARNS_ENOUGH))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    """A run with a trained classifier; studies of other tests lie beside one another in it."""
    root = tmp_path_factory.mktemp("runs") / "tiny"
    run_recipe(with_settings(config, ("localize.method", "cam")), root, only="classify")
    return root


def make_study(
    config: RunConfig,
    run: Path,
    name: str,
    *,
    over: str = "K",
    values: tuple[str, ...] = (),
    images: int = 3,
    split: str = "train",
    redo: bool = False,
) -> Study:
    request = StudyRequest(run, name=name, redo=redo, may_train=False, command="weakseg study rib")
    return study_rib(config, request, over=over, values=values, images=images, split=split)


def contents(folder: StudyFolder) -> tuple[bytes, bytes]:
    return folder.csv.read_bytes(), folder.figure.read_bytes()


def forbid_adapting(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing was left to adapt")

    monkeypatch.setattr("weakseg.localize.rib_loop.adapt", fail)


@pytest.mark.slow
def test_a_study_of_k_has_cam_and_every_k_from_one_adaptation(config: RunConfig, run: Path) -> None:
    study = make_study(config, run, "k")
    assert study.folder.root == run / "studies" / "k"
    assert all(path.exists() for path in study.folder.outputs)
    with study.folder.csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == ["CAM", "1", "2", "3"]
    assert [row["iterations"] for row in rows] == ["", "1.0", "2.0", "3.0"]
    assert study.table.title == "RIB over K: seeds on train, 3 images, tags given, oracle thresholds"
    assert sorted(path.name for path in study.folder.results.iterdir()) == ["cam", "rib"]


@pytest.mark.slow
def test_one_iteration_is_cam(config: RunConfig, run: Path) -> None:
    cam, first = make_study(config, run, "k-cam", values=("1",)).table.rows
    assert first[1:5] == pytest.approx(cam[1:5], abs=1e-4)


@pytest.mark.slow
def test_the_last_k_is_a_plain_adaptation(config: RunConfig, run: Path) -> None:
    study = make_study(config, run, "k-plain")
    context = prepare(config, RunFolder(run))
    classifier, _ = load_classifier(context.folder.network("classifier").model, torch.device("cpu"))
    chosen = sorted(path.stem for path in (study.folder.results / "cam").glob("*.json"))
    steps = config.evaluate.threshold_steps
    sweep = ThresholdSweep(context.train.classes.num_labels, np.arange(steps) / steps)
    with open_localizer(context, classifier) as localizer:
        for place, sample in enumerate(context.train):
            if sample.id in chosen:
                maps = localizer(sample, context.train.load_image(sample), place).maps
                kept = load_seed(study.folder.results / "rib" / "3" / f"{sample.id}.npz")
                assert all(torch.equal(a, b) for a, b in zip(kept.scales, maps.scales, strict=True))
                truth = context.train.load_mask(sample)
                assert truth is not None
                sweep.update(maps.full().numpy(), maps.keys, truth)
    assert sweep.images == 3
    result = sweep.result()
    assert study.table.rows[-1][1:3] == pytest.approx((result.best_mean_iou, result.best_threshold), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("over", "values", "changed"),
    [
        ("threshold", ("0.1", "0.9"), "threshold"),
        ("lr", ("1e-5", "3e-4"), "learning_rate"),
        ("margin", ("1e-3", "1e9"), "logit_stop"),
        ("pooling", (), "pooling"),
    ],
)
def test_every_other_sweep_adapts_once_per_value(
    config: RunConfig, run: Path, over: str, values: tuple[str, ...], changed: str
) -> None:
    study = make_study(config, run, f"rib-{over}", over=over, values=values, images=2)
    texts = [str(cell) for cell in study.table.column("value")]
    assert len(texts) == 3
    first, second = (
        [path.read_bytes() for path in sorted((study.folder.results / text).rglob("*.npz"))] for text in texts[1:]
    )
    assert len(first) == len(second) == 2
    assert first != second
    assert f"localize.rib.{changed}" in study.table.notes[1]


@pytest.mark.slow
def test_a_low_limit_of_the_logits_ends_adaptations_after_one_iteration(config: RunConfig, run: Path) -> None:
    table = make_study(config, run, "limit", over="margin", values=("1e-6", "1e9")).table
    (_, limited, free), (_, soon, late) = table.column("logit"), table.column("iterations")
    assert isinstance(limited, float)
    assert limited > 0 == free  # not 1: maps that are negative everywhere have logits of 0
    assert soon == pytest.approx(limited + 3 * (1 - limited))
    assert late == 3


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers_and_figure(config: RunConfig, run: Path) -> None:
    first, second = make_study(config, run, "once"), make_study(config, run, "twice")
    assert contents(first.folder) == contents(second.folder)
    records = [json.loads(study.folder.record.read_text()) for study in (first, second)]
    for record in records:
        for row in record["numbers"]["rows"]:
            del row["seconds_per_image"]
    assert records[0] == records[1]
    assert records[0]["recipe"]["localize"]["rib"]["iterations"] == 3


@pytest.mark.slow
def test_an_interrupted_study_goes_on_and_ends_the_same(
    config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weakseg.studies.rib import passes

    whole = make_study(config, run, "whole")
    write, done = passes.write_json, []

    def write_until_killed(path: Path, value: object) -> None:
        if len(done) == 4:  # three images of CAM, one of RIB
            raise KeyboardInterrupt
        done.append(path)
        write(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(passes, "write_json", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            make_study(config, run, "killed")
    folder = StudyFolder(run / "studies" / "killed")
    assert json.loads(folder.record.read_text())["finished"] is False
    assert not folder.table.exists()
    kept = {path: path.stat().st_mtime_ns for path in done}
    make_study(config, run, "killed")
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert contents(folder) == contents(whole.folder)


@pytest.mark.slow
def test_a_finished_study_is_only_written_down_again(
    config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(make_study(config, run, "again").folder)
    forbid_adapting(monkeypatch)
    again = make_study(config, run, "again")
    assert contents(again.folder) == before
    fewer = make_study(config, run, "again", values=("1", "3"), images=1)
    assert fewer.table.column("value") == ("CAM", "1", "3")
    assert "1 images" in fewer.table.title


@pytest.mark.slow
def test_another_setting_is_refused_until_redo_is_given(config: RunConfig, run: Path) -> None:
    make_study(config, run, "changed", images=1)
    other = with_settings(config, ("localize.rib.learning_rate", 2e-4))
    with pytest.raises(ConfigError, match=r"localize\.rib\.learning_rate was 0\.0001, is 0\.0002; add --redo"):
        make_study(other, run, "changed", images=1)
    with pytest.raises(ConfigError, match="split was train, is val"):
        make_study(config, run, "changed", images=1, split="val")
    with pytest.raises(ConfigError, match="over was K, is lr"):
        make_study(config, run, "changed", over="lr", images=1)
    replaced = make_study(other, run, "changed", images=1, redo=True)
    assert replaced.table.notes[1].startswith("K is localize.rib.iterations, 3 in the recipe; learning_rate 0.0002")


@pytest.mark.slow
def test_the_recipe_may_have_any_value_of_what_is_varied(config: RunConfig, run: Path) -> None:
    make_study(config, run, "free", over="threshold", values=("0.3",), images=1)
    other = with_settings(config, ("localize.rib.threshold", 0.7), ("evaluate.threshold_steps", 20))
    table = make_study(other, run, "free", over="threshold", values=("0.3", "0.5"), images=1).table
    assert table.column("value") == ("CAM", "0.3", "0.5")


@pytest.mark.slow
def test_a_study_leaves_the_run_as_it_was(config: RunConfig, run: Path) -> None:
    folder = RunFolder(run)
    before = [path.read_bytes() for path in (folder.recipe, folder.state)]
    make_study(with_settings(config, ("localize.rib.learning_rate", 5e-4)), run, "aside", images=1)
    assert [path.read_bytes() for path in (folder.recipe, folder.state)] == before


@pytest.mark.slow
def test_a_recipe_trains_its_classifier_first(config: RunConfig, run: Path, tmp_path: Path) -> None:
    request = StudyRequest(tmp_path / "new")
    study = study_rib(config, request, over="K", values=("1",), images=1, split="val")
    assert study.folder.root == tmp_path / "new" / "studies" / "rib-K"
    model = RunFolder(tmp_path / "new").network("classifier").model
    assert model.read_bytes() == RunFolder(run).network("classifier").model.read_bytes()
    assert not RunFolder(tmp_path / "new").seeds.exists()


@pytest.mark.slow
def test_a_classifier_of_other_settings_is_refused(config: RunConfig, run: Path) -> None:
    other = with_settings(config, ("classifier.epochs", 3))
    with pytest.raises(ConfigError, match=r"'classify' in .* other settings: classifier\.epochs was 8, is 3"):
        make_study(other, run, "stale")
    assert not (run / "studies" / "stale").exists()


def test_a_run_without_a_classifier_is_refused(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no trained classifier; run 'weakseg classify .*tiny' first"):
        make_study(config, tmp_path / "tiny", "k")
    assert not (tmp_path / "tiny" / "studies").exists()


def test_data_without_truth_are_refused(config: RunConfig, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", count=6)
    photos = replace(config, data=replace(config.data, name="folder", root=str(tmp_path / "photos"), val=None))
    with pytest.raises(DataError, match="folder train: no tagged image has a truth mask"):
        make_study(photos, tmp_path / "run", "k")


def test_a_recipe_without_validation_cannot_be_studied_on_it(config: RunConfig, tmp_path: Path) -> None:
    none = with_settings(config, ("data.critters.val_images", 0))
    with pytest.raises(ConfigError, match="--split val: the recipe has no validation split"):
        make_study(none, tmp_path / "run", "k", split="val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "depth"}, "--over: expected one of K, threshold, lr, margin, pooling, got 'depth'"),
        ({"split": "test"}, "--split: expected one of train, val, got 'test'"),
        ({"images": 0}, "--images: expected at least 1, got 0"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    config: RunConfig, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_study(config, tmp_path / "run", "k", **options)
    assert not (tmp_path / "run").exists()


def test_a_wrong_value_is_refused_before_anything_is_written(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"localize\.rib\.threshold: expected a number, got high"):
        make_study(config, tmp_path / "run", "k", over="threshold", values=("high",))
    assert not (tmp_path / "run").exists()
