"""A study of seeds that is made again: what was counted is kept, and what has changed is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.studies.seeds.painted_runs import (
    SIZE_PX,
    data,
    make_run,
    make_study,
    paint_heads,
    paint_truth,
    quick,
    rows_of,
    runs,
)
from weakseg.data.masks import read_mask
from weakseg.data.synthetic import CritterSettings, write_critters
from weakseg.errors import ArtifactError, ConfigError
from weakseg.pipeline.artifacts import save_mask
from weakseg.studies.folder import StudyFolder
from weakseg.studies.seeds import counts
from weakseg.studies.seeds.figure import draw_seeds

pytestmark = pytest.mark.slow

assert all((data, quick, runs)), "fixtures"


def test_the_same_command_gives_the_same_bytes(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.studies.seeds.study.draw_seeds", draw_seeds)
    pair = [runs["whole"], runs["faint"]]
    first, second = (make_study(pair, name=name).folder for name in ("once", "twice"))
    for one, other in zip((*first.outputs, first.details), (*second.outputs, second.details), strict=True):
        if one.is_file():
            assert one.read_bytes() == other.read_bytes(), one.name


def test_what_was_counted_is_not_counted_again_and_runs_may_be_added(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_study([runs["heads"], runs["faint"]], name="grows").folder.csv.read_bytes()

    def fail(path: Path) -> None:
        raise AssertionError(f"read {path} again")

    with monkeypatch.context() as patched:
        patched.setattr(counts.ThresholdSweep, "update", fail)
        patched.setattr(counts.ConfusionMatrix, "update", fail)
        assert make_study([runs["heads"], runs["faint"]], name="grows").folder.csv.read_bytes() == before
    more = make_study([runs["heads"], runs["faint"], runs["whole"]], name="grows")
    assert len(more.table.rows) == 6
    assert more.folder.csv.read_bytes().startswith(before[: before.index(b"heads,equal")])


def test_an_interrupted_study_goes_on_and_ends_the_same(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [runs["heads"], runs["faint"]]
    whole = make_study(pair, name="uninterrupted").folder
    write, done = counts.write_json, []

    def write_until_killed(path: Path, value: object) -> None:
        if len(done) == 3:  # both sweeps and the first row
            raise KeyboardInterrupt
        done.append(path)
        write(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(counts, "write_json", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            make_study(pair, name="killed")
    killed = StudyFolder(runs["heads"] / "studies" / "killed")
    assert json.loads(killed.record.read_text())["finished"] is False
    kept = {path: path.stat().st_mtime_ns for path in done}
    make_study(pair, name="killed")
    assert {path: path.stat().st_mtime_ns for path in done} == kept
    assert killed.csv.read_bytes() == whole.csv.read_bytes()
    assert killed.details.read_bytes() == whole.details.read_bytes()


def test_another_setting_is_refused_until_redo_is_given(runs: dict[str, Path]) -> None:
    make_study([runs["heads"]], name="changed")
    with pytest.raises(ConfigError, match=r"boundary was 0\.02, is 0\.05; add --redo"):
        make_study([runs["heads"]], name="changed", boundary_share=0.05)
    (row,) = rows_of(make_study([runs["heads"]], name="changed", boundary_share=0.05, redo=True))
    assert row["run"] == "heads"


def test_a_changed_truth_is_noticed(tmp_path: Path) -> None:
    write_critters(tmp_path / "data", CritterSettings(size_px=SIZE_PX), images=6, val_images=5, seed=1)
    run = make_run(tmp_path / "run", tmp_path / "data", paint_heads)
    make_study([run])
    path = next((tmp_path / "data" / "SegmentationClass").glob("val_*.png"))
    labels = read_mask(path)
    labels[0] = 255
    save_mask(path, labels)
    with pytest.raises(ConfigError, match="images and tags with truth of val changed; add --redo"):
        make_study([run])


def test_a_damaged_result_is_named(tmp_path: Path, data: Path) -> None:
    run = make_run(tmp_path / "run", data, paint_truth)
    folder = make_study([run]).folder
    (path,) = folder.results.rglob("at_*.json")
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"at_.*\.json is damaged \('confusion'\); delete it"):
        make_study([run])
    path.write_text("[")
    with pytest.raises(ArtifactError, match="is damaged"):
        make_study([run])
