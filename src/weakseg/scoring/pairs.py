"""What two runs have in common, side by side: settings, stages, numbers, scores, verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from weakseg.files import JsonValue
from weakseg.refine.health import Verdict


@dataclass(frozen=True)
class RunFacts:
    """What one of the runs is.

    Args:
        path: Its folder, as it was given.
        is_evaluated: Whether it has scores.
    """

    path: str
    is_evaluated: bool


@dataclass(frozen=True)
class SettingPair:
    """A setting, or something else that results depend on, which differs.

    Args:
        name: Its dotted name, or what it is.
        first: Its value in the first run.
        second: Its value in the second run.
    """

    name: str
    first: JsonValue
    second: JsonValue


@dataclass(frozen=True)
class StagePair:
    """A stage of both runs.

    Args:
        name: The stage.
        first_s: Seconds it took in the first run; None if it is not finished there.
        second_s: The same of the second.
        first_images_per_s: Images a second in the first run, by all that worked on it together; None where unknown.
        second_images_per_s: The same of the second.
        is_same: Whether both depend on the same settings, images and code, so that their results are the same.
    """

    name: str
    first_s: float | None
    second_s: float | None
    first_images_per_s: float | None
    second_images_per_s: float | None
    is_same: bool


@dataclass(frozen=True)
class NumberPair:
    """A number of both runs; None where it is undefined or not there.

    Args:
        name: What it is of, such as a class.
        first: In the first run.
        second: In the second run.
    """

    name: str
    first: float | None
    second: float | None

    @property
    def gain(self) -> float | None:
        """How much the second is above the first."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class ScorePair:
    """The same kind of label map of both runs against the truth of a split.

    Args:
        subject: What was scored; `masks, corrected` and `masks, not corrected` where both runs have them apart.
        split: Name of the split.
        images: Images with truth, in each run.
        thresholds: How the background threshold came about, in each run; None without one.
        mean: Mean IoU, 0..1.
        classes: IoU per label, background first.
        same_truth: Whether both were scored on the same pixels; otherwise the numbers are not comparable.
    """

    subject: str
    split: str
    images: tuple[int, int]
    thresholds: tuple[str | None, str | None]
    mean: NumberPair
    classes: tuple[NumberPair, ...]
    same_truth: bool


@dataclass(frozen=True)
class HealthPair:
    """The masks of a class in both runs, judged without truth.

    Args:
        name: The class.
        first: Its verdict in the first run; None where it was not judged.
        second: The same in the second run.
        troubled: Tagged images whose mask is empty or full, in each run.
        tagged: Tagged images, in each run.
    """

    name: str
    first: Verdict | None
    second: Verdict | None
    troubled: tuple[int, int]
    tagged: tuple[int, int]
