import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from tests.estimate.made_trial import tiny_config
from tests.photos import TINY, make_photos
from tests.tiny import make_dataset
from weakseg.cli import main
from weakseg.data.base import Dataset
from weakseg.estimate.process import estimate_run, usable_samples


def ids(dataset: Dataset) -> list[str]:
    return [sample.id for sample in dataset]


def test_a_run_leaves_out_what_cannot_be_read_or_taught(tmp_path: Path) -> None:
    unknown = ((), (0, 1, 2), ())
    train = make_dataset(tmp_path, ((0,), (), (1,)), unknown=unknown)
    val = make_dataset(tmp_path, ((), (0,)), split="val", unknown=((0, 1, 2), ()))
    kept = usable_samples([train, val], ["train_2"])
    assert [ids(dataset) for dataset in kept] == [["train_0"], ["val_0", "val_1"]]
    assert [ids(dataset) for dataset in usable_samples([train, val], ["val_0", "val_1"])] == [["train_0", "train_2"]]
    assert ids(train) == ["train_0", "train_1", "train_2"]
    assert np.array_equal(train.samples[0].tags, [1, 0, 0])


@pytest.mark.slow
def test_a_check_ends_with_time_and_memory_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(tmp_path / "photos")
    words = ["check", "folder", "--data.root", str(tmp_path / "photos"), "--out", str(tmp_path / "run"), *TINY]
    assert main(words) == 0
    checked, estimated = capsys.readouterr().out.split("how long it takes here")
    assert "can start with" in checked
    lines = estimated.splitlines()
    assert lines[-1].startswith("Stop at any time: the same command goes on")
    assert any(line.startswith("total ") and line.endswith("GB") for line in lines)
    assert not (tmp_path / "run").exists()
    assert main([*words, "--estimate", "false"]) == 0
    assert capsys.readouterr().out.rstrip() == checked.rstrip()


@pytest.mark.slow
def test_trials_that_cannot_begin_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forking = multiprocessing.get_context("fork")  # has imported torch already
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: forking)
    estimate = estimate_run(tiny_config("--runtime.device=cuda:9"), [make_dataset(tmp_path)])
    assert estimate.parts == ()
    assert "Nothing could be tried: runtime.device" in estimate.stopped


@pytest.mark.slow
def test_trials_that_do_not_start_in_time_are_ended(tmp_path: Path) -> None:
    estimate = estimate_run(tiny_config(), [make_dataset(tmp_path)], start_s=0.01)
    assert "no time to start" in estimate.stopped
    assert not any(name.startswith("weakseg-check-") for name in os.listdir(tmp_path))
