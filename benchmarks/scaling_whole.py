"""How a run of 100,000 tiny images starts, and what it takes as a whole.

Claims: a command starts in 20 s and 1 GB; memory does not grow with the number of images beyond what their names take;
the run ends. The images, the network and the settings are those of `scaling.py`.

    python benchmarks/scaling_whole.py --starts 100000        # only how long commands take to start; minutes
    python benchmarks/scaling_whole.py --whole 100000         # one run, two processes; an hour

Prints what was measured as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scaling import MIB, ONE_THREAD, SETTINGS, Command, draw_images, measure

BLOCK_BYTES = 512
"""POSIX counts what a file takes on the disk in these."""


@dataclass(frozen=True)
class Started:
    """How a run of so many images starts; it is stopped as soon as its first stage begins.

    Args:
        images: How many.
        first: The first command, which looks into every image.
        again: The same command later, which asks the file system whether they are as they were.
    """

    images: int
    first: Command
    again: Command


@dataclass(frozen=True)
class Whole:
    """What a run of so many images took from its start to its end, with two processes of a thread each.

    Args:
        images: How many.
        first: The whole run, images never seen before.
        again: The finished run once more.
        run_mib: What its folder takes on the disk, in MiB of 1,048,576 bytes.
        run_files: How many files and folders are in it.
    """

    images: int
    first: Command
    again: Command
    run_mib: int
    run_files: int


def measure_start(words: Sequence[str]) -> Command:
    """Run a command with one thread until its first stage begins, and measure it."""
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "weakseg", *words, "--log", "json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("{") and json.loads(line)["event"] == "stage":
            break
    else:
        sys.exit(f"weakseg {' '.join(words)} ended before its first stage: {told[-1:]}")
    seconds = round(time.monotonic() - started_s, 1)
    process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    cpu_s = round(usage.ru_utime + usage.ru_stime, 1)
    return Command(seconds, seconds, cpu_s, round(usage.ru_maxrss / MIB), {})


def measure_starts(root: Path, count: int) -> Started:
    """Measure how a run of so many images starts."""
    photos, recipe = root / "photos", root / "scaling.yaml"
    draw_images(photos, count)
    recipe.write_text(SETTINGS)
    words = ["run", str(recipe), "--data.root", str(photos), "--out", str(root / "run")]
    return Started(count, measure_start(words), measure_start(words))


def measure_whole(root: Path, count: int) -> Whole:
    """Measure one run of so many images from its start to its end, and the finished run once more."""
    photos, run, recipe = root / "photos", root / "run", root / "scaling.yaml"
    draw_images(photos, count)
    recipe.write_text(SETTINGS)
    first = measure(["run", str(recipe), "--data.root", str(photos), "--out", str(run), "--processes", "2"])
    again = measure(["run", str(run)])
    sizes = [path.lstat().st_blocks * BLOCK_BYTES for path in run.rglob("*")]
    return Whole(count, first, again, round(sum(sizes) / MIB**2), len(sizes))


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, nargs="+", default=[], help="measure starts alone, for so many images")
    parser.add_argument("--whole", type=int, nargs="+", default=[], help="run so many images once")
    parser.add_argument("--work", type=Path, help="where images and runs go (default: a temporary folder)")
    args = parser.parse_args()
    if not (args.starts or args.whole):
        print("takes an hour and is not part of `make bench`; say --starts 100000 or --whole 100000")
    for counts, what in ((args.starts, measure_starts), (args.whole, measure_whole)):
        for count in counts:
            with tempfile.TemporaryDirectory(dir=args.work) as root:
                print(json.dumps(asdict(what(Path(root), count)), indent=1), flush=True)


if __name__ == "__main__":
    main()
