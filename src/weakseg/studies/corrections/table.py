"""The table of a study of corrections: one row per order and number of corrected images."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.config.schema import RunConfig
from weakseg.scoring.scores import number
from weakseg.studies.corrections.runs import TWIN, Learnt
from weakseg.studies.table import Column, Table


def make_table(config: RunConfig, learnt: Sequence[Learnt], *, name: str, val: str, images: int) -> Table:
    """Summarise what came of every step.

    Args:
        config: The recipe.
        learnt: One per row, the run without corrections first.
        name: Name of the reader.
        val: Name of the validation split.
        images: Its number of images with a true mask.
    """
    base = learnt[0].segmenter
    return Table(
        title=f"corrections: mean IoU (%) after some masks of train were corrected; {name} {val}, {images} images",
        columns=(
            Column("order", "order"),
            Column("corrected", "corrected", digits=0),
            Column("segmenter", "segmenter", percent=True),
            Column("gain", "gain", percent=True),
            Column("masks_val", f"masks of {val}", percent=True),
            Column("masks_rest", "other masks of train", percent=True),
            Column("threshold", "threshold", digits=3),
            Column("choice", "chosen"),
        ),
        rows=tuple(
            (
                "full supervision" if one.step.count is None else one.step.order or "none",
                TWIN if one.step.count is None else str(one.step.count),
                one.segmenter,
                None if base is None or one.segmenter is None else number(one.segmenter - base),
                one.masks_val,
                one.masks_rest,
                one.threshold,
                one.choice,
            )
            for one in learnt
        ),
        notes=(
            f"one run each, seed {config.runtime.seed}: another seed moves a segmenter by points",
            "a simulated person gives the true masks of the first images of the queue (weakseg review), or of as many "
            "by chance; the larger numbers hold the smaller ones",
            "the segmenter sees no tags, masks do. Steps are as many in every row; a corrected image is drawn "
            f"{_times(config.segmenter.corrected_weight)}",
            f"{TWIN}: the segmenter is taught by all true masks (segmenter.masks truth); its masks are the first row's",
            "gain: the segmenter against the first row, in points",
        ),
    )


def _times(weight: int | str) -> str:
    if weight == "auto":
        return "as often as another, or 20 times as often where at least 10 are and most classes are in doubt"
    return "as often as another" if weight == 1 else f"{weight} times as often as another"
