"""The table a finished run prints on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.corrections.taught import comparing_command
from weakseg.pipeline.runtime import launched_rank
from weakseg.refine.health_words import MaskHealth
from weakseg.scoring.from_counts import NAN
from weakseg.scoring.metrics_file import load_metrics
from weakseg.scoring.scores import percent

MAX_PROBLEMS = 5
"""Classes whose troubles are printed; the report has all."""


def list_problems(health: MaskHealth | None) -> list[str]:
    """Say in closing what is wrong with the masks: a line per troubled class, the worst first, or one that says none.

    Args:
        health: What the evaluation found out; None for a run that was evaluated before there was that.
    """
    if health is None:
        return ["Problems: the masks were not judged when this run was evaluated; its report does that"]
    if not health.troubled:
        return [f"Problems: none seen in the masks, which is no proof ({health.describe()}, judged without truth)"]
    lines = [f"Problems: masks {health.describe()}, judged without truth"]
    for item in health.troubled[:MAX_PROBLEMS]:
        lines.append(f"  {item.describe()}")
    if len(health.troubled) > MAX_PROBLEMS:
        lines.append(f"  classes not named here: {len(health.troubled) - MAX_PROBLEMS}; the report has all")
    return lines


def print_summary(folder: RunFolder) -> None:
    """Print every score of a run with what it was measured on, and where the report is; stdout, rank 0 only."""
    if launched_rank() != 0:
        return
    console = Console(highlight=False)
    metrics = load_metrics(folder.metrics)
    if metrics.scores:
        table = Table(title=f"mean IoU in %, {metrics.dataset}", title_justify="left")
        for heading, justify in (("what", "left"), ("split", "left"), ("images", "right"), ("tags", "left")):
            table.add_column(heading, justify="right" if justify == "right" else "left")
        table.add_column("threshold")
        table.add_column("mIoU", justify="right")
        for score in metrics.scores:
            threshold = "–" if score.threshold is None else f"{score.threshold:g} ({score.threshold_choice})"
            tags = "given" if score.given_tags else "not given"
            row = (
                score.what,
                score.split,
                str(score.images),
                tags,
                threshold,
                percent(score.mean_iou, undefined=NAN),
            )
            table.add_row(*row)
        console.print(table)
    if metrics.compared:
        cam = metrics.compared[0].curve
        values = ", ".join(f"{seeds.name} {percent(seeds.curve.best_mean_iou)}" for seeds in metrics.compared)
        console.print(f"seeds of {cam.images} images of {cam.split} compared, tags given, oracle thresholds: {values}")
    for found in metrics.instances:
        console.print(
            f"{found.describe()}: AP50 {percent(found.mean_ap50)}, AP75 {percent(found.mean_ap75)}, "
            f"mAP {percent(found.mean_ap)}"
        )
    if metrics.ablation:
        values = ", ".join(f"{score.name} {percent(score.mean_iou)}" for score in metrics.ablation)
        first = metrics.ablation[0]
        console.print(f"segmenter on {first.split}, {first.images} images, no tags, mIoU step by step: {values}")
    classifier = metrics.classifier
    if classifier is not None and classifier.mean_average_precision is not None:
        console.print(
            f"classifier: mAP {percent(classifier.mean_average_precision)} on {classifier.split}, "
            f"{classifier.images} images, {classifier.describe_origin()}"
        )
    for note in metrics.notes:
        console.print(f"note: {note}")
    for line in list_problems(metrics.health):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"masks:  {folder.masks}", soft_wrap=True)
    console.print(f"report: {folder.report}", soft_wrap=True)
    command = comparing_command(folder)
    if command is not None:
        console.print(f"what the corrections have changed: {command}", markup=False, soft_wrap=True)
