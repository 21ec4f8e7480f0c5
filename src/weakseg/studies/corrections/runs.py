"""The runs of a study of corrections, each an ordinary run folder made by the ordinary stages.

    <root>/base/         the run that is corrected, with the study's settings
    <root>/person/<order>-<count>/corrections/
    <root>/<order>-<count>/   what learns from these
    <root>/all/          the segmenter taught by all true masks

Each takes over from `base`, and `base` from the run that the study was started on, what would come out the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weakseg.config.schema import RunConfig
from weakseg.data.base import Dataset
from weakseg.pipeline.context import Context
from weakseg.pipeline.corrections.begin import begin_learning, carry_over
from weakseg.pipeline.inputs import prepare
from weakseg.pipeline.records import read_records
from weakseg.pipeline.run_folder import RunFolder
from weakseg.pipeline.runner import run_stages
from weakseg.pipeline.stages import STAGES
from weakseg.pipeline.telling import format_duration
from weakseg.pipeline.threshold import mask_threshold
from weakseg.scoring.evaluate import EVALUATE
from weakseg.scoring.metrics_file import load_metrics
from weakseg.studies.corrections.person import correct_images
from weakseg.train.distributed import rank, wait_for_all

logger = logging.getLogger("weakseg")

SCORED = (*STAGES, EVALUATE)

TWIN = "all"
"""Stands for full supervision: all true masks instead of some corrected ones."""


@dataclass(frozen=True)
class Step:
    """One row of the study.

    Args:
        order: In which order images were corrected; empty where that makes no difference.
        count: How many; None for all, as the fully supervised twin has them.
    """

    order: str
    count: int | None

    @property
    def name(self) -> str:
        """Its run folder."""
        if self.count is None:
            return TWIN
        return f"{self.order}-{self.count}" if self.count else "base"


@dataclass(frozen=True)
class Learnt:
    """What came of a step.

    Args:
        step: The step.
        threshold: Background threshold of the masks; None for a refiner without.
        choice: How it was chosen.
        masks_val: Mean IoU of the masks of the validation split, where it has masks; nobody corrected those.
        masks_rest: Mean IoU of the masks of the training split that nobody has corrected.
        segmenter: Mean IoU of the segmenter on the validation split.
    """

    step: Step
    threshold: float | None
    choice: str
    masks_val: float | None
    masks_rest: float | None
    segmenter: float | None


def list_steps(orders: Sequence[str], counts: Sequence[int], *, with_twin: bool) -> list[Step]:
    """Return the rows: what is corrected nowhere first, then each order by its counts, then full supervision."""
    steps = [Step("", 0)]
    steps += [Step(order, count) for order in orders for count in counts if count]
    return [*steps, Step("", None)] if with_twin else steps


def make_base(config: RunConfig, root: Path, run: RunFolder) -> Context:
    """Make the run that is corrected, taking over what the given run has done with the same settings."""
    context = prepare(config, RunFolder(root / "base"))
    carry_over(run, context, STAGES)
    run_stages(context, SCORED)
    return context


def make_step(base: Context, root: Path, step: Step, images: Dataset, sample_ids: Sequence[str]) -> Context:
    """Make the run of a step.

    Args:
        base: The run that is corrected.
        root: Where the runs of the study are.
        step: The step.
        images: What can be corrected.
        sample_ids: The images in the order in which they are.
    """
    if step.count == 0:
        return base
    target = RunFolder(root / step.name)
    config = base.config
    if step.count is None:
        config = replace(config, segmenter=replace(config.segmenter, masks="truth"))
    else:
        person = RunFolder(root / "person" / step.name)
        if rank() == 0:
            correct_images(images, sample_ids[: step.count], person)
        wait_for_all()
        begin_learning(config, base.folder, target, corrections=person)
    context = prepare(config, target)
    carry_over(base.folder, context, STAGES)
    run_stages(context, SCORED)
    return context


def measure(context: Context, step: Step) -> Learnt:
    """Read what a finished run has scored."""
    metrics = load_metrics(context.folder.metrics)
    threshold = mask_threshold(context)
    val = None if context.val is None else context.val.split

    def find(subject: str, split: str | None) -> float | None:
        found = (score for score in metrics.scores if (score.subject, score.split) == (subject, split))
        score = next((score for score in found if not score.corrected), None)
        return None if score is None else score.mean_iou

    return Learnt(
        step=step,
        threshold=None if threshold is None else threshold.value,
        choice="none" if threshold is None else threshold.choice,
        masks_val=find("masks", val),
        masks_rest=find("masks", context.train.split),
        segmenter=find("segmenter", val),
    )


def tell_hours(config: RunConfig, root: Path, run: RunFolder, steps: Sequence[Step]) -> None:
    """Log how long the study will take, as long as the run's own stages took; steps that are finished do not count."""
    records = read_records(run)
    epochs = records["segment"].parts.get("segmenter.epochs") if "segment" in records else None
    longer = config.segmenter.epochs / epochs if isinstance(epochs, int) and epochs else 1.0
    times = {name: records[name].time_s for name in ("refine", "segment", "evaluate") if name in records}
    times["segment"] = longer * times.get("segment", 0.0)
    pending = [step for step in steps if not _is_finished(root, step)]
    if not pending:
        logger.info("all runs of the study are finished; nothing is to be made")
        return
    total_s = sum(sum(times.values()) - (times.get("refine", 0.0) if step.count is None else 0.0) for step in pending)
    logger.info(
        "about %s in all (%.1f h) at most: %d runs of %s, as the stages of %s took (masks that stay the same take no "
        "time); stop at any time: the same command goes on where it was",
        format_duration(total_s),
        total_s / 3600,
        len(pending),
        ", ".join(f"{name} {format_duration(time_s)}" for name, time_s in times.items()),
        run.root,
    )


def _is_finished(root: Path, step: Step) -> bool:
    record = read_records(RunFolder(root / step.name)).get(EVALUATE.name)
    return record is not None and record.finished
