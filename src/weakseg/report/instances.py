"""The report's section on instances: average precision in the mean and per class."""

from __future__ import annotations

from weakseg.report.pictures import label_swatches
from weakseg.report.view import Bar, ClassColumn, ClassGroup, ClassRow, InstanceRow, InstanceSection
from weakseg.scoring.scores import InstanceScore, Metrics, percent

_COLUMNS = (
    ClassColumn("instances", "AP50", "IoU 0.5"),
    ClassColumn("instances", "AP75", "IoU 0.75"),
    ClassColumn("instances", "mAP", "IoU 0.5 to 0.95"),
)


def build_instance_section(metrics: Metrics) -> InstanceSection | None:
    """Gather the section, or return None if no instances were scored."""
    if not metrics.instances:
        return None
    classes = label_swatches(metrics.label_names)[1:]
    return InstanceSection(
        rows=tuple(_row(score) for score in metrics.instances),
        class_groups=tuple(ClassGroup(score.split, _COLUMNS) for score in metrics.instances),
        class_rows=tuple(
            ClassRow(swatch, tuple(_cells(score, key) for score in metrics.instances))
            for key, swatch in enumerate(classes)
        ),
    )


def describe_precision(score: InstanceScore) -> str:
    """Say what AP50 was measured on, and the two stricter numbers."""
    images = "1 image" if score.images == 1 else f"{score.images:,} images"
    objects = "1 object" if score.objects == 1 else f"{score.objects:,} objects"
    tags = "tags given" if score.given_tags else "no tags given"
    return (
        f"{score.split}, {images}, {objects}, {tags}, threshold {score.threshold:g} ({score.threshold_choice}); "
        f"AP75 {percent(score.mean_ap75)}, mAP {percent(score.mean_ap)}"
    )


def _row(score: InstanceScore) -> InstanceRow:
    return InstanceRow(
        split=score.split,
        ap50=percent(score.mean_ap50),
        ap75=percent(score.mean_ap75),
        mean_ap=percent(score.mean_ap),
        images=f"{score.images:,}",
        objects=f"{score.objects:,}",
        classes=f"{sum(count > 0 for count in score.support)} of {len(score.support)}",
        tags="given" if score.given_tags else "not given",
        threshold=f"{score.threshold:g} ({score.threshold_choice})",
    )


def _cells(score: InstanceScore, key: int) -> tuple[str, tuple[Bar, ...]]:
    bars = tuple(Bar.of("instances", values[key]) for values in (score.ap50, score.ap75, score.ap))
    return f"{score.support[key]:,}", bars
