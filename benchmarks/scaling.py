"""Start-up, memory and throughput of a run, `predict` and `export` by the number of images: 1,000, 10,000.

Claims: time is linear in the number of images; two processes with a thread each are 1.5 times as fast as one. Images
are tiny and so is the network, so that what depends on neither shows.

    python benchmarks/scaling.py                              # 250 and 1,000: two minutes where nothing else runs
    python benchmarks/scaling.py --sizes 1000 10000           # ten minutes
    python benchmarks/scaling.py --work /dev/shm              # files in memory: what the disk does not take

Every command is a process of its own, as a user starts it. Seconds of the stages are those of `run.json`; start-up is
the time from the start of the process to its first stage. Only what stands in one table is comparable: other work on
the machine slows all of it down. `scaling_whole.py` starts and runs 100,000 images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 32
NAMES_PER_FOLDER = 1000
RESULTS = Path(__file__).parent / "results" / "scaling.json"
MIB = 1024
"""Linux tells the largest size of a process in units of 1024 bytes."""

SETTINGS = """
data: {name: folder, max_side_px: null, val_fraction: 0.2}
classifier:
  name: critter
  weights: none
  fixed_norm: true
  epochs: 1
  batch_size: 50
  augment: {long_side_px: [32, 40], crop_px: 32, flip: true, colour: 0.1}
  optim: {schedule: one_cycle, learning_rate: 0.002, head_multiplier: 1.0, momentum: 0.9}
localize: {scales: [1.0], splits: [train, val]}
refine: {method: crf, background_threshold: 0.1}
segmenter:
  name: critter
  weights: classifier
  aspp_rates: [1, 2]
  fixed_norm: true
  epochs: 1
  batch_size: 50
  augment: {long_side_px: [32, 40], crop_px: 32, flip: true, colour: 0.1}
  optim: {schedule: poly, learning_rate: 0.002, head_multiplier: 5.0, momentum: 0.9}
evaluate: {threshold_steps: 5}
report: {gallery_images: 1}
runtime: {workers: 0, device: cpu, save_every_s: null, validate: last}
"""

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

STAGES = ("classify", "localize", "refine", "segment", "evaluate", "report")
SHARED = ("localize", "refine", "evaluate", "predict", "export")
"""What several processes share."""


@dataclass(frozen=True)
class Command:
    """What one command took.

    Args:
        seconds: From its start to its end.
        start_s: From its start to its first stage; None for commands without stages.
        cpu_s: Seconds of all cores that it and its processes used; other work on the machine changes it least.
        peak_mib: The largest of its processes.
        stages: Seconds of each stage, by its name.
    """

    seconds: float
    start_s: float | None
    cpu_s: float
    peak_mib: float
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Sized:
    """What was measured with so many images.

    Args:
        images: How many.
        first: The whole run, one process, images never seen before.
        again: The finished run once more: what it takes to see that nothing is left to do.
        two: A whole run, two processes; in a folder of its own, since removing old files takes a while.
        predict: `predict` of all images, by the number of processes.
        export: `export --to coco` of all masks, by the number of processes.
    """

    images: int
    first: Command
    again: Command
    two: Command
    predict: Mapping[int, Command]
    export: Mapping[int, Command]

    def seconds(self, what: str, processes: int) -> float:
        """Return what one of `SHARED` took."""
        if what in ("predict", "export"):
            return (self.predict if what == "predict" else self.export)[processes].seconds
        return (self.first if processes == 1 else self.two).stages[what]


CPU_OF: dict[str, Callable[[Sized], Command]] = {
    "run": lambda found: found.first,
    "predict": lambda found: found.predict[1],
    "predict, two": lambda found: found.predict[2],
    "export": lambda found: found.export[1],
    "export, two": lambda found: found.export[2],
}
"""Whose CPU time is shown."""


def draw_images(root: Path, count: int) -> None:
    """Write tiny pictures, every second one brighter and tagged so."""
    rng = np.random.default_rng(0)
    rows = ["image,tags"]
    for number in range(count):
        name = f"{number // NAMES_PER_FOLDER:04}/{number:07}.png"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (SIDE_PX, SIDE_PX, 3), np.uint8) + np.uint8(100 * (number % 2))
        Image.fromarray(pixels).save(path, compress_level=1)
        rows.append(f"{name},{('dark', 'bright')[number % 2]}")
    (root / "tags.csv").write_text("\n".join(rows) + "\n")


def measure(words: Sequence[str]) -> Command:
    """Run a command with one thread and measure it."""
    started_s, started = time.monotonic(), time.time()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "weakseg", *words, "--log", "json"],
            stdout=subprocess.DEVNULL,
            stderr=told,
            env=ONE_THREAD,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started_s
        told.seek(0)
        events = [json.loads(line) for line in told if line.startswith("{")]
    if process.returncode:
        sys.exit(f"weakseg {' '.join(words)} ended with {process.returncode}: {events[-1:]}")
    stages = [event for event in events if event["event"] == "stage"]
    # Events have whole seconds.
    start_s = datetime.fromisoformat(stages[0]["time"]).timestamp() - started if stages else None
    finished = {event["stage"]: event["seconds"] for event in stages if event["state"] == "finished"}
    return Command(
        seconds=round(seconds, 1),
        start_s=None if start_s is None else round(max(0.0, start_s), 1),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 1),
        peak_mib=round(usage.ru_maxrss / MIB),
        stages=finished,
    )


def measure_size(root: Path, count: int) -> Sized:
    """Measure all commands with so many images."""
    photos, run = root / "photos", root / "run"
    draw_images(photos, count)
    recipe = root / "scaling.yaml"
    recipe.write_text(SETTINGS)
    words = ["run", str(recipe), "--data.root", str(photos), "--out", str(run)]
    first = measure(words)
    again = measure(["run", str(run)])
    export = {1: measure(["export", str(run), "--to", "coco", "--split", "all"])}
    export[2] = measure(["export", str(run), "--to", "coco", "--split", "all", "--processes", "2"])
    predict = {}
    for processes in (1, 2):
        out = ["--out", str(root / f"out{processes}"), "--outputs", "mask,summary", "--device", "cpu"]
        predict[processes] = measure(["predict", str(run), str(photos), *out, "--processes", str(processes)])
    two = measure([*words[:-1], str(root / "run2"), "--processes", "2"])
    return Sized(count, first, again, two, predict, export)


def slope_s(sizes: Sequence[Sized], what: str, processes: int) -> float:
    """Return seconds per further image, from the smallest to the largest size."""
    first, last = sizes[0], sizes[-1]
    return (last.seconds(what, processes) - first.seconds(what, processes)) / (last.images - first.images)


def print_tables(sizes: Sequence[Sized]) -> None:
    """Print what was measured, and what follows from it."""
    print(f"{'images':>9}{'first start':>13}{'next start':>12}{'its CPU':>10}{'its MiB':>9}{'peak MiB':>10}")
    for found in sizes:
        print(
            f"{found.images:>9,}{found.first.start_s:>11} s{found.again.start_s:>10} s{found.again.cpu_s:>8} s"
            f"{found.again.peak_mib:>9}{found.first.peak_mib:>10}"
        )
    print(f"\n{'ms an image':<14}" + "".join(f"{found.images:>10,}" for found in sizes))
    for stage in STAGES:
        cells = [f"{1000 * found.first.stages[stage] / found.images:>10.2f}" for found in sizes]
        print(f"{stage:<14}{''.join(cells)}")
    for what in ("predict", "export"):
        cells = [f"{1000 * found.seconds(what, 1) / found.images:>10.2f}" for found in sizes]
        print(f"{what:<14}{''.join(cells)}")
    print(f"\n{'CPU ms an image':<16}" + "".join(f"{found.images:>10,}" for found in sizes))
    for what, pick in CPU_OF.items():
        print(f"{what:<16}" + "".join(f"{1000 * pick(found).cpu_s / found.images:>10.2f}" for found in sizes))
    if len(sizes) > 1:
        print(f"\n{'further image':<14}{'one, ms':>10}{'two, ms':>10}{'efficiency':>12}")
        for what in SHARED:
            one, two = slope_s(sizes, what, 1), slope_s(sizes, what, 2)
            told = f"{one / (2 * two):>12.2f}" if two > 0 else f"{'-':>12}"
            print(f"{what:<14}{1000 * one:>10.2f}{1000 * two:>10.2f}{told}")
        print("Of what a size takes beyond the smallest one, so that the start of processes does not count.")


def main() -> None:
    """Measure each size and print tables; write what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[250, 1000], help="numbers of images (default: 250 1000)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"JSON to write (default: {RESULTS})")
    parser.add_argument("--work", type=Path, help="where images and runs go (default: a temporary folder)")
    args = parser.parse_args()
    found = []
    for count in sorted(args.sizes):
        with tempfile.TemporaryDirectory(dir=args.work) as root:
            found.append(measure_size(Path(root), count))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        document = {"cores": os.cpu_count(), "side_px": SIDE_PX, "sizes": [asdict(sized) for sized in found]}
        args.out.write_text(json.dumps(document, indent=1) + "\n")
        print(f"{count:,} images are measured", file=sys.stderr)
    print_tables(found)


if __name__ == "__main__":
    main()
