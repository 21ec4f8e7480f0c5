"""Those who follow a run: TensorBoard's events are read by its own reader, MLflow's by its own client."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from weakseg.config.load import build_config, read_recipe
from weakseg.errors import MissingExtra
from weakseg.pipeline import trackers
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.stage import StageStopped
from weakseg.pipeline.trackers import list_settings, open_trackers, require_trackers
from weakseg.pipeline.tracking import track_files, track_numbers, tracking

SETTINGS = {"classifier.optim.learning_rate": "0.1", "segmenter.aspp_rates": "[1, 2]", "data.root": "a|b" * 3000}


class Kept:
    """Keeps what it is told, and fails when it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.told: list[object] = []
        self.fails_at = fails_at

    def _take(self, what: str, content: object) -> None:
        if what == self.fails_at:
            raise OSError("the server\nhas gone")
        self.told.append(content)

    def add_settings(self, settings: Mapping[str, str]) -> None:
        self._take("settings", dict(settings))

    def add_numbers(self, numbers: Mapping[str, float], *, step: int) -> None:
        self._take("numbers", (step, dict(numbers)))

    def add_file(self, path: Path) -> None:
        self._take("file", path.name)

    def close(self, error: BaseException | None) -> None:
        self._take("close", error)


def tell(root: Path) -> None:
    track_numbers("segmenter", {"loss": 0.5, "map": math.nan, "iou": None}, step=1)
    track_numbers("segmenter", {"loss": 0.25, "learning_rate": 1}, step=2)
    (root / "report.html").write_text("a report")
    track_files([root / "report.html", root / "gone.json"])


def test_what_is_told_reaches_those_who_follow_and_nobody_else(tmp_path: Path) -> None:
    kept = Kept()
    with tracking({"kept": kept}, {"a": "1"}):
        tell(tmp_path)
    track_numbers("stages/report", {"seconds": 1})
    numbers = [(1, {"segmenter/loss": 0.5}), (2, {"segmenter/loss": 0.25, "segmenter/learning_rate": 1.0})]
    assert kept.told == [{"a": "1"}, *numbers, "report.html", None]


@pytest.mark.parametrize("fails_at", ["settings", "numbers", "file", "close"])
def test_one_who_fails_is_left_out_and_the_run_goes_on(fails_at: str, tmp_path: Path, told: list[str]) -> None:
    failing, kept = Kept(fails_at), Kept()
    with tracking({"failing": failing, "kept": kept}, {}):
        tell(tmp_path)
    assert told == ["runtime.track: failing fails and is left out from here on: OSError: the server has gone"]
    assert len(kept.told) == 5


def test_the_other_processes_of_torchrun_tell_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANK", "1")
    kept = Kept()
    with tracking({"kept": kept}, {}):
        tell(tmp_path)
    assert kept.told == []


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r"^runtime.track: 'mlflow' needs MLflow, .*: pip install 'weakseg\[track\]'$"
    ):
        require_trackers(["mlflow"])
    assert require_trackers([]) is None


def test_settings_are_listed_by_their_dotted_names() -> None:
    settings = list_settings(build_config(read_recipe("demo")))
    assert settings["data.name"] == "critters"
    assert settings["runtime.track"] == "[]"
    assert all("." in name for name in settings)


@pytest.mark.slow
def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    for _ in range(2):  # the second goes on in a file of its own
        with tracking(open_trackers(["tensorboard"], folder), SETTINGS):
            tell(tmp_path)
    found = EventAccumulator(str(tmp_path / "tracking" / "tensorboard"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["segmenter/learning_rate", "segmenter/loss"]
    losses = [(event.step, event.value) for event in found.Scalars("segmenter/loss")]
    assert sorted(set(losses)) == [(1, 0.5), (2, 0.25)]
    (text,) = found.Tensors("settings/text_summary")[0].tensor_proto.string_val
    assert "| segmenter.aspp_rates | [1, 2] |" in text.decode()
    assert found.Tensors("files/text_summary")[0].tensor_proto.string_val == [f"`{tmp_path / 'report.html'}`".encode()]


@pytest.mark.slow
def test_mlflow_reads_what_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    for name in (trackers.MLFLOW_ADDRESS, trackers.MLFLOW_EXPERIMENT, "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    from mlflow.tracking import MlflowClient

    folder = RunFolder(tmp_path / "my run")
    folder.root.mkdir()

    def follow(settings: Mapping[str, str], error: BaseException | None = None) -> str:
        with suppress(StageStopped, KeyboardInterrupt), tracking(open_trackers(["mlflow"], folder), settings):
            tell(folder.root)
            if error is not None:
                raise error
        return str(json.loads((folder.tracking / "mlflow.json").read_text())["run"])

    number = follow(SETTINGS, StageStopped())
    client = MlflowClient(tracking_uri=(folder.tracking / "mlflow").as_uri())
    assert client.get_run(number).info.status == "SCHEDULED"
    assert follow(SETTINGS) == number, "a run that goes on is the same there"
    run = client.get_run(number)
    assert (run.info.run_name, run.info.status) == ("my run", "FINISHED")
    assert run.data.params["segmenter.aspp_rates"] == "[1, 2]"
    assert len(run.data.params) == 3
    assert run.data.metrics == {"segmenter/loss": 0.25, "segmenter/learning_rate": 1.0}
    assert {m.step for m in client.get_metric_history(number, "segmenter/loss")} == {1, 2}
    assert [file.path for file in client.list_artifacts(number)] == ["report.html"]
    other = follow({**SETTINGS, "data.root": "c"}, KeyboardInterrupt())
    assert other != number, "MLflow lets no setting change"
    assert client.get_run(other).info.status == "KILLED"
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
