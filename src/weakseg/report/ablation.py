"""The report's section on what scales, flip and CRF add to the segmenter."""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.scoring.scores import AblationScore, Metrics, percent


@dataclass(frozen=True)
class AblationRow:
    """One way to predict as the cells of a table, all of them texts."""

    name: str
    detail: str
    mean_iou: str
    difference: str


@dataclass(frozen=True)
class AblationSection:
    """What the section shows.

    Args:
        lead: What was scored.
        rows: Each with what it adds to the row before.
    """

    lead: str
    rows: tuple[AblationRow, ...]


def build_ablation(metrics: Metrics) -> AblationSection | None:
    """Gather the section, or return None if nothing was left out."""
    scores = metrics.ablation
    if not scores:
        return None
    images = "1 image" if scores[0].images == 1 else f"{scores[0].images:,} images"
    return AblationSection(
        lead=f"Segmenter on {scores[0].split}, {images}, no tags given, no threshold. Each row adds to the one before.",
        rows=tuple(_row(score, before) for score, before in zip(scores, (None, *scores[:-1]), strict=True)),
    )


def _row(score: AblationScore, before: AblationScore | None) -> AblationRow:
    if before is None or before.mean_iou is None or score.mean_iou is None:
        gain = ""
    else:
        gain = f"{100 * (score.mean_iou - before.mean_iou):+.1f}"
    return AblationRow(score.name, score.detail, percent(score.mean_iou), gain)
