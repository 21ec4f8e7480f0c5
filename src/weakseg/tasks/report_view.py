"""What the report says, as plain values: the template lays them out and decides nothing.

Texts are not escaped here; the template does that.
"""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.tasks.gallery import GalleryGroup
from weakseg.tasks.report_charts import Chart
from weakseg.tasks.report_comparison import Comparison
from weakseg.tasks.report_pictures import Swatch
from weakseg.tasks.scores import Subject


@dataclass(frozen=True)
class Fact:
    """A term and what holds of it."""

    term: str
    text: str


@dataclass(frozen=True)
class Card:
    """A headline number.

    Args:
        title: What was measured.
        value: The number.
        detail: Split, number of images, tags, threshold.
        kind: Style class: a subject, or `classifier`.
    """

    title: str
    value: str
    detail: str
    kind: str


@dataclass(frozen=True)
class ScoreRow:
    """One score as the cells of a table, all of them texts."""

    kind: Subject
    subject: str
    split: str
    images: str
    tags: str
    threshold: str
    mean_iou: str
    labels: str
    pixel_accuracy: str


@dataclass(frozen=True)
class ClassColumn:
    """The per-class IoU of one score.

    Args:
        kind: Style class.
        title: Subject.
        detail: Number of images, tags, threshold.
    """

    kind: Subject
    title: str
    detail: str


@dataclass(frozen=True)
class ClassGroup:
    """Scores on the same truth: one column for its pixels and one for each score."""

    split: str
    columns: tuple[ClassColumn, ...]


@dataclass(frozen=True)
class Bar:
    """A percentage as text and as the length of a bar, 0..100; without a bar where it is undefined."""

    kind: Subject
    text: str
    length: float | None


@dataclass(frozen=True)
class ClassRow:
    """One label.

    Args:
        swatch: Its name and colour.
        cells: Per group the truth pixels, then the bars.
    """

    swatch: Swatch
    cells: tuple[tuple[str, tuple[Bar, ...]], ...]


@dataclass(frozen=True)
class ProblemGroup:
    """Problems of one kind.

    Args:
        severity: `error`, `warning` or `note`.
        kind: The reader's word for it.
        count: How many there are.
        examples: The first ones in full.
        more: How many are not quoted.
    """

    severity: str
    kind: str
    count: int
    examples: tuple[str, ...]
    more: int


@dataclass(frozen=True)
class Report:
    """Everything the template needs, in the order of the page."""

    title: str
    lead: str
    cards: tuple[Card, ...]
    facts: tuple[Fact, ...]
    scores: tuple[ScoreRow, ...]
    choices: tuple[Fact, ...]
    notes: tuple[str, ...]
    class_groups: tuple[ClassGroup, ...]
    class_rows: tuple[ClassRow, ...]
    threshold_charts: tuple[Chart, ...]
    comparison: Comparison | None
    training_charts: tuple[Chart, ...]
    gallery: tuple[GalleryGroup, ...]
    legend: tuple[Swatch, ...]
    heat_stops: tuple[str, ...]
    problems: tuple[ProblemGroup, ...]
    recipe: str
