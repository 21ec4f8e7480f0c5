"""Kill runs at seeded moments on every engine, start them again, and compare their files with those of a whole run.

python benchmarks/faults.py --moments 20
python benchmarks/faults.py --moments 20 --engines processes parts

The moments are numbers of files a run has written, so that they fall into all stages. What is killed, with SIGKILL, is
the command, or with several processes one of them or the command, by turns. A start that takes longer than `TIMEOUT_S`
counts as hanging.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT_S = 300.0
"""No start of these tiny runs takes longer."""

MAX_STARTS = 200
"""A run that has not ended by then never will."""

RECIPE = """
data: {name: critters, critters: {images: 16, val_images: 8, size_px: 64}}
classifier:
  name: critter
  weights: none
  fixed_norm: true
  epochs: 3
  batch_size: 4
  augment: {long_side_px: [40, 72], crop_px: 64, flip: true, colour: 0.1}
  optim: {schedule: one_cycle, learning_rate: 0.002, head_multiplier: 1.0, momentum: 0.9}
localize: {scales: [1.0, 0.5], splits: [train, val]}
refine:
  method: irn
  background_threshold: 0.1
  irn:
    name: critter
    weights: classifier
    epochs: 2
    batch_size: 4
    augment: {long_side_px: [48, 64], crop_px: 48, flip: true, colour: 0.1}
    radius: 5
    pad_px: 64
    walk_doublings: 3
segmenter:
  name: critter
  weights: classifier
  aspp_rates: [1, 2]
  fixed_norm: true
  epochs: 3
  batch_size: 4
  augment: {long_side_px: [40, 72], crop_px: 64, flip: true, colour: 0.1}
  optim: {schedule: poly, learning_rate: 0.002, head_multiplier: 5.0, momentum: 0.9}
evaluate: {threshold_steps: 5}
report: {gallery_images: 1}
runtime: {workers: 0, device: cpu, save_every_s: 0}
"""

VARYING = ("run.json", "images.json", "report.html", "recipe.yaml", "weakseg.log")
"""Files that hold times, or the run's own place."""

Words = Sequence[str]


def plain(run: Path) -> list[list[str]]:
    """Return the commands of a run in one process."""
    return [[sys.executable, "-m", "weakseg", "run", str(run)]]


def in_processes(run: Path) -> list[list[str]]:
    """Return those of a run whose images two processes work on."""
    return [[*plain(run)[0], "--processes", "2"]]


def in_ray(run: Path) -> list[list[str]]:
    """Return those of a run whose images Ray's actors work on."""
    return [[*plain(run)[0], "--engine", "ray"]]


def under_torchrun(run: Path) -> list[list[str]]:
    """Return those of a run under `torchrun`, which starts lost processes again."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return [[*launcher, "--max-restarts=100", "-m", "weakseg", "run", str(run)]]


def in_parts(run: Path) -> list[list[str]]:
    """Return those of a run in three parts, one of which runs twice."""
    command = plain(run)[0]
    pair = [[*command, "--finish"], *([*command, "--part", f"{part}/3"] for part in (2, 1, 2, 3))]
    return [*pair * 5, [*command, "--finish"]]


ENGINES: dict[str, Callable[[Path], list[list[str]]]] = {
    "one": plain,
    "processes": in_processes,
    "torchrun": under_torchrun,
    "parts": in_parts,
    "ray": in_ray,
}


def count_files(run: Path) -> int:
    """Count the whole files of a run."""
    return sum(1 for _, _, names in os.walk(run) for name in names if not name.startswith("."))  # some vanish meanwhile


def read_files(run: Path) -> dict[str, bytes]:
    """Return the files that must be equal, by their names."""
    found = (path for path in run.rglob("*") if path.is_file() and path.name not in VARYING)
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found if not path.name.startswith(".")}


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, at any depth."""
    try:
        own = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*own, *(below for child in own for below in children(child))]


def start(words: Words) -> subprocess.Popen[bytes]:
    """Start a command with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(process: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
    """Wait until a process has ended or something has come about."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None and not until():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"hangs: {' '.join(map(str, process.args))}")
        time.sleep(0.005)


def run_whole(commands: Sequence[Words]) -> None:
    """Run commands to their end."""
    for words in commands:
        process = start(words)
        wait_for(process, lambda: False)
        if process.returncode:
            raise SystemExit(f"fails with {process.returncode}: {' '.join(words)}")


def run_killed(commands: Sequence[Words], run: Path, moments: list[int], draw: random.Random) -> list[str]:
    """Run commands, each until it ends well, and kill at each of the moments; returns what was killed when."""
    killed = []
    for words in commands:
        for _ in range(MAX_STARTS):
            process = start(words)
            while process.poll() is None:
                wait_for(process, lambda: bool(moments) and count_files(run) >= moments[0])
                if process.poll() is None:
                    victims = [process.pid, *children(process.pid)]
                    victim = draw.choice(victims) if len(killed) % 2 else process.pid
                    if "torch.distributed.run" in words and len(victims) > 1:
                        victim = draw.choice(victims[1:])
                    os.kill(victim, signal.SIGKILL)
                    killed.append(f"{moments.pop(0)}{'' if victim == process.pid else 'c'}")
            if process.returncode == 0:
                break
        else:
            raise SystemExit(f"does not end in {MAX_STARTS} starts: {' '.join(words)}")
    return killed


def main(words: Sequence[str]) -> int:
    """Try the engines; returns 1 if any file differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", nargs="+", default=["one", "processes", "torchrun", "parts"], choices=ENGINES)
    given = parser.parse_args(words)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "recipe.yaml").write_text(RECIPE)
        first = [sys.executable, "-m", "weakseg", "run", str(root / "recipe.yaml"), "--print_config"]
        recipe = subprocess.run(first, check=True, capture_output=True).stdout
        references: dict[bool, Path] = {}
        for name in given.engines:
            make = ENGINES[name]
            trains_together = name == "torchrun"  # whose networks differ from one process's by rounding
            if trains_together not in references:
                whole = references[trains_together] = root / f"whole-{name}" / "run"
                whole.mkdir(parents=True)
                (whole / "recipe.yaml").write_bytes(recipe)
                run_whole((under_torchrun if trains_together else plain)(whole))
            whole = references[trains_together]
            run = root / name / "run"
            run.mkdir(parents=True)
            (run / "recipe.yaml").write_bytes(recipe)
            draw = random.Random(f"{given.seed} {name}")
            moments = sorted(draw.sample(range(3, count_files(whole)), given.moments))
            started_s = time.monotonic()
            killed = run_killed(make(run), run, moments, draw)
            ours, theirs = read_files(run), read_files(whole)
            differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
            failed = failed or bool(differing)
            took_s = time.monotonic() - started_s
            told = "all files equal" if not differing else f"{len(differing)} files differ: {differing[:5]}"
            print(
                f"{name:<10} {len(killed)} killed in {took_s:.0f} s: {told}  (files then: {' '.join(killed)})",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
