"""The study of the bottleneck on a run, whole and at a size of seconds: what it measures once, draws and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.photos import TINY, TINY_CRITTERS, TINY_RIB
from tests.tiny import with_settings
from weakseg.chain import run_recipe
from weakseg.cli import main
from weakseg.config.load import build_config, read_recipe
from weakseg.config.schema import RunConfig
from weakseg.errors import ArtifactError, ConfigError, DataError
from weakseg.studies.bottleneck.objects import ObjectSettings, study_objects
from weakseg.studies.bottleneck.objects_figure import draw_objects
from weakseg.studies.bottleneck.objects_table import Findings
from weakseg.studies.folder import Study, StudyFolder, StudyRequest


@pytest.fixture(scope="module")
def config() -> RunConfig:
    settings = ("--data.critters.images=24", "--classifier.epochs=8", "--localize.rib.logit_stop=1e9")
    return build_config(read_recipe("demo"), (*TINY_CRITTERS, *TINY, *TINY_RIB, *settings))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    root = tmp_path_factory.mktemp("runs") / "tiny"
    run_recipe(with_settings(config, ("localize.method", "cam")), root, only="classify")
    return root


def make_study(
    config: RunConfig, run: Path, name: str, *, images: int = 3, parts: str = "cam", split: str = "train"
) -> Study:
    request = StudyRequest(run, name=name, may_train=False, command="weakseg study bottleneck RUN")
    return study_objects(config, ObjectSettings(images, split, parts), request)


@pytest.fixture(autouse=True)
def no_figure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "figure" not in request.function.__name__:
        monkeypatch.setattr("weakseg.studies.bottleneck.objects.draw_objects", lambda figure, found: None)


@pytest.fixture(autouse=True)
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best threshold of so poor a classifier leaves no object."""
    monkeypatch.setattr("weakseg.studies.bottleneck.objects._Cutter.find_cut", lambda cutter, steps: 0.3)


def contents(folder: StudyFolder) -> tuple[bytes, bytes]:
    return folder.csv.read_bytes(), folder.details.read_bytes()


@pytest.mark.slow
def test_a_runs_images_are_measured_once(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_study(config, run, "once").folder
    first = contents(folder)
    with folder.details.open() as file:
        rows = list(csv.DictReader(file))
    updates = {row["updates"] for row in rows if row["gradient"] == "logit by image"}
    assert updates == {str(update) for update in range(config.localize.rib.iterations)}
    assert len({row["logit"] for row in rows if row["gradient"] == "logit by image"}) >= len(updates)
    assert all(0 <= float(row[part]) <= 1 for row in rows for part in ("discriminative", "other", "background"))
    assert json.loads(folder.record.read_text())["finished"]
    assert "similarity" not in json.loads(folder.record.read_text())["settings"]

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing was left to adapt")

    with monkeypatch.context() as patched:
        patched.setattr("weakseg.localize.rib_loop.adapt", fail)
        make_study(config, run, "once")
        assert contents(folder) == first
        with pytest.raises(ArtifactError, match="seeds"):
            make_study(config, run, "once", parts="run")
    more = make_study(config, run, "once", images=5).table
    assert "in 5 images" in more.title
    damaged = next((folder.results / "gradients").rglob("*.npz"))
    damaged.write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"\.npz is missing or damaged .*; delete it"):
        make_study(config, run, "once", images=5)
    damaged.unlink()
    with pytest.raises(ConfigError, match=r"localize\.rib\.learning_rate was .*, is 0\.5"):
        make_study(with_settings(config, ("localize.rib.learning_rate", "0.5")), run, "once")


@pytest.mark.slow
def test_images_without_masks_are_named(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.studies.truth_images.read_truth", lambda *arguments: None)
    with pytest.raises(DataError, match="no tagged image has a truth mask that can be used"):
        make_study(config, run, "none")


@pytest.mark.slow
def test_the_figure_shows_images_and_curves(config: RunConfig, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Findings] = []
    monkeypatch.setattr("weakseg.studies.bottleneck.objects.draw_objects", lambda figure, found: seen.append(found))
    make_study(config, run, "once")
    figure = Figure(layout="constrained")
    draw_objects(figure, seen[0])
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert titles[-3:] == ["(b) layer by image", "(c) logit by layer; dashed: after RIB", "(d) logit by image"]
    assert titles[:2] == ["image", "parts"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["demo"], 2, "study bottleneck: expected a run folder, got 'demo'; 'weakseg run' makes one"),
        (["demo", "--out", "x", "--images", "0"], 2, "--images: expected at least 1, got 0"),
        (["demo", "--out", "x", "--parts", "gt"], 2, "--parts: expected some of cam, run, got 'gt'"),
        (["demo", "--out", "x", "--split", "test"], 2, "--split: expected one of train, val, got 'test'"),
        (["demo", "--out", "x", "--threshold", "1"], 2, "--threshold: expected a number from 0 to below 1, got 1.0"),
        (["nowhere"], 1, "recipe 'nowhere': expected one of those above"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", "bottleneck", *words]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
