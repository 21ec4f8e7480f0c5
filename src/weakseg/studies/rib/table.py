"""Scoring the passes of a study of RIB, and the table of it: one row for CAM and one per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.localize.rib import RIBConfig
from weakseg.ops.metrics import SweepResult, ThresholdSweep
from weakseg.pipeline.artifacts import load_seed
from weakseg.pipeline.telling import show_progress
from weakseg.scoring.scores import number
from weakseg.scoring.truth import read_truth
from weakseg.studies.rib.passes import Adapted, Pass
from weakseg.studies.rib.values import Sweep
from weakseg.studies.table import Cell, Column, Table

CAM = "CAM"
"""Names the row of the classifier that is not adapted."""

STOP_REASONS = ("completed", "logit", "area", "diverged")
"""Why adaptations end, see `weakseg.localize.rib.StopReason`; columns of the table."""

COLUMNS = (
    Column("mean_iou", "mIoU %", percent=True),
    Column("oracle_threshold", "oracle thr.", digits=2),
    Column("precision", "prec. %", percent=True),
    Column("recall", "recall %", percent=True),
    Column("iterations", "iter."),
    *(Column(reason, f"{reason} %", digits=0, percent=True, only_if_any=True) for reason in STOP_REASONS),
    Column("seconds_per_image", "s/image", digits=2, is_time=True),
)
"""All columns but the first, which holds the values."""


@dataclass(frozen=True)
class Row:
    """One row to be scored.

    Args:
        text: Its value, or `CAM`.
        source: The pass that has its maps.
        limit: Looks at every adaptation after this many iterations, or at its end if that came first; None looks at
            the end.
    """

    text: str
    source: Pass
    limit: int | None = None

    def iterations(self, adapted: Adapted) -> int:
        """Return how many iterations this row sees of an adaptation."""
        return adapted.iterations if self.limit is None else min(self.limit, adapted.iterations)

    def stopped_by(self, adapted: Adapted) -> str | None:
        """Return what had ended an adaptation by then; one that nothing had ended yet has completed this row's K."""
        is_over = self.limit is None or self.limit >= adapted.iterations
        return adapted.stopped_by if is_over else "completed"

    def time_s(self, adapted: Adapted) -> float:
        """Return the seconds until then."""
        seen = self.iterations(adapted)
        return adapted.time_s if self.limit is None or seen == 0 else adapted.trace_times_s[seen - 1]


def make_table(chosen: Dataset, rows: Sequence[Row], sweep: Sweep, config: RunConfig, *, faults: set[str]) -> Table:
    """Score the maps of every row against the truth.

    Args:
        chosen: The images.
        rows: The rows; all their passes are finished.
        sweep: What the rows vary.
        config: All other settings.
        faults: See `read_truth`.
    """
    steps = config.evaluate.threshold_steps
    thresholds = np.arange(steps) / steps
    counts = [ThresholdSweep(chosen.classes.num_labels, thresholds) for _ in rows]
    adapted: list[list[Adapted]] = [[] for _ in rows]
    with show_progress("scoring") as tick:
        for done, sample in enumerate(chosen, start=1):
            truth = None
            for row, tally, seen in zip(rows, counts, adapted, strict=True):
                how = row.source.load(sample.id)
                maps = load_seed(row.source.seed(row.iterations(how), sample.id))
                truth = read_truth(chosen, sample, maps.size_hw, faults) if truth is None else truth
                if truth is not None:
                    tally.update(maps.full().numpy(), maps.keys, truth)
                seen.append(how)
            tick(done, len(chosen))
    return Table(
        title=f"RIB over {sweep.name}: seeds on {chosen.split}, {len(chosen)} images, tags given, oracle thresholds",
        columns=(Column("value", sweep.name), *COLUMNS),
        rows=tuple(
            (row.text, *_score_cells(tally.result()), *_adaptation_cells(row, seen))
            for row, tally, seen in zip(rows, counts, adapted, strict=True)
        ),
        notes=_make_notes(chosen, sweep, config.localize.rib),
    )


def _score_cells(result: SweepResult) -> tuple[Cell, ...]:
    best = result.best_index
    values = (result.mean_iou, result.thresholds, result.precision, result.recall)
    return tuple(number(float(value[best])) for value in values)


def _adaptation_cells(row: Row, seen: Sequence[Adapted]) -> tuple[Cell, ...]:
    # The median passes over the first image, which also pays for everything that torch does only once.
    time_s = round(float(np.median([row.time_s(how) for how in seen])), 4)
    if row.text == CAM:
        return (None, *(None for _ in STOP_REASONS), time_s)
    reasons = Counter(row.stopped_by(how) for how in seen)
    shares = (round(reasons[reason] / len(seen), 6) for reason in STOP_REASONS)
    return (round(float(np.mean([row.iterations(how) for how in seen])), 6), *shares, time_s)


def _make_notes(chosen: Dataset, sweep: Sweep, rib: RIBConfig) -> tuple[str, ...]:
    fixed = {
        "iterations": rib.iterations,
        "learning_rate": rib.learning_rate,
        "pooling": rib.pooling,
        "threshold": rib.threshold,
        "logit_stop": rib.logit_stop,
        "variant": rib.variant,
        "partners": f"{rib.partners} {rib.partner_draws}",
    }
    varied = sweep.setting.rpartition(".")[2]
    own = fixed.pop(varied)
    notes = [
        f"{chosen.name} {chosen.split}; precision and recall are those of the foreground at the oracle threshold",
        f"{sweep.name} is {sweep.setting}, {own} in the recipe; "
        + ", ".join(f"{name} {value}" for name, value in fixed.items()),
    ]
    if sweep.name == "K":
        notes.append(
            f"all rows come from one adaptation of {rib.iterations} iterations, over which the learning rate decays; "
            "one of fewer iterations would decay faster"
        )
        notes.append("a rule that ended an adaptation after n iterations counts from K = n on")
    return tuple(notes)
