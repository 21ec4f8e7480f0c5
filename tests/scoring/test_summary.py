from pathlib import Path

import pytest

from tests.scoring.test_scores import make_metrics, make_score
from weakseg.errors import ArtifactError
from weakseg.files import write_json
from weakseg.pipeline.artifacts import RunFolder
from weakseg.scoring.metrics_file import save_metrics
from weakseg.scoring.scores import ClassifierScore, Metrics
from weakseg.scoring.summary import print_summary


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("RANK", raising=False)


def lines_of(folder: RunFolder, metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> list[str]:
    save_metrics(folder.metrics, metrics)
    print_summary(folder)
    return capsys.readouterr().out.splitlines()


def test_every_score_says_what_it_was_measured_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = make_metrics()
    segmenter = make_score(subject="segmenter", given_tags=False, threshold_choice="none", threshold=None)
    folder = RunFolder(tmp_path / "run")
    lines = lines_of(folder, Metrics(**{**vars(metrics), "scores": (*metrics.scores, segmenter)}), capsys)
    assert lines[0].rstrip() == "mean IoU in %, folder"
    rows = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines if "│" in line]
    assert rows == [
        ["seeds", "train", "1", "given", "0.25 (oracle)", "100.0"],
        ["masks", "train", "1", "given", "0.3 (fixed)", "50.0"],
        ["segmenter", "train", "1", "not given", "–", "50.0"],
    ]
    assert lines[-7:] == [
        "seeds of 1 images of val compared, tags given, oracle thresholds: CAM 100.0, RIB after 10 iterations 100.0",
        "instances on val, 4 images, 7 objects, tags given, threshold 0.25 (fixed): AP50 50.0, AP75 25.0, mAP 30.0",
        "classifier: mAP 87.5 on val, 4 images, started from random weights",
        "note: something",
        "Problems: the masks were not judged when this run was evaluated; its report does that",
        f"masks:  {folder.masks}",
        f"report: {folder.report}",
    ]


def test_without_scores_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("folder", ("background", "avo"), ClassifierScore(None, 0, None, "random"), (), (), ("no truth",))
    lines = lines_of(RunFolder(tmp_path), metrics, capsys)
    assert lines[0] == "note: no truth"
    assert lines[-2:] == [f"masks:  {tmp_path / 'masks'}", f"report: {tmp_path / 'report.html'}"]


def test_a_run_that_learnt_from_corrections_names_what_shows_their_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = RunFolder(Path("my cats"))
    folder = RunFolder(Path("my cats-2"))
    taught = {"classes": ["avo"], "images": [], "source": str(source.root.resolve())}
    write_json(folder.taught_index, taught)
    lines = lines_of(folder, make_metrics(), capsys)
    assert lines[-1] == f"report: {folder.report}"  # the source has gone
    source.root.mkdir()
    source.recipe.write_text("dataset: folder")
    lines = lines_of(folder, make_metrics(), capsys)
    assert lines[-1] == "what the corrections have changed: weakseg report 'my cats' 'my cats-2'"
    absolute = lines_of(RunFolder(folder.root.resolve()), make_metrics(), capsys)[-1]
    assert absolute.endswith(f"weakseg report '{tmp_path}/my cats' '{tmp_path}/my cats-2'")


def test_long_paths_stay_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path / ("long" * 40))
    assert lines_of(folder, make_metrics(), capsys)[-1] == f"report: {folder.report}"


def test_only_the_first_of_several_processes_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table comes after the processes have parted: only the launcher's variable still tells them apart."""
    monkeypatch.setenv("RANK", "1")
    assert lines_of(RunFolder(tmp_path), make_metrics(), capsys) == []


def test_a_run_without_metrics_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no .*metrics\.json; run the stage 'evaluate' first"):
        print_summary(RunFolder(tmp_path))
