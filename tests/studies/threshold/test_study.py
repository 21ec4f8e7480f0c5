from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photos import TINY, TINY_CRITTERS
from tests.tiny import with_settings
from weakseg.chain import run_recipe
from weakseg.cli import main
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.data.masks import read_mask
from weakseg.errors import ArtifactError, ConfigError, UsageError
from weakseg.ops.metrics import ConfusionMatrix
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.threshold_file import load_choice
from weakseg.refine.threshold.choice import CANDIDATES, ThresholdChoice
from weakseg.studies.folder import Study, StudyRequest
from weakseg.studies.threshold.passes import _count_labels
from weakseg.studies.threshold.study import study_threshold
from weakseg.studies.threshold.table import Findings, make_details, make_table

NAMES = ["oracle", "fixed", "colour", "typicality", "stability", "refinement", "spread", "log spread", "masking"]


@pytest.fixture(scope="module")
def config() -> RunConfig:
    settings = ("--refine.background_threshold=auto", "--localize.compared_images=0")
    return build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY, *settings))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    """A run whose masks are made, with `auto`; studies of other tests lie beside one another in it."""
    root = tmp_path_factory.mktemp("runs") / "tiny"
    for stage in ("classify", "localize", "refine"):
        run_recipe(config, root, only=stage)
    return root


def make_study(
    config: RunConfig, run: Path, name: str | None, *, images: int = 200, split: str = "val", redo: bool = False
) -> Study:
    request = StudyRequest(run, name=name, redo=redo, may_train=False, command="weakseg study threshold")
    return study_threshold(config, request, images=images, split=split)


@pytest.fixture(autouse=True)
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, but for `study`, which is made before: a figure takes longer than all the rest."""
    monkeypatch.setattr("weakseg.studies.threshold.study.draw_threshold", lambda figure, found: None)


@pytest.fixture(scope="module")
def study(config: RunConfig, run: Path) -> Study:
    return make_study(config, run, None)


@pytest.mark.slow
def test_every_way_to_choose_has_a_row(study: Study, run: Path) -> None:
    assert study.folder.root == run / "studies" / "threshold-crf"
    assert all(path.exists() for path in (*study.folder.outputs, study.folder.details))
    assert list(study.table.column("way")) == NAMES
    assert "masks on val, 5 images, tags given" in study.table.title
    thresholds = dict(zip(NAMES, study.table.column("threshold"), strict=True))
    assert thresholds["fixed"] == 0.15, "the schema's, since the recipe says auto"
    assert set(thresholds.values()) <= set(CANDIDATES)
    below = dict(zip(NAMES, study.table.column("below_oracle"), strict=True))
    assert below["oracle"] == 0
    assert min(below.values()) == 0
    with study.folder.details.open() as file:
        assert [float(row["threshold"]) for row in csv.DictReader(file)] == list(CANDIDATES)


@pytest.mark.slow
def test_colour_chooses_as_the_stage_did(study: Study, run: Path, config: RunConfig) -> None:
    choice = load_choice(RunFolder(run).threshold)
    row = next(row for row in study.table.rows if row[0] == "colour")
    assert row[1] == choice.threshold
    with study.folder.details.open() as file:
        tried = [float(line["threshold"]) for line in csv.DictReader(file) if line["colour"]]
    assert tried == list(choice.candidates), "those whose seeds take about the usual area"
    context = prepare(config, RunFolder(run))
    assert context.val is not None
    confusion = ConfusionMatrix(context.val.classes.num_labels)
    for sample in context.val:
        confusion.update(read_mask(context.folder.mask(sample.id)), context.val.load_mask(sample))
    assert row[2] == pytest.approx(confusion.result().mean_iou, abs=1e-6)


@pytest.mark.slow
def test_no_more_images_are_judged_than_the_stage_looks_at(
    run: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.pipeline.judging.MAX_PIXELS", 48 * 48 + 1)
    study = make_study(with_settings(config, ("refine.method", "none")), run, "judged", images=1)
    assert len(list((study.folder.results / "judged").iterdir())) == 2
    assert "chosen on 2 tagged training images" in study.table.notes[0]


@pytest.mark.slow
def test_what_is_there_is_not_computed_again(
    study: Study, run: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = study.folder.csv.read_bytes()
    monkeypatch.setattr("weakseg.studies.threshold.passes.cut_image", lambda *arguments: pytest.fail("judged"))
    monkeypatch.setattr("weakseg.studies.threshold.passes._count_labels", lambda *arguments: pytest.fail("scored"))
    assert make_study(config, run, None).folder.csv.read_bytes() == before
    fewer = make_study(config, run, None, images=2)
    assert "masks on val, 2 images" in fewer.table.title


@pytest.mark.slow
def test_an_image_whose_truth_has_changed_is_scored_anew(
    study: Study, run: Path, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    scored = sorted(path.stem for path in (copy / "studies" / "threshold-crf" / "results" / "scored").iterdir())
    mask = next((copy / "data").rglob(f"SegmentationClass/{scored[0]}.png"))
    Image.fromarray(np.zeros_like(read_mask(mask))).save(mask)
    counted = []
    monkeypatch.setattr(
        "weakseg.studies.threshold.passes._count_labels", lambda *args: counted.append(0) or _count_labels(*args)
    )
    changed = make_study(config, copy, None)
    assert len(counted) == len(CANDIDATES), "one image, at every threshold"
    assert changed.table.rows != study.table.rows
    assert changed.table.rows == make_study(config, copy, "anew").table.rows


@pytest.mark.slow
def test_another_setting_is_refused(study: Study, run: Path, config: RunConfig) -> None:
    changed = with_settings(config, ("refine.crf.certainty", 0.8))
    with pytest.raises(ConfigError, match=r"refine\.crf\.certainty was 0\.7, is 0\.8; add --redo"):
        make_study(changed, run, None)
    with pytest.raises(ConfigError, match="split was val, is train"):
        make_study(config, run, None, split="train")


@pytest.mark.slow
def test_a_fixed_threshold_of_the_recipe_is_scored_too(run: Path, config: RunConfig) -> None:
    changed = with_settings(config, ("refine.background_threshold", 0.33), ("refine.method", "none"))
    study = make_study(changed, run, "fixed", split="train")
    assert study.table.column("threshold")[1] == 0.33
    assert any("cannot tell the candidates apart" in note and "refinement" in note for note in study.table.notes)


@pytest.mark.slow
def test_the_command_prints_the_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "threshold", str(run), "--name", "typed", "--images", "3", "--refine.method", "none"]) == 0
    shown = capsys.readouterr().out
    assert "chosen by" in shown
    assert "log spread" in shown
    record = json.loads((run / "studies" / "typed" / "study.json").read_text())
    assert record["command"].startswith("weakseg study threshold")
    assert record["finished"]


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ((), {"split": "test"}, "--split: expected one of train, val, got 'test'"),
        ((), {"images": 0}, "--images: expected at least 1, got 0"),
        ((("refine.method", "psa"),), {}, "'psa' has no background threshold"),
    ],
)
def test_what_cannot_be_is_named(
    tmp_path: Path, settings: tuple[tuple[str, object], ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_study(with_settings(RunConfig(), *settings), tmp_path, None, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_run_without_seeds_is_named(tmp_path: Path, config: RunConfig) -> None:
    with pytest.raises(ArtifactError, match=r"has not finished the stage 'localize'; run 'weakseg run "):
        make_study(config, tmp_path / "new", None)


def test_a_recipe_is_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "threshold", "demo"]) == 2
    assert "expected a run folder, got 'demo'; 'weakseg run' makes one" in capsys.readouterr().err


def test_the_table_measures_from_oracle_and_fixed() -> None:
    choice = ThresholdChoice(0.2, 0.3, (0.1, 0.2, 0.3), (None, 0.5, 0.6), 7, areas=(0.4, 0.3, 0.2), is_clear=True)
    found = Findings("crf", "val", 9, (0.1, 0.15, 0.2), np.array([0.5, 0.3, 0.45]), {"colour": choice}, 0.15, 7)
    rows = {row[0]: row[1:] for row in make_table(found).rows}
    assert rows == {
        "oracle": (0.1, 0.5, 0, 0.2, None),
        "fixed": (0.15, 0.3, 0.2, 0, None),
        "colour": (0.2, 0.45, 0.05, 0.15, 0.3),
    }
    assert make_details(found).rows == ((0.1, 0.5, None), (0.15, 0.3, None), (0.2, 0.45, 0.5))
    unclear = make_table(replace(found, choices={"colour": replace(choice, is_clear=False)}))
    assert unclear.notes[-1] == "cannot tell the candidates apart, so that the area alone decides: colour"
