"""The whole chain on a handful of tiny images: every reader, resumption after a kill, and what users see."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.photos import TINY, TINY_CRITTERS, TINY_IRN, TINY_RIB, make_photos
from tests.run_files import assert_equal_runs, normalised, read_files
from tests.train.test_distributed import fork_ranks
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.pipeline import processes
from weakseg.pipeline.artifacts import save_mask

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

FORKS = multiprocessing.get_context("fork")

COMPARING = (*(word for word in TINY_RIB if "method" not in word), "--localize.compared_images=2")
FEWER = (*TINY_CRITTERS, "--data.critters.images=8")
CRITTERS = ("run", "demo", *FEWER, *TINY, *COMPARING, *TINY_IRN, "--runtime.save_every_s=0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run_a"
    assert main([*CRITTERS, "--out", str(run)]) == 0
    return run


def test_the_chain_leaves_everything_a_user_looks_for(finished: Path) -> None:
    state = json.loads((finished / "run.json").read_text())
    assert sorted(state["stages"]) == ["classify", "evaluate", "localize", "refine", "report", "segment"]
    assert all(stage["finished"] for stage in state["stages"].values())
    assert len(list((finished / "seeds").glob("*.npz"))) == 13
    assert len(list((finished / "adaptations").rglob("*.npz"))) == 2 * 3  # two images after 0, 2 and 3 iterations
    assert len(list((finished / "labels").glob("*.png"))) == 8
    assert len(list((finished / "masks").glob("*.png"))) == 13
    assert len(list((finished / "instances").glob("*.npz"))) == 13
    assert len(list((finished / "predictions").glob("*.png"))) == 5
    metrics = json.loads((finished / "metrics.json").read_text())
    told = [
        (score["subject"], score["split"], score["images"], score["threshold_choice"]) for score in metrics["scores"]
    ]
    assert told == [
        ("seeds", "train", 8, "oracle"),
        ("masks", "train", 8, "fixed"),
        ("seeds", "val", 5, "oracle"),
        ("masks", "val", 5, "fixed"),
        ("segmenter", "val", 5, "none"),
    ]
    assert (finished / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(finished.rglob("*.partial"))
    assert not list(finished.rglob("checkpoint*"))


def test_no_file_of_a_run_is_a_pickle(finished: Path) -> None:
    for name, content in read_files(finished).items():
        assert not content.startswith(b"\x80"), name  # the first byte of a pickle, protocol 2 or later
        assert b"data.pkl" not in content, name  # torch.save


def test_a_finished_run_is_skipped_and_left_as_it_is(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "masks").iterdir()}
    assert main(["run", str(finished)]) == 0
    assert capsys.readouterr().err.count("finished before") == 6
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "masks").iterdir()}


def test_another_run_of_the_same_recipe_is_equal_to_the_last_byte(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run_b"
    assert main([*CRITTERS, "--out", str(run), "--data.root", str(finished / "data"), "--runtime.workers=2"]) == 0
    theirs = {name: content for name, content in normalised(run).items() if name != "recipe.yaml"}
    for name, content in theirs.items():
        if name != "report.html":  # shows the recipe, in which data.root and workers differ
            assert content == normalised(finished)[name], name


def test_a_changed_setting_stops_the_run_until_redo(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert main(["run", str(run), "--refine.background_threshold=0.5"]) == 1
    assert "refine.background_threshold was 0.06, is 0.5; add --redo refine" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["run", str(run), "--refine.background_threshold=0.5", "--redo", "refine"]) == 0
    told = capsys.readouterr().err
    assert "localize: finished before" in told
    assert "refine: started" in told
    assert "segment: started" in told
    assert main(["compare", str(finished), str(run), "--top", "3"]) == 0
    text = capsys.readouterr().out
    assert f"A: {finished}\nB: {run}\n" in text
    assert "  refine.background_threshold  0.06  0.5\n" in text
    assert main(["compare", str(finished), str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["second"] == {"is_evaluated": True, "path": str(run)}
    edited = min((run / "masks").glob("*.png"))
    save_mask(edited, np.full_like(read_mask(edited), 1))
    assert main(["report", str(finished), str(run), "--images", "1"]) == 0
    page = (run / "compared_with_run_a.html").read_text()
    assert page.count("B: pseudo mask</figcaption>") == 1
    assert f"B: pseudo mask of {edited.stem}" in page


KILL_WHEN = [
    lambda run: len(list((run / "data").rglob("*.xml"))) >= 3,
    lambda run: (run / "classifier" / "checkpoint.safetensors").exists(),
    lambda run: len(list((run / "seeds").glob("*.npz"))) >= 4,
    lambda run: (run / "adaptations").exists(),
    lambda run: len(list((run / "labels").glob("*.png"))) >= 2,
    lambda run: (run / "refiner" / "checkpoint.safetensors").exists(),
    lambda run: len(list((run / "masks").glob("*.png"))) >= 2,
    lambda run: (run / "segmenter" / "checkpoint.safetensors").exists(),
    lambda run: (run / "predictions").exists(),
]
"""Moments within each stage, in order; a run too fast to be caught at one is killed a little later."""


@pytest.mark.parametrize("engine", [(), ("--processes", "2")], ids=["one process", "processes"])
def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_files(
    engine: tuple[str, ...], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "START_METHOD", "fork")
    run = tmp_path / "run_a"
    words = [*CRITTERS, *engine, "--out", str(run)]
    killed = 0
    for moment in KILL_WHEN:
        process = FORKS.Process(target=main, args=(words,))  # has imported torch already
        process.start()
        while process.is_alive() and not moment(run):
            time.sleep(0.002)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 4  # the last moments may fall after the end
    assert main(words) == 0
    assert_equal_runs(run, finished)


def test_parts_of_images_end_with_the_same_files(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run_a"
    assert main([*CRITTERS, "--out", str(run), "--finish"]) == 0
    for job in ("localizing", "finding labels to learn from", "refining", "predicting"):
        assert f"images are to be worked on ({job})" in capsys.readouterr().err
        assert main(["run", str(run), "--part", "2/3"]) == 0
        twice = [FORKS.Process(target=main, args=(["run", str(run), "--part", "1/3"],)) for _ in range(2)]
        for process in twice:
            process.start()
        for process in twice:
            process.join()
        assert [process.exitcode for process in twice] == [0, 0]
        assert main(["run", str(run), "--finish"]) == 1, "a part has never run"
        assert "of 3 parts, those that have not ended: 3" in capsys.readouterr().err
        lost = FORKS.Process(target=main, args=(["run", str(run), "--part", "3/3"],))
        lost.start()
        lost.kill()
        lost.join()
        assert main(["run", str(run), "--part", "3/3"]) == 0
        assert main(["run", str(run), "--finish"]) == 0
    assert_equal_runs(run, finished)
    assert main(["run", str(run), "--part", "3/3"]) == main(["run", str(run), "--finish"]) == 0
    assert "nothing is handed out, since all is finished" in capsys.readouterr().err


def test_parts_are_only_of_what_is_handed_out(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run_a"
    shutil.copytree(finished, run)
    (run / "masks" / "val_00001.png").unlink()
    assert main(["refine", str(run), "--redo", "refine", "--finish"]) == 0
    assert main(["localize", str(run), "--part", "1/2"]) == 0
    assert main(["evaluate", str(run), "--part", "1/2"]) == 1
    assert f"no images are handed out in {run}; run 'weakseg evaluate {run} --finish' first" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize("stage", ["localize", "evaluate"])
def test_a_lost_rank_costs_the_images_in_hand(stage: str, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run_a"
    shutil.copytree(finished, run)
    folder = run / ("seeds" if stage == "localize" else "predictions")
    words = [stage, str(run), "--redo", stage]
    assert fork_ranks(partial(lose_rank, words, folder)).returncode != 0
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*")}
    assert len(kept) >= 2
    finished_again = fork_ranks(partial(main, words[:2]))
    assert finished_again.returncode == 0, finished_again.stderr
    assert kept == {path: path.stat().st_mtime_ns for path in kept}, "what was done is not done again"
    for path in (finished / folder.name).iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def lose_rank(words: list[str], folder: Path) -> int:
    """Do a rank's share; the second of two is lost when the old files have gone and there are two new ones."""

    def watch() -> None:
        for is_reached in (lambda files: files == 0, lambda files: files >= 2):
            while not is_reached(len(list(folder.glob("[!.]*")))):
                time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    if os.environ["RANK"] == "1":
        threading.Thread(target=watch, daemon=True).start()
    return main(words)


def test_a_run_keeps_a_log_and_tells_programs(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(r"^\S+ info    segment: done in .*$", (finished / "weakseg.log").read_text(), re.MULTILINE)
    assert json.loads((finished / "run.json").read_text())["format"] == 1
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    assert main(["run", str(run), "--redo", "evaluate", "--log", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    states = [(event["stage"], event["state"]) for event in events if event["event"] == "stage"]
    redone = [("evaluate", "started"), ("evaluate", "finished"), ("report", "started"), ("report", "finished")]
    assert states == [*((name, "skipped") for name in ("classify", "localize", "refine", "segment")), *redone]
    done = [event for event in events if event["event"] == "progress" and event["label"] == "predicting"]
    assert [(event["stage"], event["done"], event["total"]) for event in done] == [("evaluate", 5, 5)]
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("end", 0)


@pytest.mark.parametrize("draws", ["fresh", "pooled"])
def test_adapted_seeds_do_not_depend_on_where_a_run_was_interrupted(
    draws: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    settings = [str(run), *TINY_RIB, f"--localize.rib.partner_draws={draws}"]
    assert main(["localize", *settings, "--redo", "localize"]) == 0
    told = capsys.readouterr().err
    assert "rib seeds of 13 images; adaptations ended: " in told
    whole = {path.name: path.read_bytes() for path in (run / "seeds").iterdir()}
    plain = {path.name: path.read_bytes() for path in (finished / "seeds").iterdir()}
    assert whole.keys() == plain.keys()
    assert whole != plain
    for name in sorted(whole)[::2]:
        (run / "seeds" / name).unlink()
    assert main(["localize", *settings]) == 0
    assert {path.name: path.read_bytes() for path in (run / "seeds").iterdir()} == whole


def test_prediction_of_new_images_needs_only_the_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "new", tmp_path / "out"
    make_photos(photos, count=5)
    assert main(["predict", str(finished), str(photos), "--out", str(out)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4  # one of five is damaged
    mask = np.asarray(Image.open(out / "home" / "garden" / "photo 00.png"))
    assert mask.shape == (60, 80)
    assert mask.max() <= 6
    assert Image.open(out / "home" / "garden" / "photo 00_overlay.jpg").size == (80, 60)


@pytest.mark.parametrize("stage", ["classify", "localize", "refine", "segment", "evaluate", "report"])
def test_a_finished_stage_can_be_asked_for_by_name(
    stage: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([stage, str(finished)]) == 0
    assert f"{stage}: finished before" in capsys.readouterr().err
