"""What the report says, as plain values: the template lays them out and decides nothing.

Texts are not escaped here; the template does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weakseg.report.ablation import AblationSection
from weakseg.report.charts import Chart
from weakseg.report.comparison import Comparison
from weakseg.report.donors import DonorSection
from weakseg.report.gallery import GalleryGroup, Role
from weakseg.report.health import HealthSection
from weakseg.report.opening import Opening
from weakseg.report.pictures import Swatch
from weakseg.report.words import WORDS, Word
from weakseg.scoring.scores import Subject, percent

Kind = Subject | Literal["instances"]
"""Style class of what was scored."""


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
class CardGroup:
    """The headline numbers of one split.

    Args:
        role: Style class, too: what the networks have learned from, or not.
        heading: The split.
        note: What its images are to the networks.
        cards: The numbers.
    """

    role: Role
    heading: str
    note: str
    cards: tuple[Card, ...]


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
    """One number per class.

    Args:
        kind: Style class.
        title: What was measured.
        detail: How: number of images, tags and threshold of an IoU, the IoUs of an average precision.
    """

    kind: Kind
    title: str
    detail: str


@dataclass(frozen=True)
class ClassGroup:
    """Scores on the same truth: one column for its pixels or objects and one for each score."""

    split: str
    columns: tuple[ClassColumn, ...]


@dataclass(frozen=True)
class Bar:
    """A percentage as text and as the length of a bar, 0..100; without a bar where it is undefined."""

    kind: Kind
    text: str
    length: float | None

    @classmethod
    def of(cls, kind: Kind, value: float | None) -> Bar:
        """Return the bar of a fraction 0..1; None is undefined."""
        return cls(kind, percent(value), None if value is None else round(100 * value, 1))


@dataclass(frozen=True)
class ClassRow:
    """One label.

    Args:
        swatch: Its name and colour.
        cells: Per group the truth pixels or objects, then the bars.
    """

    swatch: Swatch
    cells: tuple[tuple[str, tuple[Bar, ...]], ...]


@dataclass(frozen=True)
class InstanceRow:
    """The average precision of one split as the cells of a table, all of them texts."""

    split: str
    ap50: str
    ap75: str
    mean_ap: str
    images: str
    objects: str
    classes: str
    tags: str
    threshold: str


@dataclass(frozen=True)
class InstanceSection:
    """The average precision of instances.

    Args:
        rows: One per split, the means over the classes.
        class_groups: One per split: a column for its objects and one for each number.
        class_rows: One per class.
    """

    rows: tuple[InstanceRow, ...]
    class_groups: tuple[ClassGroup, ...]
    class_rows: tuple[ClassRow, ...]


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
class StageTime:
    """How long a stage took, as the cells of a table, all of them texts."""

    name: str
    time: str
    parts: str
    images: str
    rate: str


@dataclass(frozen=True)
class Report:
    """Everything the template needs, in the order of the page."""

    title: str
    lead: str
    opening: Opening
    health: HealthSection | None
    card_groups: tuple[CardGroup, ...]
    facts: tuple[Fact, ...]
    scores: tuple[ScoreRow, ...]
    choices: tuple[Fact, ...]
    notes: tuple[str, ...]
    class_groups: tuple[ClassGroup, ...]
    class_rows: tuple[ClassRow, ...]
    instances: InstanceSection | None
    ablation: AblationSection | None
    threshold_charts: tuple[Chart, ...]
    comparison: Comparison | None
    donors: DonorSection | None
    training_charts: tuple[Chart, ...]
    gallery: tuple[GalleryGroup, ...]
    legend: tuple[Swatch, ...]
    heat_stops: tuple[str, ...]
    has_instances: bool
    problems: tuple[ProblemGroup, ...]
    times: tuple[StageTime, ...]
    recipe: str
    pictures: str
    words: tuple[Word, ...] = WORDS
