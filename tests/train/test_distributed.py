import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.photos import TINY_IRN, TINY_RIB
from tests.train import two_ranks
from weakseg.cli import main
from weakseg.data.masks import read_mask
from weakseg.models.backbones import build_staged
from weakseg.pipeline.artifacts import RunFolder, load_seed, load_tensors
from weakseg.pipeline.threshold_file import load_choice
from weakseg.train.distributed import (
    average_gradients,
    rank,
    share_buffers,
    sum_over_ranks,
    tell_differences,
    tell_own_pairs,
    wait_for_all,
    world_size,
)

REPOSITORY = Path(__file__).parents[2]

RECIPE = """
data: {name: critters, critters: {images: 12, val_images: 4, size_px: 64}}
classifier:
  name: critter
  weights: none
  freeze_trunk: false
  fixed_norm: true
  epochs: 2
  batch_size: 4
  augment: {long_side_px: [40, 72], crop_px: 64, flip: true, colour: 0.1}
  optim: {schedule: one_cycle, learning_rate: 0.002, head_multiplier: 1.0, momentum: 0.9}
localize: {scales: [1.0], splits: [train, val]}
refine: {background_threshold: 0.08}
segmenter:
  name: critter
  weights: classifier
  aspp_rates: [1, 2]
  fixed_norm: true
  epochs: 2
  batch_size: 4
  augment: {long_side_px: [40, 72], crop_px: 64, flip: true, colour: 0.1}
  optim: {schedule: poly, learning_rate: 0.002, head_multiplier: 5.0, momentum: 0.9}
evaluate: {threshold_steps: 5}
report: {gallery_images: 1}
runtime: {workers: 0, device: cpu}
"""
"""Batch norm is fixed: its statistics would otherwise be those of each process's share of a batch."""


TIMEOUT_S = 400
"""Ends a command that hangs; a busy machine takes minutes where an idle one takes seconds."""

FORKS = multiprocessing.get_context("fork")

GLOO_ABORT = "terminate called without an active exception"


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        environment.pop(name, None)
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    """Start a module in two processes, as `torchrun` does."""
    command = ("torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", *words)
    with tempfile.TemporaryDirectory() as logs:  # the launcher leaves a folder of logs behind
        finished = run(*command, TMPDIR=logs)
        # On a busy machine gloo's threads now and then abort a process that has done its work and is ending (seen once
        # in dozens of starts, torch 2.13.0); that says nothing about what is tested here.
        return run(*command, TMPDIR=logs) if GLOO_ABORT in finished.stderr else finished


def be_rank(number: int, port: int, told: tuple[Path, Path], work: Callable[[], int | None]) -> None:
    """Do a process's share of the work; what it says goes to files."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ.update(shared, RANK=str(number), LOCAL_RANK=str(number))
    for stream, path in zip((1, 2), told, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))
    sys.exit(work())


def fork_ranks(work: Callable[[], int | None]) -> subprocess.CompletedProcess[str]:
    """Work in two forks of this process: it has imported torch, on which `torchrun`, tried below, spends seconds."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
        free.close()
        told = (Path(folder) / "out", Path(folder) / "err")
        forks = [FORKS.Process(target=be_rank, args=(number, port, told, work)) for number in range(2)]
        for fork in forks:
            fork.start()
        for fork in forks:
            fork.join(TIMEOUT_S)
            fork.kill()
            fork.join()
        code = next((fork.exitcode for fork in forks if fork.exitcode), 0)
        return subprocess.CompletedProcess((), code, *(path.read_text() for path in told))


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_one_process_is_rank_0_of_1() -> None:
    assert (rank(), world_size()) == (0, 1)
    wait_for_all()


def test_a_launchers_variables_alone_do_not_make_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (rank(), world_size()) == (0, 1)


def test_one_process_sums_to_a_copy() -> None:
    values = torch.tensor([1.0, 2.0])
    total = sum_over_ranks(values)
    total += 1
    assert values.tolist() == [1.0, 2.0]


def test_one_process_needs_no_wrapper_and_keeps_its_buffers() -> None:
    model = nn.BatchNorm2d(2)
    model.running_mean += 3
    assert average_gradients(model) is model
    share_buffers(model)
    assert model.running_mean.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("model", "told_of"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), ["batch norm"]),
        (nn.Sequential(nn.Dropout2d(0.5), nn.BatchNorm2d(4)), ["batch norm", "dropout"]),
        (nn.Sequential(nn.Dropout(0.0), nn.GroupNorm(2, 4)), []),
        (build_staged("critter", fixed_norm=True), []),
    ],
    ids=["norm", "both", "neither", "fixed norm"],
)
def test_what_makes_processes_differ_from_one_is_told(
    model: nn.Module, told_of: list[str], monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    model.train()
    tell_differences(model)
    assert told == [], "one process"
    monkeypatch.setattr("weakseg.train.distributed.world_size", lambda: 2)
    tell_differences(model)
    start = "2 processes end with a slightly different network than one would: "
    assert [line.removeprefix(start).split(",")[0] for line in told] == told_of


def test_pairs_of_each_process_are_told(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    tell_own_pairs()
    assert told == []
    monkeypatch.setattr("weakseg.train.distributed.world_size", lambda: 4)
    tell_own_pairs()
    assert told == [
        "4 processes end with a slightly different network than one would: a loss that each process averages over the "
        "pairs of pixels in its own images"
    ]


@pytest.mark.slow
def test_two_processes_agree_on_sums_buffers_losses_and_gradients() -> None:
    finished = fork_ranks(two_ranks.main)
    assert finished.returncode == 0, finished.stderr
    # The two write to one pipe, so their lines may run into each other.
    assert all(f"rank {number} agrees" in finished.stdout for number in range(2))


@pytest.mark.slow
def test_when_one_process_fails_its_line_is_all_that_both_say_and_the_launchers_last() -> None:
    finished = launch("tests.train.one_rank_fails")
    assert finished.returncode != 0
    line = "weakseg: image 'x' is damaged"
    own, launchers = finished.stderr.split("torch/distributed/elastic", 1)
    assert "Traceback" not in own
    assert [told for told in own.splitlines() if told.startswith("weakseg")] == [line], "the other process is silent"
    *_, last, rule = launchers.strip().splitlines()
    assert last.strip() == f"traceback : {line}"
    assert set(rule) == {"="}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("backbone", ["critter", "efficientnet_lite0"])
def test_two_processes_end_with_the_files_of_one(backbone: str, tmp_path: Path) -> None:
    """Float sums differ in their order: weights agree within rounding, masks and predictions to the last pixel."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE)
    words = (str(recipe), f"--data.root={tmp_path / 'data'}")
    if backbone != "critter":
        words = (*words, f"--classifier.name={backbone}", f"--segmenter.name={backbone}", "--classifier.weights=auto")
        words = (*words, "--classifier.epochs=1", "--segmenter.epochs=1")
    assert main(["run", *words, "--out", str(tmp_path / "one")]) == 0
    command = ("run", *words, "--out", str(tmp_path / "two"))
    together = launch("weakseg", *command) if backbone == "critter" else fork_ranks(partial(main, command))
    assert together.returncode == 0, together.stderr
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    assert files(one.root) == files(two.root)
    for kind in ("classifier", "segmenter"):
        mine, theirs = (load_tensors(folder.network(kind).model)[0] for folder in (one, two))
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-5, atol=1e-6)
    foreground = 0
    for path in sorted(one.masks.glob("*.png")):
        id = path.stem
        assert (read_mask(path) == read_mask(two.mask(id))).all(), id
        foreground += int(np.count_nonzero(read_mask(path)))
        seeds = load_seed(one.seed(id)), load_seed(two.seed(id))
        assert seeds[0].keys == seeds[1].keys
        torch.testing.assert_close(seeds[1].full(), seeds[0].full(), rtol=1e-4, atol=1e-4)
    assert foreground > 0
    for path in sorted(one.predictions.glob("*.png")):
        assert (read_mask(path) == read_mask(two.prediction(path.stem))).all(), path.stem
    assert together.stdout.count("mean IoU in %") == 1, "only one process prints the table"
    assert together.stderr.count("segment: done") == 1
    if backbone == "critter":  # skipping what is finished has nothing to do with networks
        again = fork_ranks(partial(main, ["run", str(two.root)]))
        assert again.stderr.count("finished before") == 6


@pytest.mark.slow
def test_two_processes_choose_the_threshold_of_one(tmp_path: Path) -> None:
    """From the same seeds, the choice and every mask are equal to the last byte."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE)
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    settings = ("--refine.background_threshold=auto", "--refine.confidence=true", "--refine.method=crf")
    words = (str(recipe), f"--data.root={tmp_path / 'data'}", *settings, "--out", str(one.root))
    assert main(["classify", *words]) == main(["localize", *words]) == 0
    shutil.copytree(one.root, two.root)
    assert main(["refine", str(one.root)]) == 0
    together = fork_ranks(partial(main, ["refine", str(two.root)]))
    assert together.returncode == 0, together.stderr
    assert load_choice(one.threshold).is_clear
    assert two.threshold.read_bytes() == one.threshold.read_bytes()
    for folder in ("masks", "confidence"):
        made = sorted((one.root / folder).iterdir())
        assert len(made) == 16
        for path in made:
            assert (two.root / folder / path.name).read_bytes() == path.read_bytes(), path
    assert files(one.root) == files(two.root)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_two_processes_share_out_adaptations_and_refinement(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE)
    words = ("run", str(recipe), f"--data.root={tmp_path / 'data'}", *TINY_RIB, *TINY_IRN)
    words = (*words, "--localize.compared_images=2", "--refine.irn.radius=3", "--refine.irn.augment.crop_px=32")
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    together = fork_ranks(partial(main, [*words, "--out", str(tmp_path / "two")]))
    assert together.returncode == 0, together.stderr
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    assert files(one.root) == files(two.root)
    assert len(list(one.labels.iterdir())) > 1
    for path in [*one.seeds.glob("*.npz"), *one.adaptations.rglob("*.npz")]:
        other = two.root / path.relative_to(one.root)
        torch.testing.assert_close(load_seed(other).full(), load_seed(path).full(), rtol=1e-3, atol=1e-3)
    # Each process averages IRN's losses over its own pairs (docs/irn.md), so masks may differ, not their sizes.
    for path in sorted(one.masks.glob("*.png")):
        assert read_mask(path).shape == read_mask(two.mask(path.stem)).shape
