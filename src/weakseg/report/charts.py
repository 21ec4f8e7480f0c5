"""The report's charts with their titles, captions and legends: threshold curves and training curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weakseg.pipeline.artifacts import RunFolder
from weakseg.pipeline.networks import load_history
from weakseg.report.figures import Line, LineName, draw_epochs, draw_thresholds
from weakseg.scoring.scores import ComparedSeeds, Curve, Metrics, percent
from weakseg.train.loop import EpochRecord


@dataclass(frozen=True)
class Key:
    """One entry of a chart's legend.

    Args:
        text: What the mark means.
        mark: Style class of the mark: a line's name, `dot` or `rule`.
    """

    text: str
    mark: str


@dataclass(frozen=True)
class Chart:
    """A drawing and its words.

    Args:
        title: What is shown, and of what.
        caption: The numbers to take away.
        svg: The `<svg>` element, safe to be put into a page.
        keys: Its legend; empty if there is a single line.
    """

    title: str
    caption: str
    svg: str
    keys: tuple[Key, ...] = ()


def build_threshold_charts(metrics: Metrics) -> tuple[Chart, ...]:
    """Draw one chart per split whose seeds were swept."""
    return tuple(_threshold_chart(metrics, curve, f"threshold-{k}") for k, curve in enumerate(metrics.curves))


def build_comparison_chart(cam: ComparedSeeds, rib: ComparedSeeds) -> Chart:
    """Draw the mean IoU of CAM's and RIB's seeds of the same images over the background threshold."""
    parts = []
    for seeds in (cam, rib):
        best = seeds.curve.best_index
        if best is not None:
            parts.append(f"{seeds.name} {percent(seeds.curve.best_mean_iou)} at {seeds.curve.thresholds[best]:g}")
    caption = f"Best of all thresholds tried on this truth (oracle): {'; '.join(parts)}." if parts else "Undefined."
    svg = draw_thresholds(
        cam.curve.thresholds,
        [Line("main", rib.curve.mean_iou), Line("third", cam.curve.mean_iou, dashed=True)],
        best=rib.curve.best_index,
        chosen=None,
        key="comparison",
        label=f"Mean IoU of CAM and RIB in per cent over the background threshold. {caption}",
    )
    title = f"CAM and RIB seeds on {cam.curve.images} images of {cam.curve.split}, tags given"
    keys = (Key(f"{rib.name}, mean IoU", "main"), Key("CAM, mean IoU", "third"))
    return Chart(title, caption, svg, keys)


def build_training_charts(folder: RunFolder, metrics: Metrics) -> tuple[Chart, ...]:
    """Draw loss, mean average precision and learning rate of both networks from their histories, if they have any."""
    charts: list[Chart] = []
    score = metrics.classifier
    for kind in ("segmenter",) if score is None else ("classifier", "segmenter"):
        epochs = load_history(folder.network(kind))
        if not epochs:  # released, not trained here
            continue
        charts.append(_loss_chart(kind, epochs))
        # A single value, as with `runtime.validate` at `last`, is no curve; the table of scores has it.
        measured = sum(_precision(epoch) is not None for epoch in epochs)
        if score is not None and (measured > 1 or measured == len(epochs)):
            charts.append(_precision_chart(kind, epochs, f"{score.split}, {score.images} images"))
        charts.append(_rate_chart(kind, epochs))
    return tuple(charts)


def _threshold_chart(metrics: Metrics, curve: Curve, key: str) -> Chart:
    best = curve.best_index
    masks = metrics.find("masks", curve.split)
    chosen = None if masks is None else masks.threshold
    keys = [Key("mean IoU", "main"), Key("foreground precision", "second"), Key("foreground recall", "third")]
    caption = "No threshold has a defined mean IoU."
    if best is not None:
        caption = (
            f"Mean IoU of the seeds is {percent(curve.mean_iou[best])} at {curve.thresholds[best]:g}, "
            "the best of all tried on this truth (oracle)."
        )
        keys.append(Key(f"oracle, {curve.thresholds[best]:g}", "dot"))
    if masks is not None and chosen is not None:
        how = masks.threshold_choice
        caption += f" The masks made from them at {chosen:g} ({how}) reach {percent(masks.mean_iou)}."
        keys.append(Key(f"{how}, {chosen:g}", "rule"))
    svg = draw_thresholds(
        curve.thresholds,
        [
            Line("main", curve.mean_iou),
            Line("second", curve.precision, dashed=True),
            Line("third", curve.recall, dashed=True),
        ],
        best=best,
        chosen=chosen,
        key=key,
        label=f"Mean IoU, precision and recall in per cent over the background threshold. {caption}",
    )
    title = f"Seeds on {curve.split}, {curve.images} images, tags given"
    return Chart(title, caption, svg, tuple(keys))


def _loss_chart(kind: str, epochs: Sequence[EpochRecord]) -> Chart:
    caption = f"Mean over each epoch's steps; {epochs[-1].loss:.4f} in the last."
    return _epoch_chart(f"{kind.capitalize()}: loss", caption, [e.loss for e in epochs], "third", f"{kind}-loss")


def _rate_chart(kind: str, epochs: Sequence[EpochRecord]) -> Chart:
    values = [e.learning_rate for e in epochs]
    caption = "Learning rate of the backbone after each epoch."
    return _epoch_chart(f"{kind.capitalize()}: learning rate", caption, values, "second", f"{kind}-rate")


def _precision_chart(kind: str, epochs: Sequence[EpochRecord], where: str) -> Chart:
    values = [_precision(e) for e in epochs]
    defined = [(value, -k) for k, value in enumerate(values) if value is not None]
    best, place = max(defined)  # the earliest among equals
    caption = f"{percent(values[-1])} after the last epoch, {percent(best)} at best (epoch {1 - place})."
    title = f"{kind.capitalize()}: mAP on {where}"
    return _epoch_chart(title, caption, values, "main", f"{kind}-map", is_percent=True)


def _epoch_chart(
    title: str, caption: str, values: Sequence[float | None], name: LineName, key: str, *, is_percent: bool = False
) -> Chart:
    svg = draw_epochs(Line(name, values), percent=is_percent, key=key, label=f"{title}, per epoch. {caption}")
    return Chart(title, caption, svg)


def _precision(epoch: EpochRecord) -> float | None:
    value = epoch.metrics.get("map", math.nan)
    return None if math.isnan(value) else value
