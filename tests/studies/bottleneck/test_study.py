"""The study of the bottleneck as a whole, at a size that takes seconds; figures are drawn by slow tests alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weakseg.cli import main
from weakseg.errors import ArtifactError, ConfigError, UsageError, WeaksegError
from weakseg.studies.bottleneck.figure import draw_bottleneck
from weakseg.studies.bottleneck.seed import SeedFiles
from weakseg.studies.bottleneck.settings import BottleneckSettings
from weakseg.studies.bottleneck.study import study_bottleneck
from weakseg.studies.folder import Study, StudyFolder, StudyRequest

pytestmark = pytest.mark.slow

TINY = BottleneckSettings(
    digits="font", seeds=(0,), images=4, adapted=2, train_images=32, epochs=1, iterations=2, partners=2
)

WORDS = (
    *("study", "bottleneck", "--digits=font", "--images=4", "--adapted=2", "--train-images=32", "--epochs=1"),
    *("--iterations=2", "--partners=2"),
)
"""The same on the command line."""


def make_study(root: Path, settings: BottleneckSettings = TINY, *, redo: bool = False) -> Study:
    return study_bottleneck(settings, StudyRequest(root, redo=redo, command="weakseg study bottleneck"))


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """Draw nothing: a figure takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("weakseg.studies.bottleneck.study.draw_bottleneck", lambda figure, results, pictures: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> StudyFolder:
    return make_study(tmp_path_factory.mktemp("finished")).folder


def copy_of(finished: StudyFolder, root: Path) -> StudyFolder:
    """A finished study of which a test may break something."""
    folder = StudyFolder(root / "studies" / "bottleneck")
    for path in finished.root.rglob("*"):
        if path.is_file():
            place = folder.root / path.relative_to(finished.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return folder


def contents(folder: StudyFolder) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in (folder.csv, folder.details))


def test_it_writes_table_details_and_record(finished: StudyFolder) -> None:
    with finished.details.open() as file:
        details = list(csv.DictReader(file))
    assert len(details) == 2 * (6 + 3 * 3)
    assert {row["measured"] for row in details} == {"layer", "RIB, GNDRP", "RIB, GAP", "final activation"}
    assert all(0 <= float(row[region]) <= 1 for row in details for region in ("digit", "marker", "background"))
    assert "printed digits, 4 images with a marker, 1 seed" in finished.table.read_text()
    record = json.loads(finished.record.read_text())
    assert record["finished"]
    assert record["settings"]["digits"] == "printed digits"


def test_before_the_first_update_every_objective_sees_the_same(finished: StudyFolder) -> None:
    for twin in SeedFiles(finished.results, 0).load().values():
        first = [steps[0] for steps in twin.adaptations.values()]
        assert first[0] == first[1] == first[2]
        assert all(steps[1] != steps[0] for steps in twin.logits.values())


def test_the_same_command_gives_the_same_bytes_and_lands_where_told(
    finished: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("weakseg.studies.bottleneck.study.draw_bottleneck", draw_bottleneck)
    assert main(WORDS) == 0
    again = StudyFolder(tmp_path / "runs" / "studies" / "bottleneck")
    assert contents(again) == contents(finished)
    assert np.asarray(Image.open(again.figure)).shape[:2] == (1210, 990)
    drawn = again.figure.read_bytes()
    assert main([*WORDS, "--redo"]) == 0
    assert again.figure.read_bytes() == drawn
    assert "figure: runs/studies/bottleneck/figure.png" in capsys.readouterr().out
    assert json.loads(again.record.read_text())["command"].startswith("weakseg study bottleneck --digits=font")


def test_a_finished_seed_is_used_again_and_a_new_one_added(
    finished: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(finished, tmp_path)
    asked: list[int] = []

    def run_instead(files: SeedFiles, *rest: object) -> None:
        asked.append(files.seed)
        first = SeedFiles(files.folder, 0)
        files.pictures.write_bytes(first.pictures.read_bytes())
        files.record.write_bytes(first.record.read_bytes())

    monkeypatch.setattr("weakseg.studies.bottleneck.study.run_seed", run_instead)
    make_study(tmp_path)
    assert asked == []
    assert contents(folder) == contents(finished)
    table = make_study(tmp_path, replace(TINY, seeds=(0, 5))).table
    assert asked == [5]
    assert table.title.endswith("2 seeds")
    assert set(table.column("marker_sd")) == {0.0}


def test_another_setting_is_refused_by_name(finished: StudyFolder, tmp_path: Path) -> None:
    copy_of(finished, tmp_path)
    with pytest.raises(ConfigError, match=r"other settings: threshold was 0\.3, is 0\.5; add --redo"):
        make_study(tmp_path, replace(TINY, threshold=0.5))


def test_a_damaged_result_is_named(finished: StudyFolder, tmp_path: Path) -> None:
    folder = copy_of(finished, tmp_path)
    (folder.results / "seed-0.json").write_text('{"sigmoid": 3}')
    with pytest.raises(ArtifactError, match=r"seed-0\.json is missing or damaged"):
        make_study(tmp_path)


def test_damaged_pictures_are_named(finished: StudyFolder, tmp_path: Path) -> None:
    folder = copy_of(finished, tmp_path)
    (folder.results / "seed-0.npz").write_bytes(b"no archive")
    with pytest.raises(ArtifactError, match=r"seed-0\.npz is missing or damaged .*; delete seed-0\.json"):
        make_study(tmp_path)


def test_an_adaptation_that_diverges_says_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(WeaksegError, match=r"diverged in update \d+ of 2; choose a lower rate than --lr 1e\+30"):
        make_study(tmp_path, replace(TINY, learning_rate=1e30, adapted=1))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="study bottleneck runs in one process; start it without torchrun"):
        make_study(tmp_path)


def test_the_options_default_to_what_the_settings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[BottleneckSettings] = []

    def stop(settings: BottleneckSettings, request: StudyRequest) -> Study:
        asked.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("weakseg.studies.bottleneck.study.study_bottleneck", stop)
    assert main(["study", "bottleneck"]) == 130
    assert asked == [BottleneckSettings()]


def test_scikit_learns_digits_go_all_the_way(tmp_path: Path) -> None:
    study = make_study(tmp_path, replace(TINY, digits="sklearn"))
    assert study.table.title.endswith("scikit-learn's digits, 4 images with a marker, 1 seed")
    assert json.loads(study.folder.record.read_text())["settings"]["digits"] == "scikit-learn's digits"


def test_another_source_of_digits_is_refused_by_name(finished: StudyFolder, tmp_path: Path) -> None:
    copy_of(finished, tmp_path)
    with pytest.raises(ConfigError, match="digits was printed digits, is scikit-learn's digits"):
        make_study(tmp_path, replace(TINY, digits="sklearn"))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--seeds", "1", "1"], 2, "--seeds: expected one or more whole numbers from 0 on without repeats, got 1 1"),
        (["--threshold", "1.5"], 2, "--threshold: expected a number from 0 to below 1, got 1.5"),
        (["--digits", "nowhere"], 1, "nowhere: expected MNIST's file train-images-idx3-ubyte"),
        (["--name", "a/b"], 2, "--name: expected the plain name of a folder"),
        (["--digit", "font"], 2, "unknown argument '--digit'; did you mean '--digits'?"),
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
