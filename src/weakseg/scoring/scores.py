"""Numbers that say what they are: scores carry their split, number of images and how their threshold was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weakseg.pipeline.corrections.taught import TaughtCounts
from weakseg.pipeline.origin import describe_released
from weakseg.refine.health_words import MaskHealth

ThresholdChoice = Literal["fixed", "oracle", "label-free", "corrected", "none"]
"""`oracle`: swept against the truth of that very split. `none`: there is no threshold, as for a segmenter's argmax.
`corrected`: chosen on masks that a person has corrected."""

Subject = Literal["seeds", "masks", "segmenter"]


@dataclass(frozen=True)
class Score:
    """The agreement of one kind of label map with the truth of one split.

    Args:
        subject: What was scored.
        split: Name of the split.
        images: Number of images with a truth mask.
        given_tags: Whether the images' own tags were given. Such numbers are not comparable with those without.
        threshold_choice: How the background threshold was chosen.
        threshold: That threshold, or None.
        mean_iou: Mean over the labels that the truth shows; None where undefined, as for all that follow.
        iou: Per label, background first; None where the truth lacks the label.
        precision: Per label.
        recall: Per label.
        support: Truth pixels per label.
        pixel_accuracy: Share of the pixels that are right; None for seeds, where the sweep does not count it.
        undefined: Why nothing could be measured; None where something was.
        corrected: True: of the masks that a person has corrected alone. False: of the others of a split that has some.
            None: of all.
    """

    subject: Subject
    split: str
    images: int
    given_tags: bool
    threshold_choice: ThresholdChoice
    threshold: float | None
    mean_iou: float | None
    iou: tuple[float | None, ...]
    precision: tuple[float | None, ...] | None
    recall: tuple[float | None, ...] | None
    support: tuple[int, ...]
    pixel_accuracy: float | None
    undefined: str | None = None
    corrected: bool | None = None

    @property
    def what(self) -> str:
        """What was scored, in words: `masks`, `masks, not corrected`, `masks, corrected`."""
        return self.subject + {None: "", False: ", not corrected", True: ", corrected"}[self.corrected]

    def describe(self) -> str:
        """Say in words what the number is."""
        threshold = {
            "fixed": f"threshold {self.threshold} (fixed)",
            "oracle": f"threshold {self.threshold} (oracle)",
            "label-free": f"threshold {self.threshold} (label-free)",
            "corrected": f"threshold {self.threshold} (corrected)",
            "none": "no threshold",
        }[self.threshold_choice]
        tags = "tags given" if self.given_tags else "no tags"
        return f"{self.what} on {self.split}, {self.images} images, {tags}, {threshold}"


@dataclass(frozen=True)
class Curve:
    """Seeds at every background threshold.

    Args:
        split: Name of the split.
        images: Number of images.
        thresholds: (T,) thresholds.
        mean_iou: (T,) mean IoU.
        precision: (T,) foreground precision, None where nothing is foreground.
        recall: (T,) foreground recall.
    """

    split: str
    images: int
    thresholds: tuple[float, ...]
    mean_iou: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]

    @property
    def best_index(self) -> int | None:
        """Place of the largest mean IoU, the lowest threshold among equals as the sweep has it; None without any."""
        defined = [(value, -place) for place, value in enumerate(self.mean_iou) if value is not None]
        return -max(defined)[1] if defined else None

    @property
    def best_mean_iou(self) -> float | None:
        """The largest mean IoU; None where all are undefined."""
        return None if self.best_index is None else self.mean_iou[self.best_index]


@dataclass(frozen=True)
class ComparedSeeds:
    """Seeds of the images on which CAM and RIB are compared.

    Args:
        iterations: How many iterations of the adaptation the maps have seen; 0 is CAM.
        curve: Those seeds at every background threshold.
    """

    iterations: int
    curve: Curve

    @property
    def name(self) -> str:
        """What to call them."""
        return f"RIB after {self.iterations} iterations" if self.iterations else "CAM"


@dataclass(frozen=True)
class InstanceScore:
    """Average precision of the instance masks of one split, as COCO computes it; 0..1, None where undefined.

    Args:
        split: Name of the split.
        images: Number of images with true instances.
        given_tags: Whether the images' own tags were given. Detectors, which have none, are not comparable.
        threshold_choice: How the background threshold was chosen.
        threshold: That threshold.
        mean_ap50: Mean of `ap50` over the classes that have a true object, as for the two that follow.
        mean_ap75: Mean of `ap75`.
        mean_ap: Mean of `ap`.
        ap50: Per class, at an IoU of 0.5; the background is no class.
        ap75: Per class, at an IoU of 0.75.
        ap: Per class, the mean over the IoUs 0.5, 0.55, ..., 0.95.
        support: True objects per class, crowds left out.
    """

    split: str
    images: int
    given_tags: bool
    threshold_choice: ThresholdChoice
    threshold: float
    mean_ap50: float | None
    mean_ap75: float | None
    mean_ap: float | None
    ap50: tuple[float | None, ...]
    ap75: tuple[float | None, ...]
    ap: tuple[float | None, ...]
    support: tuple[int, ...]

    @property
    def objects(self) -> int:
        """Number of true objects."""
        return sum(self.support)

    def describe(self) -> str:
        """Say in words what the numbers are."""
        tags = "tags given" if self.given_tags else "no tags"
        threshold = f"threshold {self.threshold} ({self.threshold_choice})"
        return f"instances on {self.split}, {self.images} images, {self.objects} objects, {tags}, {threshold}"


@dataclass(frozen=True)
class AblationScore:
    """The segmenter with one more addition at test time: scales, flip or CRF.

    Args:
        name: What it adds to the one before, such as `+ flip`.
        detail: How it predicts, in words.
        split: Name of the split.
        images: Number of images with a truth mask.
        mean_iou: Mean over the labels that the truth shows; None where undefined, as for `iou`.
        iou: Per label, background first.
    """

    name: str
    detail: str
    split: str
    images: int
    mean_iou: float | None
    iou: tuple[float | None, ...]


@dataclass(frozen=True)
class ClassifierScore:
    """How well the classifier tells tags.

    Args:
        split: Name of the split.
        images: Number of images.
        mean_average_precision: 0..1, or None without any positive.
        weights_from: Where its initial weights came from; the file of one that was released.
        released_sha256: Digest of the released checkpoint it was made of; None if this run has trained it.
    """

    split: str | None
    images: int
    mean_average_precision: float | None
    weights_from: str
    released_sha256: str | None = None

    def describe_origin(self) -> str:
        """Say where the classifier comes from."""
        if self.released_sha256 is not None:
            return describe_released(self.weights_from, self.released_sha256)
        return f"started from {self.weights_from} weights"


@dataclass(frozen=True)
class Metrics:
    """All numbers of a run.

    Args:
        dataset: Name of the reader.
        label_names: `background` and the classes.
        classifier: The classifier's score; None for a run whose localiser needs no classifier.
        scores: One per subject and split.
        curves: One per split with seeds and truth.
        notes: What could not be measured, and why.
        compared: CAM and RIB on the same images, by the number of iterations; empty where they are not compared.
        instances: One per split with instances and true ones.
        ablation: The segmenter without and with scales, flip and CRF, each added to the one before.
        health: The masks judged without truth; None in files of before there was that.
        taught: What the run has learnt from corrections; None where there are none.
    """

    dataset: str
    label_names: tuple[str, ...]
    classifier: ClassifierScore | None
    scores: tuple[Score, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]
    compared: tuple[ComparedSeeds, ...] = ()
    instances: tuple[InstanceScore, ...] = ()
    ablation: tuple[AblationScore, ...] = ()
    health: MaskHealth | None = None
    taught: TaughtCounts | None = None

    def find(self, subject: Subject, split: str, *, corrected: bool = False) -> Score | None:
        """Return the score of a subject on a split, or None; masks that are corrected count alone, or not at all."""
        wanted = (subject, split, corrected)
        return next((s for s in self.scores if (s.subject, s.split, s.corrected is True) == wanted), None)


def number(value: float) -> float | None:
    """Return a rounded number, or None for NaN; six digits are beyond any meaning and equal on every machine."""
    return None if math.isnan(value) else round(value, 6)


def numbers(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    """Apply `number` to each value of a vector."""
    return tuple(number(float(value)) for value in values)


def percent(value: float | None, *, undefined: str = "–") -> str:
    """Write a fraction as a percentage with one digit, or a dash where it is undefined."""
    return undefined if value is None else f"{100 * value:.1f}"
