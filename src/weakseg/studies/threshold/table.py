"""The tables of a study of thresholds: what each way to choose takes, and all curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weakseg.refine.threshold.choice import ThresholdChoice
from weakseg.scoring.scores import number
from weakseg.studies.table import Cell, Column, Table

ORACLE, FIXED = "oracle", "fixed"
"""Rows of the threshold that is best against the truth, and of the one that needs no data."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What a study of thresholds found.

    Args:
        method: The refinement.
        split: Whose truth is compared with.
        images: How many of its images have one.
        thresholds: (T,) all thresholds that were scored, ascending.
        mean_iou: (T,) mean IoU at each.
        choices: What each statistic chose on training images, by its name.
        fixed: The fixed threshold.
        judged: Number of training images that chose.
    """

    method: str
    split: str
    images: int
    thresholds: tuple[float, ...]
    mean_iou: NDArray[np.float64]
    choices: Mapping[str, ThresholdChoice]
    fixed: float
    judged: int

    @property
    def oracle(self) -> float:
        """The threshold with the largest mean IoU, the lowest of equals."""
        return self.thresholds[int(np.argmax(self.mean_iou))]

    def score(self, threshold: float) -> float:
        """Return the mean IoU at a threshold that was scored."""
        return float(self.mean_iou[self.thresholds.index(threshold)])


def make_table(found: Findings) -> Table:
    """Return one row per way to choose: oracle, fixed, and every statistic."""
    taken = {ORACLE: found.oracle, FIXED: found.fixed}
    taken |= {name: choice.threshold for name, choice in found.choices.items()}
    best, fixed = found.score(found.oracle), found.score(found.fixed)
    largest = {name: choice.best for name, choice in found.choices.items()}
    unclear = [name for name, choice in found.choices.items() if not choice.is_clear]
    notes = [
        f"oracle: the best of {len(found.thresholds)} thresholds against the truth of these very images; fixed: that "
        "of the recipe, or of the schema where the recipe says auto; all others are label-free, chosen on "
        f"{found.judged} tagged training images",
        "below oracle and above fixed are in points of mean IoU; largest at: where the statistic's average is largest, "
        "while the chosen threshold weighs it against how much of an image the masks take",
    ]
    if unclear:
        notes.append(f"cannot tell the candidates apart, so that the area alone decides: {', '.join(unclear)}")
    return Table(
        title=f"Background thresholds of refinement {found.method}: masks on {found.split}, {found.images} images, "
        "tags given",
        columns=(
            Column("way", "chosen by"),
            Column("threshold", "threshold", digits=2),
            Column("mean_iou", "mIoU %", percent=True),
            Column("below_oracle", "below oracle", percent=True),
            Column("above_fixed", "above fixed", percent=True),
            Column("largest_at", "largest at", digits=2),
        ),
        rows=tuple(
            (name, threshold, *(number(value) for value in (score, best - score, score - fixed)), largest.get(name))
            for name, threshold, score in ((name, value, found.score(value)) for name, value in taken.items())
        ),
        notes=tuple(notes),
    )


def make_details(found: Findings) -> Table:
    """Return one row per threshold: its mean IoU, and every statistic where it is a candidate."""
    return Table(
        title="Curves",
        columns=(
            Column("threshold", "threshold", digits=2),
            Column("mean_iou", "mIoU %", percent=True),
            *(Column(name.replace(" ", "_"), name, digits=3) for name in found.choices),
        ),
        rows=tuple(
            (
                threshold,
                number(found.score(threshold)),
                *(_find(choice, threshold) for choice in found.choices.values()),
            )
            for threshold in found.thresholds
        ),
        notes=(),
    )


def defined_curve(choice: ThresholdChoice) -> tuple[Sequence[float], Sequence[float]]:
    """Return the candidates at which a statistic is defined, and its averages."""
    pairs = [(at, value) for at, value in zip(choice.candidates, choice.curve, strict=True) if value is not None]
    return [at for at, _ in pairs], [value for _, value in pairs]


def _find(choice: ThresholdChoice, threshold: float) -> Cell:
    found = dict(zip(choice.candidates, choice.curve, strict=True))
    return found.get(threshold)
