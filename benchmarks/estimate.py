"""Compare what `weakseg check` says a recipe takes with what it took: the ratio of both, stage by stage.

python benchmarks/estimate.py folder --data.root photos --out runs/timed
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, as the command has it

from weakseg.arguments.requests import parse_recipe_words
from weakseg.chain import run_recipe
from weakseg.estimate.costs import total_time
from weakseg.estimate.process import estimate_run
from weakseg.estimate.text import render_estimate
from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.inputs import open_splits, prepare
from weakseg.pipeline.records import read_records
from weakseg.pipeline.telling import start_logging


def main(words: Sequence[str]) -> int:
    """Estimate, run, and print a line per stage."""
    request = parse_recipe_words("check", words)
    if request is None:
        return 0
    if RunFolder(request.out).state.exists():
        print(f"{request.out} has begun already; name another --out, so that every stage is timed", file=sys.stderr)
        return 1
    start_logging()
    with tempfile.TemporaryDirectory() as folder:
        open_splits(request.config.data, RunFolder(request.out))  # draws critters where they belong
        context = prepare(request.config, RunFolder(Path(folder) if request.config.data.root else request.out))
        estimate = estimate_run(request.config, [part for part in (context.train, context.val) if part is not None])
    print(render_estimate(estimate))
    run_recipe(request.config, request.out)
    records = read_records(RunFolder(request.out))
    print(f"{'stage':<10}{'estimated':>11}{'took':>9}{'ratio':>7}")
    for stage, record in records.items():
        told_s = total_time(estimate.of(stage))
        print(f"{stage:<10}{told_s:>9.1f} s{record.time_s:>7.1f} s{told_s / max(record.time_s, 0.1):>7.2f}")
    told_s, took_s = total_time(estimate.parts), sum(record.time_s for record in records.values())
    print(f"{'total':<10}{told_s:>9.1f} s{took_s:>7.1f} s{told_s / max(took_s, 0.1):>7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
