from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.photos import TINY, TINY_CRITTERS
from tests.tiny import with_settings
from weakseg.chain import run_recipe
from weakseg.cli import main
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError, DataError, UsageError
from weakseg.pipeline.corrections.store import CorrectionStore
from weakseg.pipeline.opening import open_run
from weakseg.pipeline.recipe import read_run_config
from weakseg.pipeline.run_folder import RunFolder
from weakseg.studies.corrections.person import list_correctable, order_images
from weakseg.studies.corrections.runs import Step, list_steps
from weakseg.studies.corrections.study import study_corrections
from weakseg.studies.folder import Study, StudyRequest

QUICK = ("--segmenter.epochs=1", "--classifier.epochs=1", "--evaluate.crf.enabled=false")
CONFIG = build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY, *QUICK))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs") / "tiny"
    run_recipe(CONFIG, root)
    return root


@pytest.fixture(autouse=True)
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, but for the command line: a figure takes longer than all the rest."""
    monkeypatch.setattr("weakseg.studies.corrections.study.draw_corrections", lambda figure, learnt, title: None)


def make_study(
    run: Path,
    out: Path,
    *,
    counts: tuple[str, ...] = ("0", "2"),
    orders: tuple[str, ...] = ("queue", "random"),
    config: RunConfig | None = None,
) -> Study:
    request = StudyRequest(out, command="weakseg study corrections")
    return study_corrections(config or read_run_config(run), run, request, counts=counts, orders=orders)


@pytest.mark.slow
def test_every_order_and_count_has_a_row_and_the_study_goes_on(run: Path, tmp_path: Path, told: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    study = make_study(run, tmp_path, counts=("2", "all", "4"))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before
    with study.folder.csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["order"], row["corrected"]) for row in rows] == [
        ("none", "0"),
        ("queue", "2"),
        ("queue", "4"),
        ("random", "2"),
        ("random", "4"),
        ("full supervision", "all"),
    ]
    assert rows[0]["gain"] == "0.0"
    assert all(row["segmenter"] for row in rows)
    hours = next(line for line in told if "in all" in line)
    assert "6 runs of refine" in hours
    results = study.folder.results
    assert (results / "base" / "seeds").is_dir()
    assert RunFolder(results / "base").network("segmenter").model.samefile(RunFolder(run).network("segmenter").model)
    corrected = {
        name: {c.id for c in CorrectionStore(results / "person" / name / "corrections", open_run(run).train.classes)}
        for name in ("queue-2", "queue-4", "random-2", "random-4")
    }
    assert [len(ids) for ids in corrected.values()] == [2, 4, 2, 4]
    assert corrected["queue-2"] < corrected["queue-4"]
    assert corrected["random-2"] < corrected["random-4"]

    csv_before, told[:] = study.folder.csv.read_bytes(), []
    again = make_study(run, tmp_path, counts=("2", "4", "all"))
    assert again.folder.csv.read_bytes() == csv_before
    assert any("all runs of the study are finished" in line for line in told)
    with pytest.raises(ConfigError, match=r"segmenter\.epochs was 1, is 2"):
        make_study(run, tmp_path, config=with_settings(read_run_config(run), ("segmenter.epochs", 2)))


@pytest.mark.slow
def test_the_command_line_takes_settings_and_another_place(run: Path, tmp_path: Path) -> None:
    words = ("--counts", "0", "1", "--order", "random", "--out", str(tmp_path), "--segmenter.corrected_weight", "2")
    assert main(["study", "corrections", str(run), *words]) == 0
    found = tmp_path / "studies" / "corrections"
    assert (found / "figure.png").is_file()
    assert "drawn 2 times as often" in (found / "table.md").read_text()


@pytest.mark.slow
def test_the_orders_hold_all_images_once_and_differ(run: Path) -> None:
    context = open_run(run)
    images = list_correctable(context, set())
    assert len(images) == 12
    by_chance = order_images(context, images, "random")
    assert sorted(by_chance) == sorted(sample.id for sample in images)
    seed = np.random.default_rng(0).permutation(12)
    assert by_chance == [images.samples[place].id for place in seed]
    queued, turns = (order_images(context, images, order) for order in ("queue", "classes"))
    assert sorted(queued) == sorted(turns) == sorted(by_chance)
    tags = {sample.id: sample.keys for sample in images}
    classes = {key for keys in tags.values() for key in keys}
    assert {key for sample_id in turns[: len(classes)] for key in tags[sample_id]} == classes


def test_steps_are_named_by_what_they_are() -> None:
    steps = list_steps(("queue", "random"), (0, 10), with_twin=True)
    assert steps == [Step("", 0), Step("queue", 10), Step("random", 10), Step("", None)]
    assert [step.name for step in steps] == ["base", "queue-10", "random-10", "all"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "orders", "error", "message"),
    [
        (("-1",), (), UsageError, r"--counts: expected whole numbers from 0 on, or all, got '-1'"),
        (("some",), (), UsageError, r"--counts: expected whole numbers from 0 on, or all, got 'some'"),
        (("5", "05"), (), UsageError, r"--counts: expected every value once, got 5 twice"),
        (("5",), ("first",), UsageError, r"--order: expected some of queue, classes, random, got 'first'"),
        (("13",), (), DataError, r"--counts: 13 images are to be corrected, but only 12 of the 12"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Path, tmp_path: Path, counts: tuple[str, ...], orders: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_study(run, tmp_path, counts=counts, orders=orders)


@pytest.mark.slow
def test_a_run_without_validation_or_with_corrections_is_refused(run: Path, tmp_path: Path) -> None:
    without = with_settings(read_run_config(run), ("data.critters.val_images", 0))
    with pytest.raises(ConfigError, match=r"data\.val: the study scores on the validation split"):
        make_study(run, tmp_path, config=without)
    learnt = RunFolder(tmp_path / "learnt")
    learnt.root.mkdir()
    learnt.taught_index.write_text("{}")
    with pytest.raises(ConfigError, match="learnt has learnt from corrections itself; start the study from a run that"):
        make_study(learnt.root, tmp_path, config=CONFIG)
    assert main(["study", "corrections", "demo"]) == 2
